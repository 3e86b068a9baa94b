"""`inspect`: what a model computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Unpack

from typing_extensions import TypedDict

from lydite.api.keywords import ModelKeywords
from lydite.api.load import Model, ModelLike, resolve
from lydite.api.options import ModelOptions, chosen
from lydite.exhibits import Curve, Exhibit
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.graph import Graph, Work
    from lydite.graph.training import TrainingStep


class OperatorWork(TypedDict):
    """One operator; None where its work is unknown."""

    name: str
    op_type: str
    inputs: list[str]
    outputs: list[str]
    flops: float | None
    read_bytes: float | None
    written_bytes: float | None
    parameters: int | None


class MemoryPeak(TypedDict):
    """Peak memory: bytes, the operator at which it occurs, and its parts."""

    peak_bytes: float
    peak_at: str
    at_peak_bytes: dict[str, float]


class PhaseWork(TypedDict):
    """A phase of a training step; `unknown` counts operators with unknown work."""

    operators: int
    flops: float
    read_bytes: float
    written_bytes: float
    unknown: int


class TrainingWork(TypedDict):
    """A training step."""

    loss: str
    optimizer: str | None
    phases: dict[str, PhaseWork]
    gradients: dict[str, str]


class InspectDocument(TypedDict):
    """A model and its operators."""

    model: str
    operators: int
    parameters: int
    active_parameters: int
    parameter_bytes: float
    flops: float
    read_bytes: float
    written_bytes: float
    arithmetic_intensity_flop_per_byte: float | None
    unknown_operators: list[str]
    inputs: dict[str, str]
    outputs: dict[str, str]
    opsets: dict[str, int]
    open_dims: list[str]
    dtype: str
    dtype_reason: str
    notes: list[str]
    memory: MemoryPeak | None
    training: TrainingWork | None
    ops: list[OperatorWork]


@dataclass(frozen=True, eq=False, repr=False)
class InspectResult(Result):
    """What a model computes.

    Attributes:
        model: Model that was inspected.
        facts: The document.
    """

    verb = "inspect"
    exhibits = (
        Exhibit(
            "Phases of the training step",
            "/training/phases",
            {
                "": "phase",
                "operators": "operators",
                "flops": "FLOPs",
                "read_bytes": "read",
                "written_bytes": "written",
                "unknown": "of unknown work",
            },
        ),
        Exhibit(
            "Operators",
            "/ops",
            {
                "name": "operator",
                "op_type": "type",
                "flops": "FLOPs",
                "read_bytes": "read",
                "written_bytes": "written",
                "parameters": "parameters",
            },
            curve=Curve("read_bytes", {"flops": "points"}, log="xy"),
        ),
    )

    model: Model
    facts: InspectDocument

    @property
    def flops(self) -> float:
        """Floating-point operations of all operators with known work."""
        return self.facts["flops"]

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return self.facts["parameters"]

    def document(self) -> InspectDocument:
        """The model and its operators."""
        return self.facts

    def summary(self, *, ops: bool = False) -> str:
        """Text with a table of operator types, or of all operators."""
        from lydite.report.text.inspect import inspect_text

        return inspect_text(self.facts, ops=ops)

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per operator."""
        return self.facts["ops"]


def inspect(
    session: Session,
    model: ModelLike,
    *,
    options: ModelOptions | None = None,
    **given: Unpack[ModelKeywords],
) -> InspectResult:
    """Report operators, shapes, parameters, FLOPs and bytes of a model.

    Args:
        session: Not used.
        model: Model to inspect; see `load`.
        options: Options of the model.
        given: Fields of `ModelOptions`, such as `batch`.

    Raises:
        InputError: as for `load`.
    """
    del session
    made = resolve(model, chosen(ModelOptions, options, given))
    return InspectResult(made, _document(made))


def _document(model: Model) -> InspectDocument:
    from lydite.graph.work import total_work, work_of

    graph = model.graph
    works = [work_of(op, graph) for op in graph.ops]
    work = total_work(graph, works)
    return {
        "model": graph.name,
        "operators": len(graph.ops),
        "parameters": model.forward.parameter_count,
        "active_parameters": model.forward.active_parameter_count,
        "parameter_bytes": model.forward.parameter_bytes,
        "flops": work.total.flops,
        "read_bytes": work.total.bytes_read,
        "written_bytes": work.total.bytes_written,
        "arithmetic_intensity_flop_per_byte": work.total.arithmetic_intensity,
        "unknown_operators": list(work.unknown),
        "inputs": {name: str(graph.type_of(name)) for name in graph.inputs},
        "outputs": {name: str(graph.type_of(name)) for name in graph.outputs},
        "opsets": dict(graph.opsets),
        "open_dims": list(graph.open_dims),
        "dtype": model.dtype,
        "dtype_reason": model.dtype_reason,
        "notes": list(model.notes),
        "memory": _memory(model.step if model.step is not None else graph),
        "training": None if model.step is None else _training(model.step),
        "ops": _operators(graph, works),
    }


def _operators(graph: Graph, works: Sequence[Work | None]) -> list[OperatorWork]:
    from lydite.graph.graph import UNKNOWN

    rows: list[OperatorWork] = []
    text = cache(str)  # most tensors have types that others have too
    types = {"": ""} | {name: text(type_) for name, type_ in graph.tensors.items()}
    unknown = text(UNKNOWN)
    for op, work in zip(graph.ops, works, strict=True):
        rows.append(
            {
                "name": op.name,
                "op_type": op.qualified_type,
                "inputs": [types.get(name, unknown) for name in op.inputs],
                "outputs": [types.get(name, unknown) for name in op.outputs if name],
                "flops": work.flops if work else None,
                "read_bytes": work.bytes_read if work else None,
                "written_bytes": work.bytes_written if work else None,
                "parameters": work.parameters if work else None,
            }
        )
    return rows


def _memory(what: TrainingStep | Graph) -> MemoryPeak | None:
    """Peak memory and its parts; None where a size is unknown."""
    from lydite.errors import GraphError
    from lydite.graph.training import memory_of

    try:
        memory = memory_of(what)
    except GraphError:
        return None
    return {
        "peak_bytes": memory.peak_bytes,
        "peak_at": memory.names[memory.peak_index],
        "at_peak_bytes": dict(memory.at_peak),
    }


def _training(step: TrainingStep) -> TrainingWork:
    """Loss, optimizer, and the work of each phase."""
    from lydite.graph.training.step import PHASES
    from lydite.graph.work import Work, work_of

    phases: dict[str, PhaseWork] = {}
    for phase in PHASES:
        ops = step.ops_of(phase)
        works = [work_of(op, step.graph) for op in ops]
        total = sum((work for work in works if work is not None), Work())
        if ops:
            phases[phase] = {
                "operators": len(ops),
                "flops": total.flops,
                "read_bytes": total.bytes_read,
                "written_bytes": total.bytes_written,
                "unknown": works.count(None),
            }
    return {
        "loss": step.loss,
        "optimizer": step.optimizer,
        "phases": phases,
        "gradients": dict(step.gradients),
    }
