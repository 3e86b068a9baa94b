"""Plan search: all plans that divide, ranked by a closed form, the best of them played.

The closed form of a plan is that of its schedule (see `lydite.cluster.schedules`),

    (m + (p - 1) / v) (F + B) + 2 (p - 1) sends + what gradients take longer than the last backward
    pass + update

with F and B of the slowest stage. What a layer costs depends on the tensor-parallel degree, the
micro-batch and the sharing of sequences alone, so that thousands of plans need a few dozen
simulations of a rank's graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lydite.cluster.collectives import Group
from lydite.cluster.memory import States, memory_of_rank, states_of
from lydite.cluster.plan import Plan
from lydite.cluster.simulate import StepResult, groups_of, rank_units, simulate_step
from lydite.cluster.stages import Unit, shared_out
from lydite.errors import GraphError, InputError
from lydite.estimate.base import Estimator
from lydite.graph import Graph
from lydite.graph.training import OPTIMIZERS
from lydite.hardware.cluster import Cluster

MICRO_BATCHES = (1, 2, 3, 4, 6, 8, 12, 16)
CHUNKS = (1, 2, 3, 4, 6, 8, 12)


@dataclass(frozen=True)
class Candidate:
    """A plan, its closed form and its memory."""

    plan: Plan
    seconds: float
    memory_bytes: float


@dataclass(frozen=True)
class Found:
    """What a search saw.

    Attributes:
        considered: plans that divide.
        fitting: of them, those that have room.
        best: the fastest of these, played, fastest first.
        guessed: seconds by the closed form, of the plans that were played.
    """

    considered: int
    fitting: int
    best: Sequence[StepResult]
    guessed: Mapping[Plan, float]


def search(
    build: Callable[[int], Graph], cluster: Cluster, batch: int, estimator: Estimator, *,
    loss: str | None = None, optimizer: str = "adam", keep: int = 10,
    progress: Callable[[int, int, str], None] = lambda *_: None,
) -> Found:  # fmt: skip
    """The best training plans over all ranks of a cluster.

    Args:
        build: makes the net for a micro-batch.
        cluster: all of it is used.
        batch: samples of a step over all ranks.
        estimator, loss, optimizer: as `simulate_step`.
        keep: how many to play and give back.
        progress: told how many kinds of ranks are done.

    Raises:
        InputError: no plan divides, or none fits in memory (by how much the nearest misses).
    """
    kinds: dict[tuple[int, int, bool], tuple[list[Unit], str]] = {}
    wanted = [
        (tp, micro, sequence) for micro in MICRO_BATCHES for tp in _powers(cluster.devices_per_host)
        for sequence in (False, True) if (tp > 1 or not sequence) and batch % micro == 0
    ]  # fmt: skip
    graphs: dict[int, Graph] = {}
    for number, (tp, micro, sequence) in enumerate(wanted):
        progress(number, len(wanted), f"tp {tp}, micro-batch {micro}")
        if micro not in graphs:
            graphs[micro] = build(micro)
        graph = graphs[micro]
        plan = Plan(tp=tp, micro_batch=micro, sequence_parallel=sequence)
        try:
            units, _, dtype = rank_units(graph, cluster, plan, estimator, loss, optimizer)
        except (InputError, GraphError):
            continue  # heads or widths do not divide
        kinds[tp, micro, sequence] = units, dtype
    candidates = list(_candidates(kinds, cluster, batch, len(OPTIMIZERS[optimizer].states)))
    room = [c for c in candidates if c.memory_bytes <= cluster.device.memory_bytes]
    if not room:
        raise _none(candidates, cluster)
    room.sort(key=lambda candidate: candidate.seconds)
    played = [
        simulate_step(
            graphs[c.plan.micro_batch], cluster, c.plan, estimator, loss=loss, optimizer=optimizer
        )
        for c in room[:keep]
    ]
    played.sort(key=lambda result: result.seconds)
    guessed = {c.plan: c.seconds for c in room[:keep]}
    return Found(len(candidates), len(room), played, guessed)


def _none(candidates: Sequence[Candidate], cluster: Cluster) -> InputError:
    if not candidates:
        return InputError("no plan divides model, batch and ranks", where=cluster.name)
    least = min(candidates, key=lambda c: c.memory_bytes)
    return InputError(
        f"none of {len(candidates)} plans fits: the nearest needs {least.memory_bytes / 2**30:.1f} "
        f"GiB on a device", where=cluster.name,
        allowed=f"{cluster.device.memory_bytes / 2**30:.1f} GiB", hint="take more hosts",
    )  # fmt: skip


def _powers(most: int) -> Iterator[int]:
    value = 1
    while value <= most:
        yield value
        value *= 2


def _candidates(
    kinds: dict[tuple[int, int, bool], tuple[list[Unit], str]], cluster: Cluster, batch: int,
    states: int,
) -> Iterator[Candidate]:  # fmt: skip
    groups: dict[tuple[int, int], dict[str, Group]] = {}
    for (tp, micro, sequence), (units, dtype) in kinds.items():
        layers = max(1, sum(unit.cost.block.count > 1 for unit in units))
        for pp in _divisors(layers):
            if cluster.ranks % (tp * pp):
                continue
            dp = cluster.ranks // (tp * pp)
            if batch % (dp * micro):
                continue
            base = Plan(
                dp=dp, tp=tp, pp=pp, micro_batch=micro, batch=batch, sequence_parallel=sequence
            )
            found = groups.setdefault((tp, pp), groups_of(cluster, base))
            for plan in _variants(base, layers):
                yield _candidate(plan, units, found, states_of(dtype, states))


def _divisors(count: int) -> list[int]:
    return [n for n in range(1, count + 1) if count % n == 0]


def _variants(base: Plan, layers: int) -> Iterable[Plan]:
    for recompute in ("none", "full"):
        for zero in range(4 if base.dp > 1 else 1):
            if zero >= 2 and base.pp > 1:
                continue  # gradients of a pipeline come once a micro-batch
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


def _candidate(
    plan: Plan, units: list[Unit], groups: dict[str, Group], states: States
) -> Candidate:
    again = plan.recompute == "full"
    stages = shared_out(units, plan.pp * plan.chunks)
    slowest = max(
        sum(_forward(unit) * (2 if again else 1) + _backward(unit) for unit in stage)
        for stage in stages
    )
    batches = plan.micro_batches * plan.chunks + plan.pp - 1
    whole = batches * slowest
    last = stages[:: plan.pp]
    own = [unit for stage in last for unit in stage]
    sent = _gradients(plan, own, groups["dp"])
    hidden = sum(_backward(unit) for unit in own)
    update = sum(unit.optimizer_ps for unit in own) * 1e-12 / (plan.dp if plan.zero else 1)
    if plan.pp > 1:  # while the pipeline fills and drains nothing hides what is handed on
        edge = max(unit.boundary_bytes for unit in own)
        whole += 2 * (plan.pp - 1) * groups["pp"].seconds("Send", edge)
    memory = memory_of_rank(stages, plan, states, 0)
    total = whole + max(0.0, sent - hidden) + update
    return Candidate(plan, total, sum(memory.values()))


def _forward(unit: Unit) -> float:
    return (unit.forward_ps + unit.forward_tensor_ps) * 1e-12


def _backward(unit: Unit) -> float:
    return (unit.data_ps + unit.data_tensor_ps + unit.weights_ps) * 1e-12


def _gradients(plan: Plan, units: Sequence[Unit], data: Group) -> float:
    size = sum(unit.gradient_bytes for unit in units)
    if plan.zero == 0:
        return data.seconds("AllReduce", size)
    weights = sum(unit.weight_bytes for unit in units)
    gathered = data.seconds("AllGather", weights)
    times = 2 * plan.micro_batches if plan.zero == 3 else 1
    return data.seconds("ReduceScatter", size) + gathered * times
