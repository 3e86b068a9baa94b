"""Result files of vLLM's `bench serve`: an object with a list per quantity.

Fields and formulas: vllm/benchmarks/serve.py of vLLM 0.19.0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from lydite.errors import InputError
from lydite.serving.bench_rows import (
    BenchRequest,
    Rows,
    left_out,
    list_of,
    number_of,
    object_of,
    seconds_of,
    tokens_of,
)

SIMULATED = "lydite_simulated"
"""Field that marks a file in vLLM's layout whose times were simulated."""
SIMULATED_NOTE = "the times of the file were simulated by Lydite, not measured"


def is_vllm(first: Mapping[str, Any]) -> bool:
    """Whether a file's first JSON object is a result of vLLM's."""
    return {"duration", "completed", "request_throughput", "total_input_tokens"} <= set(first)


def vllm_runs(objects: Iterator[Any], where: str) -> list[Any]:
    """The benchmarks of a file: --append-result writes an object for each."""
    return [object_of(each, f"benchmark {n}", where) for n, each in enumerate(objects, start=1)]


def read_vllm(run: Mapping[str, Any], where: str) -> Rows:
    """The answered requests of a benchmark.

    Raises:
        InputError: it states no requests or arrivals, or a value is no valid number.
    """
    lengths = run.get("input_lens"), run.get("output_lens")
    if None in lengths:
        raise InputError(
            "holds a summary, not its requests",
            where=where,
            hint="run vllm bench serve with --save-result --save-detailed",
        )
    prompts, outputs = (list_of(each, "input_lens, output_lens", where) for each in lengths)
    if not run.get("start_times"):
        raise InputError(
            "holds no start_times, so the arrivals of its requests are not known",
            where=where,
            allowed="files of vllm bench serve --save-detailed that hold start_times",
            hint=f"draw requests of its mean lengths instead: {_drawn(run, prompts, outputs)}",
        )
    columns = {"input_lens": prompts, "output_lens": outputs}
    for name in ("start_times", "ttfts", "itls", "errors", "e2els"):
        if name in run:
            columns[name] = list_of(run[name], name, where)
    sizes = {name: len(values) for name, values in columns.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise InputError(f"has lists of different lengths: {told}", where=where)
    rows, failed = [], 0
    for n in range(len(prompts)):
        at = f"{where}, request {n + 1}"
        cell = {name: values[n] for name, values in columns.items()}
        output = tokens_of(cell["output_lens"], "output_lens", at)
        if cell.get("errors") or not output:
            failed += 1
            continue
        # vLLM leaves 0 where the endpoint does not stream, so that no first token was seen.
        ttft = seconds_of(cell.get("ttfts"), "ttfts", at) or math.nan
        rows.append(
            BenchRequest(
                number_of(cell["start_times"], "start_times", at, -math.inf),
                tokens_of(cell["input_lens"], "input_lens", at),
                output,
                ttft,
                _latency(cell, ttft, at),
                str(n + 1),
            )
        )
    notes = left_out({"failed or without output": failed})
    if run.get(SIMULATED):
        notes.append(SIMULATED_NOTE)
    return rows, notes


def _latency(cell: Mapping[str, Any], ttft: float, where: str) -> float:
    """Time to the last token: as vLLM's plots have it, the first token and all gaps after it."""
    if "e2els" in cell:
        return number_of(cell["e2els"], "e2els", where)
    if "itls" not in cell:
        return math.nan
    gaps = list_of(cell["itls"], "itls", where)
    return ttft + math.fsum(number_of(gap, "itls", where) for gap in gaps)


def _drawn(run: Mapping[str, Any], prompts: list[Any], outputs: list[Any]) -> str:
    """Options that draw requests of a run's mean lengths, at its load where that is stated."""
    numbers = [[v for v in c if isinstance(v, int) and v > 0] for c in (prompts, outputs)]
    means = [f"{sum(c) / len(c):.0f}" if c else "N" for c in numbers]
    flight, rate = run.get("max_concurrency"), run.get("request_rate")
    if isinstance(flight, int):
        load = f"--concurrency {flight}"
    elif isinstance(rate, int | float):
        load = f"--rate {rate:g}"
    else:
        load = "--rate R (or --concurrency N)"
    return f"{load} --isl {means[0]} --osl {means[1]}"
