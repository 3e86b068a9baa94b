"""`corun`: run a model's operators side by side on pinned workers, where that pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from typing_extensions import TypedDict

from lydite.api.keywords import ModelKeywords
from lydite.api.load import Model, ModelLike, resolve
from lydite.api.measuring import device_of_backend, recorded_run
from lydite.api.options import ModelOptions, chosen
from lydite.exhibits import Curve, Exhibit
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.parallel import Corun


class WayDocument(TypedDict):
    """A way to run the model, measured beside the others; ratio is to one thread."""

    name: str
    seconds: float
    low_s: float
    high_s: float
    ratio: float
    predicted_s: float | None
    samples_s: list[float]


class StageDocument(TypedDict):
    """A stage; sequential_s is its units one after another, side_s the same side by side."""

    way: str
    lanes: list[list[str]]
    sequential_s: float
    side_s: float | None
    predicted_s: float
    measured_s: float


class CorunDocument(TypedDict):
    """A model run side by side, and what ONNX Runtime makes of it by itself."""

    model: str
    device: str
    workers: int
    batch: int
    operators: int
    units: int
    chosen: str
    equal: bool
    ways: list[WayDocument]
    stages: list[StageDocument]
    handoff_s: float
    wake_s: float
    call_s: float
    slowdown: list[list[float]]
    notes: list[str]
    warnings: list[str]


@dataclass(frozen=True, eq=False, repr=False)
class CorunResult(Result):
    """A model run side by side.

    Attributes:
        model: Model that was run.
        device: Name of the device.
        run: Stages, times and the choice.
    """

    verb = "corun"
    exhibits = (
        Exhibit(
            "Ways to run the model, {chosen} is chosen",
            "/ways",
            {
                "name": "way",
                "seconds": "time",
                "low_s": "low",
                "high_s": "high",
                "ratio": "over one thread",
                "predicted_s": "predicted",
            },
            beside="seconds",
            label="/model",
        ),
        Exhibit(
            "Stages",
            "/stages",
            {
                "way": "way",
                "sequential_s": "one after another",
                "side_s": "side by side",
                "predicted_s": "predicted",
                "measured_s": "measured",
            },
            curve=Curve("sequential_s", {"measured_s": "points", "predicted_s": "points"}, "xy"),
        ),
    )

    model: Model
    device: str
    run: Corun

    def document(self) -> CorunDocument:
        """All ways, all stages."""
        from lydite.measure.whole import batch_of

        run = self.run
        alone = run.way("sequential").seconds
        return {
            "model": self.model.label,
            "device": self.device,
            "workers": run.costs.workers,
            "batch": batch_of(self.model.graph),
            "operators": len(run.cut.graph.ops),
            "units": len(run.units),
            "chosen": run.chosen,
            "equal": run.equal,
            "ways": [
                {
                    "name": way.name,
                    "seconds": way.seconds,
                    "low_s": way.percentile(5),
                    "high_s": way.percentile(95),
                    "ratio": way.seconds / alone,
                    "predicted_s": way.predicted_s,
                    "samples_s": way.samples_s.tolist(),
                }
                for way in run.ways
            ],
            "stages": self._stages(),
            "handoff_s": run.costs.handoff_s,
            "wake_s": run.costs.wake_s,
            "call_s": run.costs.call_s,
            "slowdown": run.costs.slowdown.tolist(),
            "notes": [*self.model.notes, "weights are drawn: times do not depend on their values"],
            "warnings": list(run.warnings),
        }

    def _stages(self) -> list[StageDocument]:
        from lydite.parallel import side_seconds

        run = self.run
        rows: list[StageDocument] = []
        for stage, measured in zip(run.stages, run.stage_s, strict=True):
            lanes = [[run.cut.ops[u][0].name for u in lane] for lane in stage.lanes]
            rows.append(
                {
                    "way": stage.way,
                    "lanes": lanes,
                    "sequential_s": float(run.units.seconds[list(stage.units)].sum()),
                    "side_s": side_seconds(run.units, run.costs, stage.units),
                    "predicted_s": float(stage.seconds),
                    "measured_s": measured,
                }
            )
        return rows

    def summary(self) -> str:
        """The ways, the choice, the stages that gain and those that lose."""
        from lydite.report.text.corun import corun_text

        return corun_text(self.document())

    def headline(self) -> str:
        """The choice and its time."""
        from lydite.units import format_seconds

        run = self.run
        alone, best = run.way("sequential"), run.way(run.chosen)
        return (
            f"{self.model.label} on {run.costs.workers} workers: {run.chosen}, "
            f"{format_seconds(best.seconds)}, {best.seconds / alone.seconds:.2f} of one thread"
        )

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per stage."""
        return [{**row, "lanes": len(row["lanes"])} for row in self._stages()]


def corun(
    session: Session,
    model: ModelLike,
    *,
    workers: int = 2,
    budget: float = 10.0,
    rounds: int = 25,
    options: ModelOptions | None = None,
    **given: Unpack[ModelKeywords],
) -> CorunResult:
    """Find which parts of a model gain from running side by side, and run them so.

    The graph, as ONNX Runtime lowers it, is cut into segments with a session each on pinned
    workers. Stages run one after another, side by side, or each operator on all cores. What is
    found runs beside ONNX Runtime's own choices (one thread; all cores for each operator), and is
    chosen only if it is faster.

    Args:
        session: Session whose database records the run.
        model: Model to run; see `load`.
        workers: Number of workers, each with a core of its own.
        budget: Seconds to spend on the comparison.
        rounds: Maximum number of samples of each way.
        options: Options of the model.
        given: Fields of `ModelOptions`.

    Raises:
        InputError: the model is invalid, or there are fewer cores than workers.
        BackendError: the graph cannot run.
    """
    from lydite.measure import TimingPlan
    from lydite.measure.environment import check_memory
    from lydite.parallel import cores_for
    from lydite.parallel import corun as run_together

    cores_for(workers)
    here = device_of_backend("cpu")
    made = resolve(model, chosen(ModelOptions, options, given), here)
    check_memory(8 * made.graph.parameter_bytes, made.graph.name)
    plan = TimingPlan(rounds=rounds, budget_s=budget, seed=session.seed)
    arguments = {"model": made.label, "workers": workers}
    with session.database() as database, recorded_run(database, "corun", arguments) as run:
        done = run_together(made.graph, workers=workers, plan=plan, seed=session.seed)
        result = CorunResult(made, here.name if here else "cpu", done)
        run.keep(result, without="stages")
    return result
