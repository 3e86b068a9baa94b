"""Requests played on replicas in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lydite.engine.compiled import Notify, load_from, on_stderr
from lydite.errors import InputError, unknown_name
from lydite.serving.kernels.state import Load, Rules, new_course, new_pool, new_queues
from lydite.serving.requests import Requests
from lydite.serving.times import StepTimes, stacked

Role = Literal["both", "prefill", "decode"]
ROLES: tuple[Role, ...] = ("both", "prefill", "decode")
KERNELS = "lydite.serving.kernels"


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
    """

    scheduler: Scheduler
    times: StepTimes
    kv_tokens: int
    role: Role = "both"
    name: str = "replica"
    group: int | None = None


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


@dataclass(frozen=True, eq=False)
class Outcome:
    """What happened to each request, and how often what was done.

    Times are in seconds after the first arrival; NaN where it did not happen: float64 [requests].

    Attributes:
        requests: The workload.
        arrived_s, started_s, first_s, last_s: Arrival, first step, first and last token.
        hits: Prompt tokens that were found in the cache: int32.
        preempted: How often each was preempted: int32.
        replica: Where each ended: int32.
        end_s: End of the last step.
        steps: Number of steps.
        tokens: Number of tokens that were computed, with those computed again.
        gap_s, gap_count: Times between two tokens of a request (geometric middle of each bin), and
            how often.
        busy_s: Time that each replica computed.
        peak_tokens: Most tokens in the KV cache of each replica.
        trace: The first steps, columns `STEP_COLUMNS`: int64.
        decisions: (step, request, tokens) of each request in these steps: int64.
    """

    requests: Requests
    arrived_s: np.ndarray
    started_s: np.ndarray
    first_s: np.ndarray
    last_s: np.ndarray
    hits: np.ndarray
    preempted: np.ndarray
    replica: np.ndarray
    end_s: float
    steps: int
    tokens: int
    gap_s: np.ndarray
    gap_count: np.ndarray
    busy_s: np.ndarray
    peak_tokens: np.ndarray
    trace: np.ndarray
    decisions: np.ndarray

    @property
    def ttft_s(self) -> np.ndarray:
        """Time to the first token, from the arrival."""
        return self.first_s - self.arrived_s

    @property
    def latency_s(self) -> np.ndarray:
        """Time to the last token, from the arrival."""
        return self.last_s - self.arrived_s

    @property
    def tpot_s(self) -> np.ndarray:
        """Time per output token after the first; NaN for outputs of one token."""
        more = self.requests.output - 1
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(more > 0, (self.last_s - self.first_s) / more, np.nan)

    @property
    def tpot_with_first_s(self) -> np.ndarray:
        """Latency per output token, the first included."""
        return self.latency_s / self.requests.output


def simulate_serving(
    requests: Requests,
    replicas: Sequence[Replica],
    traffic: Traffic | None = None,
    *,
    until_s: float | None = None,
    trace: int = 0,
    decisions: int = 0,
    notify: Notify = on_stderr,
) -> Outcome:
    """Play requests on replicas.

    Args:
        requests: Workload.
        replicas: Where they run; all "both", or some "prefill" and some "decode".
        traffic: What connects the replicas; None for the usual.
        until_s: Time to stop; None plays all requests to their end.
        trace: Number of steps to keep.
        decisions: Number of rows of scheduled requests to keep.
        notify: What is told that kernels are compiled.

    Raises:
        InputError: no replica can hold a request (says by how much), or roles lack a partner.
    """
    traffic = traffic or Traffic()
    check(requests, replicas)
    module = load_from(KERNELS, "play", "play", "the serving loop", 10, notify)
    if traffic.router not in module.ROUTERS:
        raise unknown_name("router", traffic.router, module.ROUTERS)
    load = _load(requests, replicas)
    rules = _rules(replicas, module.POLICIES, load)
    times = stacked([r.times for r in replicas])
    course, pool, queues = new_course(load), new_pool(rules), new_queues(rules)
    cluster = module.Cluster(
        module.ROUTERS.index(traffic.router),
        requests.concurrency,
        _ns(requests.think_s),
        float(traffic.kv_token_bytes),
        float(traffic.link_bytes_s),
        int(traffic.link_latency_s * 1e9),
        (1 << 61) if until_s is None else int(until_s * 1e9),
    )
    tally = module.Tally(
        np.zeros(module.GAP_BINS, np.int64),
        np.zeros(4, np.int64),
        np.zeros((trace, len(module.STEP_COLUMNS)), np.int64),
        np.zeros((decisions, 3), np.int64),
        np.zeros(1, np.int64),
        np.zeros(len(replicas), np.int64),
        np.zeros(len(replicas), np.int64),
    )
    scratch = module.new_scratch(rules, load)
    end_ns = module.play(times, rules, load, course, pool, queues, cluster, tally, scratch)
    middle = (np.arange(module.GAP_BINS) + 0.5) / module.GAP_STEPS
    sizes = np.array([r.scheduler.block_size for r in replicas])
    return Outcome(
        requests=requests,
        arrived_s=_seconds(course.arrived_ns),
        started_s=_seconds(course.started_ns),
        first_s=_seconds(course.first_ns),
        last_s=_seconds(np.where(course.generated == requests.output, course.last_ns, -1)),
        hits=course.hits,
        preempted=course.preempted,
        replica=course.replica,
        end_s=float(end_ns) * 1e-9,
        steps=int(tally.counts[0]),
        tokens=int(tally.counts[1]),
        gap_s=module.GAP_LEAST_NS * 2**middle * 1e-9,
        gap_count=tally.gaps,
        busy_s=tally.busy_ns * 1e-9,
        peak_tokens=tally.peak * sizes,
        trace=tally.steps[: tally.counts[3]],
        decisions=tally.decisions[: tally.taken[0]],
    )


def check(requests: Requests, replicas: Sequence[Replica]) -> None:
    """Refuse what could never end.

    Raises:
        InputError: no replica can hold a request, or roles lack a partner.
    """
    roles = {replica.role for replica in replicas}
    if not replicas:
        raise InputError("there are no replicas")
    if (len(roles) > 1 and roles != {"prefill", "decode"}) or (
        len(roles) == 1 and "both" not in roles
    ):
        raise InputError(
            f"replicas are {', '.join(sorted(roles))}",
            allowed="all 'both', or some 'prefill' and some 'decode'",
        )
    longest = int((requests.prompt + requests.output).max())
    for replica in replicas:
        rules = replica.scheduler
        room = min(replica.kv_tokens - rules.block_size, rules.max_model_len)
        if longest > room:
            raise InputError(
                f"the longest request has {longest:,} tokens, {replica.name} has room for {room:,}",
                hint="fewer tokens, more memory, or more ranks of tensor parallelism",
            )
        most = int(requests.prompt.max())
        if not rules.chunked_prefill and most > rules.max_num_batched_tokens:
            raise InputError(
                f"a prompt of {most:,} tokens is more than a step's "
                f"{rules.max_num_batched_tokens:,}, and prompts are not chunked",
                hint="chunked prefill, or a larger max_num_batched_tokens",
            )


def _ns(seconds: np.ndarray) -> np.ndarray:
    return np.round(np.asarray(seconds, float) * 1e9).astype(np.int64)


def _seconds(ns: np.ndarray) -> np.ndarray:
    return np.where(ns < 0, np.nan, ns * 1e-9)


def _rules(replicas: Sequence[Replica], policies: Sequence[str], load: Load) -> Rules:
    # A cache that holds all requests at once is never short of blocks, however large it is.
    all_blocks = int(load.table_start[-1]) + 2
    kinds: dict[int, int] = {}
    rows = []
    for number, replica in enumerate(replicas):
        rules = replica.scheduler
        if rules.policy not in policies:
            raise unknown_name("scheduler", rules.policy, policies)
        row = (
            policies.index(rules.policy),
            rules.max_num_seqs,
            rules.max_num_batched_tokens,
            rules.max_prefill_tokens,
            rules.block_size,
            min(replica.kv_tokens // rules.block_size, all_blocks),
            rules.prefix_caching,
            rules.reserve_full_prompt,
            rules.chunked_prefill,
            rules.max_model_len,
            ROLES.index(replica.role),
            kinds.setdefault(id(replica.times), len(kinds)),
            *_group(replicas, number),
        )
        rows.append(row)
    return Rules(*(np.ascontiguousarray(column) for column in np.array(rows, np.int64).T))


def _group(replicas: Sequence[Replica], number: int) -> tuple[int, int]:
    """First replica of a replica's group, and its number of replicas."""
    group = replicas[number].group
    if group is None:
        return number, 1
    members = [n for n, replica in enumerate(replicas) if replica.group == group]
    return members[0], len(members)


def _load(requests: Requests, replicas: Sequence[Replica]) -> Load:
    size = min(replica.scheduler.block_size for replica in replicas)
    longest = (requests.prompt.astype(np.int64) + requests.output) // size + 2
    return Load(
        _ns(requests.arrival_s),
        requests.prompt,
        requests.output,
        requests.successor,
        requests.key_start,
        requests.keys,
        np.concatenate([[0], np.cumsum(longest)]).astype(np.int64),
    )
