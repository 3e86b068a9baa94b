"""Requests played on replicas in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from lydite.engine.compiled import Notify, load_from, on_stderr
from lydite.errors import InputError, unknown_name
from lydite.serving.fleet import Fleet
from lydite.serving.kernels.fleet import STARTING, UP, new_fleet
from lydite.serving.kernels.fleet import Fleet as FleetState
from lydite.serving.kernels.state import (
    MOST_DRAFTS,
    RULES,
    Load,
    new_course,
    new_flights,
    new_pool,
    new_queues,
)
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
    """

    scheduler: Scheduler
    times: StepTimes
    kv_tokens: int
    role: Role = "both"
    name: str = "replica"
    group: int | None = None
    speculation: Speculation | None = None

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
        drafted, accepted: Number of tokens that were drafted and verified, and of those accepted.
        gap_s, gap_count: Times between two tokens of a request (geometric middle of each bin), and
            how often; tokens that come together, as with speculation, have none between them.
        gap_start: Where the gaps of each of the first requests begin in `gap_ns`, with the end:
            int64 [followed requests + 1].
        gap_ns: Time before each token after the first, -1 where it came with the one before it or
            not at all: int64.
        busy_s: Time that each replica computed.
        peak_tokens: Most tokens in the KV cache of each replica.
        retried: How often each was sent again since its replica failed: int32 [requests].
        on_s: Time that each replica ran or started, up to `end_s`.
        failures, starts, stops: How often replicas failed, were started and were stopped.
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
    drafted: int
    accepted: int
    gap_s: np.ndarray
    gap_count: np.ndarray
    gap_start: np.ndarray
    gap_ns: np.ndarray
    busy_s: np.ndarray
    peak_tokens: np.ndarray
    retried: np.ndarray
    on_s: np.ndarray
    failures: int
    starts: int
    stops: int
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

    def itls_s(self, request: int) -> np.ndarray | None:
        """Gaps between the tokens of a request in seconds, in order; None where they aren't kept.

        Tokens that come together, as with speculation, have no gap between them.
        """
        if request >= len(self.gap_start) - 1:
            return None
        gaps = self.gap_ns[self.gap_start[request] : self.gap_start[request + 1]]
        return gaps[gaps >= 0] * 1e-9


def simulate_serving(
    requests: Requests,
    replicas: Sequence[Replica],
    traffic: Traffic | None = None,
    fleet: Fleet | None = None,
    *,
    until_s: float | None = None,
    trace: int = 0,
    decisions: int = 0,
    gaps: int = 0,
    notify: Notify = on_stderr,
) -> Outcome:
    """Play requests on replicas.

    Args:
        requests: Workload.
        replicas: Where they run; all "both", or some "prefill" and some "decode".
        traffic: What connects the replicas; None for the usual.
        fleet: Replicas that fail, are started and are stopped; None for all that always run.
        until_s: Time to stop; None plays all requests to their end.
        trace: Number of steps to keep.
        decisions: Number of rows of scheduled requests to keep.
        gaps: Most gaps between tokens to keep, of the first requests that have no more together;
            each takes 8 bytes.
        notify: What is told that kernels are compiled.

    Raises:
        InputError: no replica can hold a request (says by how much), or roles lack a partner.
    """
    traffic = traffic or Traffic()
    check(requests, replicas)
    module = load_from(KERNELS, "play", "the serving loop", 15, notify)
    if traffic.router not in module.ROUTERS:
        raise unknown_name("router", traffic.router, module.ROUTERS)
    load = _load(requests, replicas)
    rules = _rules(replicas, module.POLICIES, load)
    times = stacked(_kinds(replicas))
    course, pool, queues = new_course(load), new_pool(rules), new_queues(rules)
    ruled = _fleet(fleet, replicas, len(requests))
    flights = new_flights(rules, len(requests))
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
        *_followed(requests, gaps),
        np.zeros(5, np.int64),
        np.zeros((trace, len(module.STEP_COLUMNS)), np.int64),
        np.zeros((decisions, 3), np.int64),
        np.zeros(1, np.int64),
        np.zeros(len(replicas), np.int64),
        np.zeros(len(replicas), np.int64),
    )
    scratch = module.new_scratch(rules, load, len(ruled.outages))
    end_ns = module.play(
        times, rules, load, course, pool, queues, flights, ruled, cluster, tally, scratch
    )
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
        drafted=int(tally.counts[2]),
        accepted=int(tally.counts[3]),
        gap_s=module.GAP_LEAST_NS * 2**middle * 1e-9,
        gap_count=tally.gaps,
        gap_start=tally.gap_start,
        gap_ns=tally.gap_ns,
        busy_s=tally.busy_ns * 1e-9,
        peak_tokens=tally.peak * sizes,
        retried=np.broadcast_to(ruled.retried, len(requests)),
        on_s=_on_s(ruled, int(end_ns)),
        failures=int(ruled.counts[0]),
        starts=int(ruled.counts[1]),
        stops=int(ruled.counts[2]),
        trace=tally.steps[: tally.counts[4]],
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
        ahead = replica.speculation.ahead if replica.speculation else 0
        room = min(replica.kv_tokens - rules.block_size - ahead, rules.max_model_len)
        if longest > room:
            drafts = f" beside {ahead} for drafts" if ahead else ""
            raise InputError(
                f"the longest request has {longest:,} tokens, {replica.name} has room for {room:,}"
                f"{drafts}",
                hint="fewer tokens, more memory, or more ranks of tensor parallelism",
            )
        most = int(requests.prompt.max())
        if not rules.chunked_prefill and most > rules.max_num_batched_tokens:
            raise InputError(
                f"a prompt of {most:,} tokens is more than a step's "
                f"{rules.max_num_batched_tokens:,}, and prompts are not chunked",
                hint="chunked prefill, or a larger max_num_batched_tokens",
            )
        if rules.priorities and rules.policy != "vllm":
            raise InputError(f"priorities are not modelled for {rules.policy}", allowed="vllm")
        if len(replica.times.stages) > 1:
            _check_stages(replica)
        if replica.speculation is not None:
            _check_speculation(replica.speculation, rules)


def _check_stages(replica: Replica) -> None:
    rules = replica.scheduler
    if rules.policy != "vllm":
        raise InputError(f"pipeline stages are not modelled for {rules.policy}", allowed="vllm")
    if replica.speculation is not None:
        raise InputError("speculation in pipeline stages is not modelled")
    if replica.group is not None:
        raise InputError("pipeline stages of replicas that step together are not modelled")


def _check_speculation(speculation: Speculation, rules: Scheduler) -> None:
    if rules.policy != "vllm":
        raise InputError(f"speculation is not modelled for {rules.policy}", allowed="vllm")
    chances = np.array(speculation.acceptance, float)
    if not 1 <= speculation.tokens <= MOST_DRAFTS:
        raise InputError(f"{speculation.tokens} draft tokens", allowed=f"1 to {MOST_DRAFTS}")
    if len(chances) != speculation.tokens:
        raise InputError(f"{len(chances)} chances of acceptance for {speculation.tokens} drafts")
    if not ((chances >= 0) & (chances <= 1)).all():
        raise InputError("a chance of acceptance is not between 0 and 1")
    if not 0 <= speculation.seed < 1 << 63:
        raise InputError(f"a seed of {speculation.seed}", allowed="0 to 9,223,372,036,854,775,807")


def _ns(seconds: np.ndarray) -> np.ndarray:
    return np.round(np.asarray(seconds, float) * 1e9).astype(np.int64)


def _seconds(ns: np.ndarray) -> np.ndarray:
    return np.where(ns < 0, np.nan, ns * 1e-9)


def _rules(replicas: Sequence[Replica], policies: Sequence[str], load: Load) -> np.ndarray:
    # A cache that holds all requests at once is never short of blocks, however large it is.
    all_blocks = int(load.table_start[-1]) + 2
    kinds: dict[int, int] = {id(each): n for n, each in enumerate(_kinds(replicas))}
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
            rules.priorities,
            ROLES.index(replica.role),
            kinds[id(replica.times)],
            *_group(replicas, number),
            len(replica.times.stages),
            *_drafting(replica.speculation, kinds),
        )
        rows.append(row)
    return np.array(rows, RULES)


def _kinds(replicas: Sequence[Replica]) -> list[StepTimes]:
    """The different step times of replicas and of the models that draft for them."""
    every = [replica.times for replica in replicas]
    every += [r.speculation.times for r in replicas if r.speculation and r.speculation.times]
    return list({id(each): each for each in every}.values())


def _drafting(speculation: Speculation | None, kinds: dict[int, int]) -> tuple[Any, ...]:
    """Drafts, lookahead, the row of the drafting model's times, the seed, and the chances."""
    chances = np.zeros(MOST_DRAFTS)
    if speculation is None:
        return 0, 0, -1, 0, chances
    row = -1 if speculation.times is None else kinds[id(speculation.times)]
    ahead = speculation.tokens if speculation.lookahead else 0
    chances[: speculation.tokens] = np.cumprod(speculation.acceptance)
    return speculation.tokens, ahead, row, speculation.seed, chances


def _fleet(fleet: Fleet | None, replicas: Sequence[Replica], requests: int) -> FleetState:
    """The fleet for the kernels.

    Raises:
        InputError: replicas have roles or step together, or there are fewer than the least.
    """
    limits, outages = np.array([-1, 0, 0, 0], np.int64), np.zeros((0, 3), np.int64)
    if fleet is not None:
        if any(replica.role != "both" or replica.group is not None for replica in replicas):
            raise InputError(
                "failures and scaling are not modelled for prefill and decode apart, or for "
                "replicas that step together"
            )
        limits[3] = _nanoseconds(fleet.cold_s)
        if fleet.scale is not None:
            scale = fleet.scale
            if not 1 <= scale.least <= len(replicas):
                raise InputError(
                    f"{scale.least} replicas at least", allowed=f"1 to {len(replicas)}"
                )
            limits[:3] = scale.least, scale.queue, _nanoseconds(scale.idle_s)
        rows = [
            (
                _nanoseconds(each.at_s),
                each.replica,
                -1 if each.duration_s == np.inf else _nanoseconds(each.duration_s),
            )
            for each in fleet.failures
        ]
        outages = np.array(rows, np.int64).reshape(-1, 3)
    return new_fleet(len(replicas), requests, limits, outages, fleet is not None)


def _nanoseconds(seconds: float) -> int:
    return round(min(seconds, 1e9) * 1e9)


def _on_s(fleet: FleetState, end_ns: int) -> np.ndarray:
    """Time that each replica ran or started, up to the end of the last step."""
    running = np.isin(fleet.state, (UP, STARTING))
    on_ns = fleet.on_ns + np.where(running, np.maximum(end_ns - fleet.since_ns, 0), 0)
    return np.minimum(on_ns, end_ns) * 1e-9


def _followed(requests: Requests, gaps: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the gaps of the first requests that have no more together begin, and room for them."""
    ends = np.cumsum(requests.output.astype(np.int64) - 1)
    count = int(np.searchsorted(ends, gaps, "right")) if gaps else 0
    starts = np.concatenate([[0], ends[:count]]).astype(np.int64)
    return starts, np.full(int(starts[-1]), -1, np.int64)


def _group(replicas: Sequence[Replica], number: int) -> tuple[int, int]:
    """First replica of a replica's group, and its number of replicas."""
    group = replicas[number].group
    if group is None:
        return number, 1
    members = [n for n, replica in enumerate(replicas) if replica.group == group]
    return members[0], len(members)


def _load(requests: Requests, replicas: Sequence[Replica]) -> Load:
    size = min(replica.scheduler.block_size for replica in replicas)
    ahead = max(r.speculation.ahead if r.speculation else 0 for r in replicas)
    longest = (requests.prompt.astype(np.int64) + requests.output + ahead) // size + 2
    return Load(
        _ns(requests.arrival_s),
        requests.prompt,
        requests.output,
        requests.priority,
        requests.successor,
        requests.key_start,
        requests.keys,
        np.concatenate([[0], np.cumsum(longest)]).astype(np.int64),
    )
