"""Small workloads and step times for the tests of serving."""

from __future__ import annotations

import numpy as np

from lydite.serving import Replica, Requests, Scheduler, StepTimes, made
from lydite.serving.times import (
    DECODE_CONTEXT,
    DECODE_SEQUENCES,
    PREFILL_CONTEXT,
    PREFILL_TOKENS,
)

STEP_S, TOKEN_S = 1e-3, 1e-5


def plain_times(step_s: float = STEP_S, token_s: float = TOKEN_S) -> StepTimes:
    """A constant a step and a constant a token; attention is free."""
    none = np.full((len(DECODE_SEQUENCES), len(DECODE_CONTEXT)), 1e-10)
    prompts = np.full((len(PREFILL_TOKENS), len(PREFILL_CONTEXT)), 1e-10)
    dense = token_s * np.arange(20_000)
    return StepTimes(dense, np.zeros(2048), none, prompts, none, host_s=step_s)


def workload(seed: int, count: int = 40, gap_s: float = 0.003, shared: int = 0) -> Requests:
    """Requests of random lengths; `shared` tokens of each prompt are the same."""
    rng = np.random.default_rng(seed)
    prompt, output = rng.integers(20, 300, count), rng.integers(1, 80, count)
    keys = [np.arange(1, 1 + min(shared, int(p)) // 16) for p in prompt]
    return made(np.cumsum(rng.exponential(gap_s, count)), prompt, output, keys=keys)


def one(kv_tokens: int = 100_000, **options: object) -> list[Replica]:
    """One replica."""
    return [Replica(Scheduler(**options), plain_times(), kv_tokens)]
