"""Replicas of a model: their schedulers, step times and KV caches, and what connects them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np

from lydite.records import dataclass
from lydite.serving.tiers import KvTiers
from lydite.serving.times import StepTimes

Role = Literal["both", "prefill", "decode"]
ROLES: tuple[Role, ...] = ("both", "prefill", "decode")


@dataclass(frozen=True)
class Scheduler:
    """Options of a runtime's scheduler.

    Attributes:
        policy: "vllm", "sglang" or "trtllm".
        max_num_seqs: Most requests that run at once.
        max_num_batched_tokens: Most tokens of a step; of SGLang, of a chunk of a prompt.
        max_prefill_tokens: Most tokens of SGLang's prefill steps.
        block_size: Tokens of a block of the KV cache.
        prefix_caching: Whether blocks are found by their content.
        chunked_prefill: Whether prompts are split over steps.
        reserve_full_prompt: Whether vLLM admits a prompt only where all of it fits.
        max_model_len: Most tokens of a request, prompt and output.
        ahead: Whether SGLang or TensorRT-LLM schedules a step when the one before it begins (their
            overlap schedulers), so that a request which arrives meanwhile waits for one more.
        priorities: Whether vLLM serves and preempts requests by their priority, not as they come.
    """

    policy: str = "vllm"
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 2048
    max_prefill_tokens: int = 16384
    block_size: int = 16
    prefix_caching: bool = True
    chunked_prefill: bool = True
    reserve_full_prompt: bool = True
    max_model_len: int = 1 << 24
    ahead: bool = False
    priorities: bool = False


@dataclass(frozen=True)
class Speculation:
    """Tokens that are drafted ahead and verified together, as vLLM v1 does.

    Attributes:
        tokens: Tokens that are drafted for each decoding request of a step.
        acceptance: Chance that the token at each position is accepted, given that all before it
            were, by position.
        times: Times of the steps of the model that drafts; None for drafts that take no time.
        lookahead: Whether the next drafts have slots in the KV cache ahead, as those of a model do.
        seed: Seed of the draws.
    """

    tokens: int
    acceptance: tuple[float, ...]
    times: StepTimes | None = None
    lookahead: bool = True
    seed: int = 0

    @property
    def mean_accepted(self) -> float:
        """Mean number of accepted tokens of a verification: the sum of the products of chances."""
        return float(np.cumprod(self.acceptance).sum())

    @property
    def ahead(self) -> int:
        """Most tokens of the KV cache behind those that a request has, or will have."""
        return self.tokens * (2 if self.lookahead else 1)


@dataclass(frozen=True)
class Replica:
    """One instance of the model: its scheduler, step times and KV cache.

    Attributes:
        scheduler: Options of the scheduler.
        times: Times of its steps.
        kv_tokens: Tokens that its KV cache holds.
        role: Whether it runs requests from end to end, their prefill, or what follows.
        name: Name in reports.
        group: Replicas in a row with the same group, which is not None, begin and end their steps
            together: experts are spread over them.
        speculation: Tokens that are drafted ahead; None for none.
        tiers: Where blocks of the KV cache go that leave the devices; None for nowhere.
    """

    scheduler: Scheduler
    times: StepTimes
    kv_tokens: int
    role: Role = "both"
    name: str = "replica"
    group: int | None = None
    speculation: Speculation | None = None
    tiers: KvTiers | None = None

    def scaled(self, scaled: Callable[[StepTimes], StepTimes]) -> Replica:
        """The same replica with other step times."""
        ahead = self.speculation
        if ahead is not None and ahead.times is not None:
            ahead = replace(ahead, times=scaled(ahead.times))
        return replace(self, times=scaled(self.times), speculation=ahead)


@dataclass(frozen=True)
class Traffic:
    """What connects the replicas.

    Attributes:
        router: "round-robin", "least-loaded" or "prefix".
        kv_token_bytes: KV of a token.
        link_bytes_s: Bandwidth from a prefill replica to the decoding ones.
        link_latency_s: Latency of a transfer.
    """

    router: str = "least-loaded"
    kv_token_bytes: float = 0.0
    link_bytes_s: float = 50e9
    link_latency_s: float = 1e-5
