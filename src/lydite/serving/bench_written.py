"""A simulated workload in the layout of vLLM's `bench serve` result files."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lydite.serving.bench_vllm import SIMULATED
from lydite.serving.outcome import Outcome


def vllm_result(outcome: Outcome, model: str, runtime: str, layout: str) -> dict[str, Any]:
    """The object that `vllm bench serve --save-detailed` would save, marked as simulated.

    Fields and formulas are those of `calculate_metrics` in vllm/benchmarks/serve.py of vLLM 0.19.0.
    What the simulation does not know is left out: the texts and the date; and, unless they were
    kept for all requests, the gaps between tokens (itls, and their median, deviation and
    percentile). Tokens that come together have no gap between them, as in vLLM's stream. Latencies,
    which vLLM's readers sum from the gaps, are also in a list of their own, e2els, in seconds.

    Args:
        outcome: What happened to each request.
        model: Name of the model.
        runtime: Name of the runtime that was simulated.
        layout: Layout of the replicas.
    """
    requests = outcome.requests
    ended = np.isfinite(outcome.last_s)
    start, ttft, latency = outcome.arrived_s[ended], outcome.ttft_s[ended], outcome.latency_s[ended]
    prompt, output = requests.prompt[ended].astype(int), requests.output[ended].astype(int)
    more = output > 1
    tpot = (latency - ttft)[more] / (output[more] - 1)
    duration = float((start + latency).max() - start.min()) if ended.any() else math.nan
    rate, flow = requests.rate, _rates(prompt, output, duration)
    result: dict[str, Any] = {
        SIMULATED: True,
        "backend": runtime,
        "label": f"lydite {layout}",
        "model_id": model,
        "tokenizer_id": None,
        "num_prompts": len(requests),
        "request_rate": "inf" if requests.concurrency or math.isinf(rate) else rate,
        "max_concurrency": requests.concurrency or None,
        "duration": duration,
        "completed": int(ended.sum()),
        "failed": int((~ended).sum()),
        "total_input_tokens": int(prompt.sum()),
        "total_output_tokens": int(output.sum()),
        **flow,
        "request_goodput": None,
        "input_lens": requests.prompt.tolist(),
        "output_lens": np.where(ended, requests.output, 0).tolist(),
        "ttfts": np.where(ended, outcome.ttft_s, 0.0).tolist(),
        "e2els": np.where(ended, outcome.latency_s, 0.0).tolist(),
        "start_times": np.nan_to_num(outcome.arrived_s).tolist(),
        "errors": ["" if each else "did not end in the simulated time" for each in ended],
    }
    if not ended.any():
        return {name: v for name, v in result.items() if v is not None and name != "duration"}
    result["max_concurrent_requests"] = _most_at_once(start, latency)
    for name, values in (("ttft", ttft), ("tpot", tpot), ("e2el", latency)):
        result |= _summary(name, values)
    result |= _between_tokens(outcome, ended)
    return result


def _between_tokens(outcome: Outcome, ended: np.ndarray) -> dict[str, Any]:
    """Gaps between the tokens of requests that ended, and their statistics."""
    kept = [outcome.itls_s(n) if over else np.zeros(0) for n, over in enumerate(ended)]
    gaps = [each for each in kept if each is not None]
    if len(gaps) == len(kept):
        itls = [each.tolist() for each in gaps]
        return {"itls": itls, **_summary("itl", np.concatenate(gaps))}
    count = int((outcome.requests.output[ended] - 1).sum())
    if not count or outcome.drafted:
        return {}
    between = outcome.last_s[ended] - outcome.first_s[ended]
    return {"mean_itl_ms": float(between.sum() / count * 1000)}


def _rates(prompt: np.ndarray, output: np.ndarray, duration_s: float) -> dict[str, float]:
    if not duration_s > 0:
        return {}
    return {
        "request_throughput": len(prompt) / duration_s,
        "output_throughput": float(output.sum() / duration_s),
        "total_token_throughput": float((prompt.sum() + output.sum()) / duration_s),
    }


def _summary(name: str, values_s: np.ndarray) -> dict[str, float]:
    """vLLM's statistics in milliseconds; none where there are no values (vLLM writes 0)."""
    if not len(values_s):
        return {}
    figures = {
        "mean": np.mean(values_s),
        "median": np.median(values_s),
        "std": np.std(values_s),
        "p99": np.percentile(values_s, 99),
    }
    return {f"{at}_{name}_ms": float(value * 1000) for at, value in figures.items()}


def _most_at_once(start_s: np.ndarray, latency_s: np.ndarray) -> int:
    """Most requests that were active in any one second, counted as vLLM does."""
    first = (start_s - start_s.min()).astype(int)
    last = (start_s + latency_s - start_s.min()).astype(int)
    change = np.zeros(int(last.max()) + 2, int)
    np.add.at(change, first, 1)
    np.add.at(change, last + 1, -1)
    return int(np.cumsum(change).max())
