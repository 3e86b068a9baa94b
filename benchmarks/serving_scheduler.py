"""Decisions of vLLM's own scheduler beside ours, on random traces.

    python benchmarks/serving_scheduler.py [--traces 1000]

Needs vLLM 0.19.0 (`pip install vllm==0.19.0`; no GPU, its scheduler runs with an executor that
returns at once). Tokens of each request in each step and preemptions must be equal; a third of the
traces speculates, a third has priorities, and two of nine have pipeline stages.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
from _figures import Figure, publish

from lydite.serving import Replica, Scheduler, Speculation, StepTimes, made, simulate_serving
from lydite.serving.requests import Requests
from lydite.serving.times import (
    DECODE_CONTEXT,
    DECODE_SEQUENCES,
    PREFILL_CONTEXT,
    PREFILL_TOKENS,
)

VERSION = "0.19.0"
STEP_S, TOKEN_S = 1e-3, 1e-5
BLOCK = 16


def _vllm(name: str) -> Any:
    return import_module(f"vllm.{name}")


def times(stages: int = 1) -> StepTimes:
    """A step takes a constant, and as much again for each 100 tokens, shared by stages."""
    none = np.full((len(DECODE_SEQUENCES), len(DECODE_CONTEXT)), 1e-10)
    prompts = np.full((len(PREFILL_TOKENS), len(PREFILL_CONTEXT)), 1e-10)
    dense, share = TOKEN_S * np.arange(9000), (1 / stages,) * stages
    return StepTimes(dense, np.zeros(600), none, prompts, none, host_s=STEP_S, stages=share)


Case = tuple[Requests, Replica]


def draw(rng: np.random.Generator) -> Case:
    """A trace with shared beginnings of prompts, and a cache that is often too small."""
    count = int(rng.integers(5, 60))
    prompt = rng.integers(1, 400, count)
    output = rng.integers(1, 120, count)
    group = rng.integers(0, 6, count)
    shared = rng.integers(0, 12, 6)
    keys = []
    for number in range(count):
        blocks = min(int(shared[group[number]]), int(prompt[number]) // BLOCK)
        keys.append(1 + group[number] * 1000 + np.arange(blocks))
    arrival = np.cumsum(rng.exponential(rng.choice([0.0005, 0.005, 0.05]), count))
    requests = made(np.round(arrival, 9), prompt, output, keys=keys)
    longest = int((prompt + output).max())
    rules = Scheduler(
        max_num_seqs=int(rng.integers(2, 40)),
        max_num_batched_tokens=int(rng.integers(40, 600)),
        prefix_caching=bool(rng.integers(0, 2)),
        reserve_full_prompt=bool(rng.integers(0, 2)),
    )
    blocks = longest // BLOCK + 3 + int(rng.integers(0, 60))
    ahead = None
    if rng.random() < 1 / 3:
        ahead = _drafting(rng)
        blocks += -(-ahead.ahead // BLOCK)
    if rng.random() < 1 / 3:
        rules = replace(rules, priorities=True)
        requests = replace(requests, priority=rng.integers(0, 3, count).astype(np.int32))
    stages = 1 if ahead is not None or rng.random() > 1 / 3 else int(rng.choice([2, 4]))
    return requests, Replica(rules, times(stages), blocks * BLOCK, speculation=ahead)


def _drafting(rng: np.random.Generator) -> Speculation:
    """Drafts of a model, with slots ahead, or of n-grams, without."""
    count = int(rng.integers(1, 8))
    chances = tuple(rng.uniform(0.2, 1.0, count).tolist())
    return Speculation(count, chances, None, bool(rng.integers(0, 2)), int(rng.integers(1 << 60)))


_WORD = (1 << 64) - 1


def _mixed(word: int) -> int:
    """SplitMix64's mixing of the bits of a word."""
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & _WORD
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB & _WORD
    return word ^ (word >> 31)


def accepted(ahead: Speculation, request: int, generated: int, drafts: int) -> int:
    """Number of drafts that are accepted, by the draws that the simulation makes."""
    word = 0
    for each in (ahead.seed, request, generated):
        word = _mixed(word ^ (each + 1) * 0x9E3779B97F4A7C15 & _WORD)
    chance, kept = (word >> 11) / (1 << 53), np.cumprod(ahead.acceptance)
    return next((n for n in range(drafts) if chance >= kept[n]), drafts)


def theirs(requests: Requests, replica: Replica) -> tuple[list[Any], np.ndarray]:
    """Steps of vLLM's scheduler: {request: tokens} of each, and preemptions."""
    import torch

    cache, kinds = _vllm("v1.core.kv_cache_utils"), _vllm("v1.kv_cache_interface")
    sha256 = _vllm("utils.hashing").sha256
    cache.init_none_hash(sha256)
    spec = kinds.FullAttentionSpec(
        block_size=BLOCK, num_kv_heads=1, head_size=1, dtype=torch.float16
    )
    ahead, blocks = replica.speculation, replica.kv_tokens // BLOCK
    pools = kinds.KVCacheConfig(blocks, [], [kinds.KVCacheGroupSpec(["layer"], spec)])
    scheduler = _scheduler(replica, blocks, pools)
    hasher = cache.get_request_block_hasher(BLOCK, sha256)
    request_of, sampling = _vllm("v1.request").Request, _vllm("sampling_params").SamplingParams
    output_of, drafts_of = (
        getattr(_vllm("v1.outputs"), name) for name in ("ModelRunnerOutput", "DraftTokenIds")
    )
    rng = np.random.default_rng(0)
    now, at, steps = 0, 0, []
    arrival = np.round(requests.arrival_s * 1e9).astype(np.int64)
    there: dict[str, Any] = {}
    stages = len(replica.times.stages)
    flights: list[tuple[int, Any]] = []
    free = [0] * stages
    while True:
        while at < len(requests) and arrival[at] <= now:
            parameters = sampling(max_tokens=int(requests.output[at]), ignore_eos=True)
            tokens = _tokens(requests, at, rng)
            one = request_of(
                str(at),
                tokens,
                parameters,
                None,
                float(at),
                priority=int(requests.priority[at]),
                block_hasher=hasher,
            )
            there[str(at)] = one
            scheduler.add_request(one)
            at += 1
        while len(flights) < stages and scheduler.has_unfinished_requests():
            out = scheduler.schedule()
            if not out.num_scheduled_tokens and not flights:
                out = scheduler.schedule()  # whoever was preempted may run at once
            if not out.num_scheduled_tokens:
                break
            steps.append({int(name): n for name, n in out.num_scheduled_tokens.items()})
            spent = (STEP_S + TOKEN_S * sum(steps[-1].values())) * 1e9 / stages
            until = now
            for stage in range(stages):
                until = free[stage] = max(until, free[stage]) + int(spent)
            reach = {name: there[name].num_computed_tokens for name in out.num_scheduled_tokens}
            flights.append((until, (out, reach)))
        coming = int(arrival[at]) if at < len(requests) else None
        if not flights:
            if coming is None:
                break
            now = coming
        elif coming is not None and coming < flights[0][0]:
            now = coming
        else:
            now, (out, reach) = flights.pop(0)
            names = [str(name) for name in out.num_scheduled_tokens]
            sampled = [
                [
                    int(rng.integers(10**6, 2**31))
                    for _ in range(_sampled(out, reach, there, n, ahead))
                ]
                for n in names
            ]
            places = {name: place for place, name in enumerate(names)}
            scheduler.update_from_output(out, output_of(names, places, sampled))
            if ahead is not None:
                drafted = [[0] * ahead.tokens for _ in names]
                scheduler.update_draft_token_ids(drafts_of(names, drafted))
    return steps, np.array([there[str(n)].num_preemptions for n in range(len(requests))])


def _sampled(out: Any, reach: Any, there: Any, name: str, ahead: Speculation | None) -> int:
    """Number of tokens of a request that come out of a batch."""
    request, drafts = there[name], len(out.scheduled_spec_decode_tokens.get(name, ()))
    count = 1 if reach[name] >= request.num_tokens else 0
    if drafts and ahead is not None:
        count += accepted(ahead, int(name), request.num_output_tokens, drafts)
    return count


def _tokens(requests: Requests, number: int, rng: np.random.Generator) -> list[int]:
    """Tokens of a prompt: equal keys are equal tokens, all others are drawn."""
    keys = requests.keys[requests.key_start[number] : requests.key_start[number + 1]]
    shared = [int(key) * BLOCK + place for key in keys for place in range(BLOCK)]
    rest = int(requests.prompt[number]) - len(shared)
    return [*shared, *map(int, rng.integers(10**6, 2**31, rest))]


def _scheduler(replica: Replica, blocks: int, pools: Any) -> Any:
    rules, ahead, stages = replica.scheduler, replica.speculation, len(replica.times.stages)
    config = SimpleNamespace(
        scheduler_config=SimpleNamespace(
            max_num_seqs=rules.max_num_seqs,
            max_num_scheduled_tokens=None,
            max_num_batched_tokens=rules.max_num_batched_tokens,
            policy="priority" if rules.priorities else "fcfs",
            scheduler_reserve_full_isl=rules.reserve_full_prompt,
            long_prefill_token_threshold=0,
            enable_chunked_prefill=True,
            async_scheduling=False,
        ),
        cache_config=SimpleNamespace(
            num_gpu_blocks=blocks, enable_prefix_caching=rules.prefix_caching, block_size=BLOCK
        ),
        lora_config=None,
        kv_events_config=None,
        parallel_config=SimpleNamespace(
            data_parallel_index=0,
            decode_context_parallel_size=1,
            prefill_context_parallel_size=1,
            pipeline_parallel_size=stages,
        ),
        observability_config=SimpleNamespace(kv_cache_metrics=False),
        model_config=SimpleNamespace(
            is_encoder_decoder=False, max_model_len=1 << 20, enable_return_routed_experts=False
        ),
        kv_transfer_config=None,
        ec_transfer_config=None,
        speculative_config=ahead
        and SimpleNamespace(
            num_speculative_tokens=ahead.tokens,
            use_eagle=lambda: False,
            uses_draft_model=lambda: ahead.lookahead,
        ),
    )
    no_images = SimpleNamespace(supports_multimodal_inputs=lambda _: False)
    outputs = SimpleNamespace(should_advance=lambda _: False)
    return _vllm("v1.core.sched.scheduler").Scheduler(
        config, pools, outputs, BLOCK, mm_registry=no_images
    )


def ours(requests: Requests, replica: Replica) -> tuple[list[Any], np.ndarray]:
    """The same of ours."""
    rows = int((requests.prompt + requests.output).sum()) * 4
    outcome = simulate_serving(requests, [replica], decisions=rows)
    steps: list[dict[int, int]] = [{} for _ in range(outcome.steps)]
    for step, request, tokens in outcome.decisions.tolist():
        steps[step][request] = tokens
    return steps, outcome.preempted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=int, default=1000)
    arguments = parser.parse_args()
    try:
        version = import_module("vllm").__version__
    except ImportError:
        print(f"vLLM is not installed: pip install vllm=={VERSION}")
        sys.exit(0)
    if version != VERSION:
        print(f"vLLM {version} is installed, {VERSION} is compared with")
    equal, steps, preempted = 0, 0, 0
    for seed in range(arguments.traces):
        case = draw(np.random.default_rng(seed))
        their_steps, their_preempted = theirs(*case)
        our_steps, our_preempted = ours(*case)
        same = their_steps == our_steps and bool((their_preempted == our_preempted).all())
        if not same:
            pairs = enumerate(zip(their_steps, our_steps, strict=False))
            first = next((n for n, (a, b) in pairs if a != b), "the end")
            rules, stages = case[1].scheduler, len(case[1].times.stages)
            print(f"trace {seed} differs at step {first}: {rules}, {stages} stages")
        equal += same
        steps += len(our_steps)
        preempted += int(our_preempted.sum())
    publish(
        "serving_scheduler",
        [
            Figure(
                "traces whose decisions are vLLM's own", equal, "traces", arguments.traces, "higher"
            ),
            Figure("steps of these traces", steps, "steps", None, "higher"),
            Figure("preemptions in them", preempted, "preemptions", None, "higher"),
        ],
    )


if __name__ == "__main__":
    main()
