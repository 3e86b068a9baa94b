"""`simulate`: simulate a training or inference step of a model on a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from typing_extensions import TypedDict

from lydite.api.devices import chain_for
from lydite.api.keywords import StepKeywords
from lydite.api.load import Model, ModelLike, for_ranks, resolve, takes_phase, unwrapped
from lydite.api.options import ModelOptions, grouped_options
from lydite.api.plan_options import PlanOptions
from lydite.api.step_options import ClusterOptions, FailureOptions
from lydite.errors import InputError, LyditeError
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.cluster import Plan, StepResult
    from lydite.cluster.goodput import Goodput
    from lydite.graph import Graph

PLAN_DECIDES = ("batch", "recompute")
"""Options of a model that the plan of a step replaces."""
USUAL_LENGTH = 4096


class CollectiveGroup(TypedDict):
    """Ranks that exchange data, and which of their collectives were measured."""

    ranks: int
    hosts: int
    model: str
    measured: list[str]


class StepDocument(TypedDict):
    """A step; low_s and high_s follow from the bounds of the operators' estimates."""

    model: str
    cluster: str
    device: str
    ranks: int
    plan: dict[str, Any]
    micro_batches: int
    samples: int
    seconds: float
    low_s: float
    high_s: float
    source: str
    samples_per_s: float
    sequence: int | None
    tokens_per_s: float | None
    mfu: float
    dtype: str
    dtype_reason: str
    notes: list[str]
    runtime: str
    breakdown_s: dict[str, float]
    hidden_communication_s: float
    critical_path_s: dict[str, float]
    memory_bytes: list[dict[str, float]]
    peak_memory_bytes: float
    host_memory_bytes: float
    capacity_bytes: float
    fits: bool
    energy_j: float | None
    cost_usd: float | None
    co2_kg: float | None
    time_by_source: dict[str, float]
    constants: dict[str, Any]
    collectives: dict[str, CollectiveGroup]
    ranks_played: int
    folded: bool
    network: str
    computed_whole: dict[str, int]


class SimulateDocument(StepDocument):
    """A step with its sensitivity and goodput, if requested."""

    ten_percent_more_saves: dict[str, float] | None
    goodput: dict[str, Any] | None


@dataclass(frozen=True, eq=False, repr=False)
class SimulateResult(Result):
    """A simulated step.

    Attributes:
        model: Model of one rank.
        step: Result of the simulation.
        sequence: Number of tokens per sample; None if samples have no tokens.
        runtime: Name of the requested runtime.
        saves: Share of the step saved by 10 % more of each resource, by resource.
        goodput: Goodput of the job under failures.
    """

    verb = "simulate"
    deprecated: ClassVar[Mapping[str, str]] = {"step_s": "seconds", "kind": "source"}

    model: Model
    step: StepResult
    sequence: int | None
    runtime: str | None = None
    saves: Mapping[str, float] = field(default_factory=dict)
    goodput: Goodput | None = None

    @property
    def seconds(self) -> float:
        """Time of the step in seconds."""
        return self.step.seconds

    @property
    def low_s(self) -> float:
        """Lower bound of the operators' estimates, in seconds."""
        return self.step.low

    @property
    def high_s(self) -> float:
        """Upper bound of the operators' estimates, in seconds."""
        return self.step.high

    @property
    def critical_path(self) -> dict[str, float]:
        """Seconds by category along the critical path."""
        return self.step.critical_s

    @property
    def fits(self) -> bool:
        """Whether the memory of every rank suffices."""
        return self.step.fits

    @property
    def misfit(self) -> str:
        """What does not fit in memory, and what would help; "" if everything fits."""
        from lydite.cluster import fitting

        return fitting(self.step)

    def document(self) -> SimulateDocument:
        """The whole step."""
        from lydite.cluster.goodput import document as goodput_document

        return {
            **step_document(self.step, self.model, self.sequence),
            "ten_percent_more_saves": dict(self.saves) or None,
            "goodput": goodput_document(self.goodput) if self.goodput else None,
        }

    def summary(self) -> str:
        """Time, throughput, breakdown, memory, cost, goodput and sensitivity."""
        from lydite.cluster.goodput import goodput_lines
        from lydite.report.text.step import savings_text, step_text

        parts = [self.model.noted(step_text(self.step, self.sequence, self.dtype_note))]
        if self.goodput is not None:
            parts += goodput_lines(self.goodput)
        if self.saves:
            parts += ["", savings_text(self.saves)]
        return "\n".join(parts)

    def headline(self) -> str:
        """Time of the step and its bounds."""
        from lydite.report.text.step import headline

        return headline(self.step)

    @property
    def dtype_note(self) -> str:
        """Reason for a language model's data type; "" for other models."""
        return self.model.dtype_reason if takes_phase(self.model) else ""

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per part of the step's time."""
        parts = self.step.breakdown_s.items()
        whole = self.seconds or 1.0
        return [{"part": name, "seconds": s, "share": s / whole} for name, s in parts]

    def write_trace(self, path: Path | str) -> Path:
        """Write the timeline as a Perfetto trace."""
        from lydite.cluster.program import CATEGORIES
        from lydite.report.trace import slices_of, write_trace

        slices = slices_of(self.step.timeline, self.step.played.server_names, CATEGORIES)
        return write_trace(Path(path), slices, process=self.step.model)

    def write_report(self, path: Path | str) -> Path:
        """Write a self-contained HTML page."""
        from lydite.report.step import write_step_page

        return write_step_page(self.step, Path(path))


def step_document(result: StepResult, model: Model, sequence: int | None) -> StepDocument:
    """The whole step, with units in the keys."""
    plan = result.plan
    return {
        "model": result.model,
        "cluster": result.cluster.name,
        "device": result.cluster.device.name,
        "ranks": plan.ranks,
        "plan": {f.name: getattr(plan, f.name) for f in fields(plan)},
        "micro_batches": plan.micro_batches,
        "samples": result.samples,
        "seconds": result.seconds,
        "low_s": result.low,
        "high_s": result.high,
        "source": "modelled",
        "samples_per_s": result.samples / result.seconds,
        "sequence": sequence,
        "tokens_per_s": sequence * result.samples / result.seconds if sequence else None,
        "mfu": result.mfu,
        "dtype": result.dtype,
        "dtype_reason": model.dtype_reason,
        "notes": list(model.notes),
        "runtime": result.runtime,
        "breakdown_s": dict(result.breakdown_s),
        "hidden_communication_s": result.hidden_s,
        "critical_path_s": dict(result.critical_s),
        "memory_bytes": [dict(stage) for stage in result.memory],
        "peak_memory_bytes": result.peak_memory_bytes,
        "host_memory_bytes": result.host_memory_bytes,
        "capacity_bytes": result.capacity_bytes,
        "fits": result.fits,
        "energy_j": result.energy_j,
        "cost_usd": result.cost_usd,
        "co2_kg": result.co2_kg,
        "time_by_source": dict(result.by_source),
        "constants": {**result.constants.values, "source": result.constants.source},
        "collectives": {
            name: {
                "ranks": group.ranks,
                "hosts": group.hosts,
                "model": group.model,
                "measured": sorted(group.measured),
            }
            for name, group in result.groups.items()
            if group.ranks > 1
        },
        "ranks_played": result.played.ranks,
        "folded": result.folded,
        "network": result.network,
        "computed_whole": dict(result.computed_whole),
    }


def simulate(
    session: Session,
    model: ModelLike,
    *,
    runtime: str | None = None,
    sensitivity: bool = False,
    unfolded: bool = False,
    network: str = "closed",
    strict: bool = False,
    options: ModelOptions | None = None,
    cluster: ClusterOptions | None = None,
    plan: PlanOptions | None = None,
    failures: FailureOptions | None = None,
    **given: Unpack[StepKeywords],
) -> SimulateResult:
    """Simulate a training (`train=True`) or inference step on a cluster.

    Args:
        session: Session whose database holds measurements of operators and collectives.
        model: Model to run; see `load`.
        runtime: Name in `lydite.estimate.runtimes.RUNTIMES`; None for the usual one.
        sensitivity: Whether to compute the share that 10 % more of each resource saves.
        unfolded: Whether to simulate every kernel and message of every rank.
        network: "closed" for collectives in closed form, "links" to simulate messages that share
            the cluster's links.
        strict: Whether a step that does not fit in memory is an error.
        options, cluster, plan, failures: Groups of options.
        given: Fields of `ModelOptions`, `ClusterOptions`, `PlanOptions` and `FailureOptions`, such
            as `train=True, on="dgx-h100 x 128", tp=8`. `batch` is the plan's: number of samples per
            step over all replicas.

    Raises:
        InputError: the model, cluster or an option is unknown, or the degrees do not divide the
            ranks.
    """
    from lydite.cluster import require_fit, simulate_step
    from lydite.cluster.constants import with_curves
    from lydite.cluster.sensitivity import sensitivity as savings
    from lydite.estimate import Rows
    from lydite.estimate.runtimes import find_runtime, fuse_for_runtime

    net, where, degrees, failing = grouped(given, options, cluster, plan, failures)
    source, net, example = unwrapped(model, net)
    if where.host_memory_bandwidth is not None and degrees.offload == "none":
        raise InputError(
            "--host-memory-bandwidth has no effect without offload",
            hint="add --offload optimizer",
        )
    chosen_runtime = find_runtime(runtime)
    found, constants, told = where.cluster(), where.known_constants(), failing.seconds()
    attention = chosen_runtime.attention if chosen_runtime else "fused"
    layout = degrees.plan(found.ranks, training=net.train, attention=attention)
    layout = replace(layout, runtime=runtime or "")
    constants = degrees.with_arithmetic(constants, found.device)
    if chosen_runtime is not None:
        constants = replace(constants, dispatch_s=None)
    with session.readings() as database:
        rows = Rows("torch", 1, "wall")
        estimator, _ = chain_for([database], found.device, rows, constants.achieved)
        constants = with_curves(constants, database, found)
        training: dict[str, Any] = {
            "loss": net.loss,
            "optimizer": (net.optimizer or "adam") if net.train else None,
            "constants": constants,
        }
        played: dict[str, Any] = {"unfolded": unfolded, "network": network}

        def at(micro_batch: int) -> tuple[Model, Graph, Plan, StepResult]:
            plan_of_it = replace(layout, micro_batch=micro_batch)
            shape = rank_options(net, source, micro_batch, layout.cp, layout.tp)
            made = resolve(source, shape, found.device, example=example)
            graph = _bound(made.graph)
            if not net.train and layout.tp == 1:
                graph = fuse_for_runtime(graph, chosen_runtime)
            step = simulate_step(graph, found, plan_of_it, estimator, **training, **played)
            return made, graph, plan_of_it, step

        # Without --micro-batch, the largest that fits; where none does, the smallest.
        sizes = iter(degrees.micro_batches(layout, training=net.train))
        made, graph, layout, step = at(next(sizes))
        for size in sizes:
            if step.fits:
                break
            made, graph, layout, step = at(size)
        saves = (
            savings(graph, found, layout, estimator, network=network, **training)
            if sensitivity
            else {}
        )
    if strict:
        require_fit(step)
    lasting = _goodput(step, told)
    return SimulateResult(made, step, _tokens(graph, layout.cp), runtime, saves, lasting)


def _bound(graph: Graph) -> Graph:
    """The graph, if all sizes of its inputs are known.

    Raises:
        InputError: a symbolic size is not bound.
    """
    if graph.open_dims:
        names = " ".join(f"--dim {name}=SIZE" for name in graph.open_dims)
        raise InputError("symbolic sizes are not bound", where=graph.name, hint=f"add {names}")
    return graph


def grouped(
    given: Mapping[str, object],
    options: ModelOptions | None,
    cluster: ClusterOptions | None,
    plan: PlanOptions | None,
    failures: FailureOptions | None,
) -> tuple[ModelOptions, ClusterOptions, PlanOptions, FailureOptions]:
    """Sort keyword arguments into the groups; `batch` belongs to the plan.

    Raises:
        InputError: no group has the name (the error suggests the nearest one).
    """
    made = grouped_options(
        given,
        (PlanOptions, plan),
        (ClusterOptions, cluster),
        (FailureOptions, failures),
        (ModelOptions, options),
    )
    degrees, where, failing, net = made
    return net, where, degrees, failing


def rank_options(
    net: ModelOptions, model: ModelLike, micro_batch: int | None, cp: int, tp: int = 1
) -> ModelOptions:
    """Options of the model of one rank.

    By default, language models are trained on as many tokens as they take, at most 4,096. Each of
    the tensor-parallel ranks has a key and value head of its own; see `for_ranks`.

    Raises:
        InputError: the context-parallel ranks do not divide the tokens, or the phase cannot be
            trained.
    """
    for name in ("optimizer", "loss"):
        value = getattr(net, name)
        if value is not None and not net.train:
            raise InputError(f"--{name} {value} asks for training", hint="add --train")
    sequence = net.sequence or (trained_length(model) if net.train else None)
    if cp > 1 and (sequence is None or sequence % cp):
        raise InputError(
            f"--cp {cp} does not divide the sequence of {sequence or 'unknown'} tokens",
            allowed=f"multiples of {cp}",
            hint="add --sequence TOKENS",
        )
    phase = net.phase
    if net.train and phase not in (None, "forward"):
        raise InputError(f"--train with --phase {phase}", allowed="forward")
    if net.train and phase is None and takes_phase(model):
        phase = "forward"
    one = replace(
        net,
        batch=micro_batch,
        sequence=sequence // cp if sequence else None,
        phase=phase,
        train=False,
        optimizer=None,
        loss=None,
        recompute=None,
    )
    return for_ranks(model, one, tp)


def trained_length(model: ModelLike) -> int | None:
    """Number of tokens that a language model is trained on; None for other models and for files."""
    from lydite.models import describe

    if not isinstance(model, str):
        return None
    try:
        found = describe(model)
    except LyditeError:
        return None
    most = found.limits.get("sequence", (1, None))[1]
    return min(most or USUAL_LENGTH, USUAL_LENGTH) if "phase" in found.defaults else None


def _tokens(graph: Graph, cp: int) -> int | None:
    """Tokens per sample over all context-parallel ranks: second size of the first integer input."""
    for type_ in map(graph.type_of, graph.inputs):
        if type_.dtype in ("int64", "int32") and type_.shape and len(type_.shape) == 2:
            return int(type_.shape[1]) * cp
    return None


def _goodput(step: StepResult, told: Mapping[str, float | None]) -> Goodput | None:
    """Goodput of the job under failures; None without a mean time between failures."""
    from lydite.cluster.goodput import checkpoint_seconds, goodput

    every, rate = told["mtbf"], told["checkpoint_write"]
    if every is None or rate is None:
        return None
    host = step.host
    on_host = host.checkpoint_bytes(step.plan, step.stages) if host is not None else 0.0
    return goodput(
        step.seconds,
        step.samples,
        step.plan.ranks,
        mtbf_device_s=every,
        checkpoint_s=checkpoint_seconds(step.memory, rate) + on_host / rate,
        restart_s=told["restart"] or 0.0,
        interval_s=told["checkpoint_interval"],
    )
