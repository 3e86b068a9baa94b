"""`predict`: seconds per operator and in total, with source and bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from typing_extensions import TypedDict

from lydite.api.devices import chain_for, device_and_sources
from lydite.api.keywords import ModelKeywords
from lydite.api.load import Model, ModelLike, resolve, takes_phase
from lydite.api.measuring import check_clock
from lydite.api.options import ModelOptions, chosen
from lydite.errors import InputError
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.estimate import Coverage, Prediction
    from lydite.hardware import Device

CONFIDENCE = 0.9


class CoverageDocument(TypedDict):
    """Coverage of a prediction: the share that comes from each source."""

    node_coverage: float
    type_coverage: float
    nodes_by_source: dict[str, int]
    types_covered: int
    types: int
    seconds_by_source: dict[str, float]
    uncovered_nodes_by_type: dict[str, int]


class OperatorTime(TypedDict):
    """One operator; seconds are None where there is no estimate."""

    name: str
    op_type: str
    seconds: float | None
    low_s: float | None
    high_s: float | None
    source: str
    detail: str


class PredictDocument(TypedDict):
    """A prediction; low_s and high_s bound the interval at the probability `confidence`."""

    model: str
    device: str
    threads: int
    dtype: str
    dtype_reason: str
    runtime: str | None
    notes: list[str]
    seconds: float
    low_s: float
    high_s: float
    source: str
    confidence: float
    complete: bool
    call_s: float | None
    needed_bytes: float | None
    device_bytes: float
    fits: bool | None
    coverage: CoverageDocument
    ops: list[OperatorTime]


@dataclass(frozen=True, eq=False, repr=False)
class PredictResult(Result):
    """A model's predicted time.

    Attributes:
        model: Model that was predicted.
        prediction: Estimates, operator by operator.
        threads: Number of threads per operator.
        runtime: Name of the requested runtime; None for the usual fusions.
    """

    verb = "predict"
    deprecated: ClassVar[Mapping[str, str]] = {"total_s": "seconds"}

    model: Model
    prediction: Prediction
    threads: int
    runtime: str | None = None

    @property
    def seconds(self) -> float:
        """Predicted time in seconds; a lower bound if an operator is unknown."""
        return self.prediction.total.seconds

    @property
    def low_s(self) -> float:
        """Lower bound of the 90 % interval in seconds."""
        return self.prediction.total.low

    @property
    def high_s(self) -> float:
        """Upper bound of the 90 % interval in seconds."""
        return self.prediction.total.high

    @property
    def source(self) -> str:
        """Source of the estimates: "measured", ..., or "mixed"."""
        found = list(self.prediction.coverage.seconds)
        return found[0] if len(found) == 1 else "mixed" if found else "unknown"

    @property
    def device(self) -> Device:
        """Device of the prediction."""
        return self.prediction.device

    @property
    def coverage(self) -> Coverage:
        """Shares of the time by source."""
        return self.prediction.coverage

    @property
    def complete(self) -> bool:
        """Whether every operator has an estimate."""
        return self.prediction.complete

    @property
    def needed_bytes(self) -> float | None:
        """Memory that the model needs at most at once, in bytes; None where sizes are not known."""
        from lydite.errors import GraphError
        from lydite.graph.training import memory_of

        step = self.model.step
        try:
            return memory_of(step if step is not None else self.model.graph).peak_bytes
        except GraphError:
            return float(self.model.forward.parameter_bytes) or None

    @property
    def memory_note(self) -> str:
        """That the model does not fit into the device's memory; "" where it does."""
        from lydite.units import format_bytes

        needed, there = self.needed_bytes, self.device.memory_bytes
        if needed is None or needed <= there:
            return ""
        return (
            f"does not fit: needs {format_bytes(needed)}, {self.device.name} has "
            f"{format_bytes(there)}; the time is that of a device with as much memory"
        )

    @property
    def dtype_note(self) -> str:
        """Reason for a language model's data type; "" for other models."""
        if not takes_phase(self.model):
            return ""
        return f"weights in {self.model.dtype}: {self.model.dtype_reason}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader could not honour, and what the device does not state, in sentences."""
        from lydite.estimate.imported import imported_note
        from lydite.estimate.learned.sheet import sheet_note
        from lydite.estimate.roofline import peak_note
        from lydite.estimate.subnormal import subnormal_note

        missing = (n.key for n in self.prediction.nodes if n.estimate is None)
        others = imported_note(self.prediction.nodes, named=self.runtime is not None)
        slow = subnormal_note(self.prediction.nodes)
        told = peak_note(missing, self.device), others, sheet_note(self.device), slow
        return (*self.model.notes, *filter(None, told))

    def document(self) -> PredictDocument:
        """The total and all operators."""
        call, needed = self.prediction.call, self.needed_bytes
        return {
            "model": self.prediction.model,
            "device": self.device.name,
            "threads": self.threads,
            "dtype": self.model.dtype,
            "dtype_reason": self.model.dtype_reason,
            "runtime": self.runtime,
            "notes": list(self.notes),
            "seconds": self.seconds,
            "low_s": self.low_s,
            "high_s": self.high_s,
            "source": self.source,
            "confidence": CONFIDENCE,
            "complete": self.complete,
            "call_s": call.seconds if call else None,
            "needed_bytes": needed,
            "device_bytes": self.device.memory_bytes,
            "fits": None if needed is None else needed <= self.device.memory_bytes,
            "coverage": coverage_document(self.coverage),
            "ops": _operators(self.prediction),
        }

    def summary(self, *, ops: bool = False) -> str:
        """Text with a table of operator types, or of all operators."""
        from lydite.report.text.predict import predict_text

        notes = [self.dtype_note, *(f"note: {note}" for note in self.notes)]
        note = "\n".join(filter(None, notes))
        return predict_text(self.prediction, ops=ops, note=note, first=self.memory_note)

    def headline(self) -> str:
        """Total time and its bounds."""
        from lydite.report.text.predict import headline

        return headline(self.prediction)

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per operator."""
        return _operators(self.prediction)


def coverage_document(coverage: Coverage) -> CoverageDocument:
    """All figures of a coverage."""
    return {
        "node_coverage": coverage.node_coverage,
        "type_coverage": coverage.type_coverage,
        "nodes_by_source": dict(coverage.nodes),
        "types_covered": coverage.types[0],
        "types": coverage.types[1],
        "seconds_by_source": dict(coverage.seconds),
        "uncovered_nodes_by_type": dict(coverage.uncovered),
    }


def _operators(prediction: Prediction) -> list[OperatorTime]:
    return [
        {
            "name": node.name,
            "op_type": node.op_type,
            "seconds": node.estimate.seconds if node.estimate else None,
            "low_s": node.estimate.low if node.estimate else None,
            "high_s": node.estimate.high if node.estimate else None,
            "source": node.estimate.source if node.estimate else "unknown",
            "detail": node.estimate.detail if node.estimate else "",
        }
        for node in prediction.nodes
    ]


def predict(
    session: Session,
    model: ModelLike,
    *,
    on: str | Device = "cpu",
    backend: str = "onnxruntime",
    threads: int = 1,
    clock: str = "wall",
    runtime: str | None = None,
    strict: bool = False,
    options: ModelOptions | None = None,
    **given: Unpack[ModelKeywords],
) -> PredictResult:
    """Predict a model's time from its operators.

    For this machine's processor the graph is lowered by the backend, with its fusions and layouts.
    For another device it is fused as the runtime does (see `lydite.estimate.runtimes`), or, with
    the backend "torch", as eager PyTorch runs it.

    Args:
        session: Session whose database holds the measurements.
        model: Model to predict; see `load`.
        on: Device: "cpu", a catalog name, a .yaml file, or a `Device`.
        backend: Backend of the measurements, which also lowers the graph for a processor.
        threads: Number of threads per operator, on a processor.
        clock: Clock of the measurements: "wall" or "process".
        runtime: Name in `lydite.estimate.runtimes.RUNTIMES`; None for the usual fusions.
        strict: Whether an operator without an estimate is an error.
        options: Options of the model.
        given: Fields of `ModelOptions`, such as `batch`.

    Raises:
        InputError: the device, clock or runtime is unknown, the model is invalid or, if strict, an
            operator has no estimate.
    """
    from lydite.backends import Settings, find_backend
    from lydite.backends.lowered import lowered
    from lydite.estimate import Rows, by_digest
    from lydite.estimate import predict as estimate_all
    from lydite.estimate.assemble import call_within_network
    from lydite.estimate.runtimes import (
        Launched,
        find_runtime,
        foreign_software,
        fuse_for_runtime,
    )
    from lydite.graph import spans_of

    wanted = chosen(ModelOptions, options, given)
    check_clock(clock)
    chosen_runtime = find_runtime(runtime)
    with device_and_sources(session, on) as (device, sources):
        made = resolve(model, wanted, device)
        if device.kind == "cpu":
            if chosen_runtime is not None:
                raise InputError(
                    f"--runtime {runtime} is for accelerators; {device.name} is a processor",
                    hint="--backend says what runs there",
                )
            settings = Settings(threads=threads, seed=session.seed)
            graph = lowered(find_backend(backend), made.graph, settings)
        elif backend == "torch" and chosen_runtime is None:
            # eager PyTorch runs the same operators on every device; here they are only listed
            graph = lowered(find_backend(backend), made.graph, Settings(seed=session.seed))
        else:
            graph = fuse_for_runtime(made.graph, chosen_runtime)
        spans = by_digest(spans_of(graph)) if device.kind == "cpu" else {}
        others = foreign_software(runtime, sources, device, backend)
        rows = Rows(backend, threads, clock, spans=spans, software=others)
        estimator, call = chain_for(sources, device, rows)
        call = call_within_network(call, sources, device, rows, len(graph.ops))
        if chosen_runtime is not None:
            estimator = Launched(estimator, chosen_runtime)
        prediction = estimate_all(graph, device, estimator, call)
    if strict and not prediction.complete:
        missing = ", ".join(f"{t} ({n})" for t, n in prediction.coverage.uncovered.items())
        raise InputError(
            f"no estimate for {missing}", where=prediction.model, hint="lydite profile"
        )
    return PredictResult(made, prediction, threads, runtime)
