"""Plan search: rank all valid plans by a closed form (`guess`), then simulate the best of them.

The cost of a layer depends only on the tensor-, expert- and context-parallel degrees, the
micro-batch and sequence parallelism, so thousands of plans need only a few dozen graphs to be
costed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lydite.cluster.collectives import Group
from lydite.cluster.constants import ASSUMED, Constants
from lydite.cluster.costs import BlockCost
from lydite.cluster.groups import groups_of
from lydite.cluster.guess import Staged
from lydite.cluster.memory import states_of
from lydite.cluster.plan import Plan
from lydite.cluster.rank import RankStep, launching, rank_costs, rank_step
from lydite.cluster.recompute import stages_of
from lydite.cluster.simulate import played_step
from lydite.cluster.stages import units_of
from lydite.cluster.step_result import StepResult
from lydite.errors import GraphError, InputError
from lydite.estimate.base import Estimator
from lydite.graph import Graph
from lydite.hardware.cluster import Cluster
from lydite.pool import HERE, Pool
from lydite.records import dataclass
from lydite.results import OneLine

MICRO_BATCHES = (1, 2, 3, 4, 6, 8, 12, 16)
CHUNKS = (1, 2, 3, 4, 6, 8, 12)


@dataclass(frozen=True)
class _RankCosts:
    """Costs of one micro-batch on ranks of one tensor-, expert- and context-parallel degree."""

    plan: Plan
    rank: RankStep
    costs: Sequence[BlockCost]


@dataclass(frozen=True)
class Candidate:
    """A plan with its closed-form time, its memory and the costs of its ranks."""

    plan: Plan
    seconds: float
    memory_bytes: float
    costed: _RankCosts


@dataclass(frozen=True, repr=False)
class RankedPlans(OneLine):
    """Result of a plan search.

    Attributes:
        considered: Number of plans whose factors divide.
        fitting: Number of those that fit into memory.
        best: Simulated steps of the best plans, fastest first.
        guessed: Closed-form time in seconds of the plans in `best`, by plan.
        contexts: Degrees of context parallelism that were considered.
    """

    considered: int
    fitting: int
    best: Sequence[StepResult]
    guessed: Mapping[Plan, float]
    contexts: Sequence[int] = (1,)

    def headline(self) -> str:
        """Number of plans considered and fitting, in one line."""
        return f"{self.considered} plans, {self.fitting} fit, {len(self.best)} simulated"


def search(
    build: Callable[[int, int, int], Graph],
    cluster: Cluster,
    batch: int,
    estimator: Estimator,
    *,
    loss: str | None = None,
    optimizer: str = "adam",
    constants: Constants = ASSUMED,
    contexts: Sequence[int] = (1,),
    keep: int = 10,
    pool: Pool = HERE,
    progress: Callable[[int, int, str], None] = lambda *_: None,
) -> RankedPlans:
    """The best training plans over all ranks of a cluster.

    Args:
        build: Function that builds the model of a rank for a micro-batch size and degrees of
            context and tensor parallelism; the last matters to key and value heads alone.
        cluster: Cluster to use; a plan takes all of its devices.
        batch: Samples per step over all ranks.
        estimator, loss, optimizer, constants: As for `simulate_step`.
        contexts: Degrees of context parallelism to consider, each a divisor of the tokens.
        keep: Number of plans to simulate and return.
        pool: Workers that guess and play plans, while this process costs their ranks.
        progress: Called with the rank configurations costed so far, their total and a label.

    Raises:
        InputError: no plan divides, or none fits into memory; the error says by how much the
            smallest exceeds it.
    """
    wanted = [
        (micro, cp, tp, sequence)
        for micro in MICRO_BATCHES
        for cp in contexts
        for tp in _powers(cluster.devices_per_host)
        for sequence in (False, True)
        if (tp > 1 or not sequence) and batch % micro == 0 and cluster.ranks % (tp * cp) == 0
    ]
    configurations: list[_RankCosts] = []

    def costed() -> Iterator[_RankCosts]:
        graphs: dict[tuple[int, int, int], Graph] = {}
        for number, (micro, cp, tp, sequence) in enumerate(wanted):
            context = f", cp {cp}" if cp > 1 else ""
            progress(number, len(wanted), f"tp {tp}{context}, micro-batch {micro}")
            if (micro, cp, 1) not in graphs:
                graphs.clear()  # the others have been costed
                graphs[micro, cp, 1] = build(micro, cp, 1)
            repeated = tp if tp > _key_heads(graphs[micro, cp, 1]) else 1
            if (micro, cp, repeated) not in graphs:
                graphs[micro, cp, repeated] = build(micro, cp, repeated)
            graph = graphs[micro, cp, repeated]
            for ep in _powers(_experts(graph)):
                if cluster.ranks % (tp * ep):
                    continue
                plan = Plan(
                    dp=ep, ep=ep, tp=tp, cp=cp, micro_batch=micro, sequence_parallel=sequence
                )
                try:
                    rank = rank_step(graph, plan, loss=loss, optimizer=optimizer)
                    costs = rank_costs(rank, estimator, cluster.device)
                except (InputError, GraphError):
                    continue  # heads, widths or experts do not divide
                rank = replace(rank, shape=rank.shape.without_operators())
                configurations.append(_RankCosts(plan, rank, costs))
                yield configurations[-1]

    shared = _Groups(cluster, constants), batch
    answers = pool.ordered(_guesses, shared, costed())
    candidates = [
        Candidate(plan, seconds, size, configuration)
        for configuration, guesses in zip(configurations, answers, strict=True)
        for plan, seconds, size in guesses
    ]
    room = [c for c in candidates if c.memory_bytes <= cluster.device.memory_bytes]
    if not room:
        raise _none(candidates, cluster)
    room.sort(key=lambda candidate: candidate.seconds)
    played = pool.ordered(_played, shared, room[:keep])
    played.sort(key=lambda result: result.seconds)
    guessed = {c.plan: c.seconds for c in room[:keep]}
    return RankedPlans(len(candidates), len(room), played, guessed, tuple(contexts))


def _key_heads(graph: Graph) -> int:
    """The fewest key and value heads that attention in a graph has; none without attention."""
    heads = [op.attrs.get("kv_num_heads") for op in graph.ops if op.op_type == "Attention"]
    return min((count for count in heads if isinstance(count, int)), default=1 << 30)


class _Groups:
    """Communication groups of plans, each made once; only degrees and their order matter."""

    def __init__(self, cluster: Cluster, constants: Constants) -> None:
        self.cluster, self.constants = cluster, constants
        self._known: dict[object, Mapping[str, Group]] = {}
        self._groups: dict[tuple[int, int, int], Group] = {}

    def of(self, plan: Plan) -> Mapping[str, Group]:
        """The groups of a plan by name; see `groups_of`."""
        alike = *plan.groups.items(), plan.tp * plan.replicas, plan.pp > 1
        if alike not in self._known:
            made = groups_of(self.cluster, plan, self.constants, self._groups)
            self._known[alike] = made
        return self._known[alike]


_Shared = tuple[_Groups, int]


def _guesses(shared: _Shared, costed: _RankCosts) -> list[tuple[Plan, float, float]]:
    """Plans of a rank configuration, each with its closed-form time and its memory."""
    groups, batch = shared
    return [(c.plan, c.seconds, c.memory_bytes) for c in _candidates(costed, groups, batch)]


def _played(shared: _Shared, candidate: Candidate) -> StepResult:
    groups, _ = shared
    costed, plan = candidate.costed, candidate.plan
    return played_step(
        costed.rank,
        costed.costs,
        groups.cluster,
        plan,
        groups.constants,
        groups=groups.of(plan),
    )


def _none(candidates: Sequence[Candidate], cluster: Cluster) -> InputError:
    if not candidates:
        return InputError("no plan divides model, batch and ranks", where=cluster.name)
    least = min(candidates, key=lambda c: c.memory_bytes)
    return InputError(
        f"none of {len(candidates)} plans fits: the smallest needs "
        f"{least.memory_bytes / 2**30:.1f} GiB on a device",
        where=cluster.name,
        allowed=f"{cluster.device.memory_bytes / 2**30:.1f} GiB",
        hint="use more hosts",
    )


def _powers(most: int) -> Iterator[int]:
    value = 1
    while value <= most:
        yield value
        value *= 2


def _experts(graph: Graph) -> int:
    """Number of experts per layer; 1 for a model without experts."""
    weights = [op.inputs[2] for op in graph.ops if op.op_type == "MoE"]
    return int((graph.type_of(weights[0]).shape or (1,))[0]) if weights else 1


def _candidates(costed: _RankCosts, shared: _Groups, batch: int) -> Iterator[Candidate]:
    cluster = shared.cluster
    states = states_of(costed.rank.dtype, costed.rank.states)
    layers = max(1, sum(cost.block.count for cost in costed.costs if cost.block.count > 1))
    tensor = shared.of(costed.plan)
    units = {
        again: units_of(
            costed.costs,
            replace(costed.plan, recompute=again),
            tensor,
            dispatch_s=launching(shared.constants, costed.rank).dispatch_s or 0.0,
            ahead=costed.rank.runtime.ahead,
        )
        for again in ("none", "full")
    }
    micro, tp, ep, cp = (getattr(costed.plan, name) for name in ("micro_batch", "tp", "ep", "cp"))
    for pp in _divisors(layers):
        dp = cluster.ranks // (tp * pp * cp)
        if cluster.ranks % (tp * pp * cp) or batch % (dp * micro) or dp * cp % ep:
            continue
        base = replace(costed.plan, dp=dp, pp=pp, batch=batch)
        groups = shared.of(base)
        staged: dict[tuple[str, int], Staged] = {}
        known: dict[object, Any] = {}
        for plan in _variants(base, layers):
            same = plan.recompute, plan.chunks
            if same not in staged:
                staged[same] = Staged(stages_of(units[plan.recompute], plan), plan, known)
            found = staged[same]
            yield Candidate(
                plan, found.step_s(plan, groups), found.memory_bytes(plan, states), costed
            )


def _divisors(count: int) -> list[int]:
    return [n for n in range(1, count + 1) if count % n == 0]


def _variants(base: Plan, layers: int) -> Iterable[Plan]:
    for recompute in ("none", "full"):
        for zero in range(4 if base.replicas > 1 else 1):
            if zero >= 2 and base.pp > 1:
                continue  # with a pipeline, gradients are produced once per micro-batch
            for chunks in CHUNKS:
                if chunks > 1 and (
                    base.pp == 1 or layers % (base.pp * chunks) or base.micro_batches % base.pp
                ):
                    continue
                plain = ("1f1b", "zero-bubble", "gpipe") if base.pp > 1 else ("1f1b",)
                for schedule in ("interleaved",) if chunks > 1 else plain:
                    yield replace(
                        base, recompute=recompute, zero=zero, chunks=chunks, schedule=schedule
                    )
