"""`tune_op`: one operator by name and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from lydite.api.measuring import recorded_run
from lydite.api.tune.shared import (
    OPERATOR_COLUMNS,
    SO_FAR,
    TRIAL_COLUMNS,
    TunedRow,
    check_tuning,
    tuned_row,
)
from lydite.exhibits import Exhibit
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session


class TuneOpDocument(TypedDict):
    """One operator before and after."""

    operator: str
    device: str
    target: str
    tuner: str
    trials: int
    op: TunedRow


@dataclass(frozen=True, eq=False, repr=False)
class TuneOpResult(Result):
    """A tuned operator.

    Attributes:
        facts: The document.
    """

    verb = "tune-op"
    exhibits = (
        Exhibit("Operator", "/op", OPERATOR_COLUMNS, {"accepted": True}),
        Exhibit("Trials", "/op/tried", TRIAL_COLUMNS, {"status": "ok"}, curve=SO_FAR),
    )

    facts: TuneOpDocument

    def document(self) -> TuneOpDocument:
        """All figures."""
        return self.facts

    def summary(self) -> str:
        """Time before and after, and the schedule."""
        from lydite.report.text.tune import tune_op_text

        return tune_op_text(dict(self.facts))

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """The operator."""
        return [self.facts["op"]]


def tune_op(
    session: Session,
    operator: str,
    *,
    shape: str | Sequence[int],
    filters: int = 0,
    kernel: int = 3,
    stride: int = 1,
    tuner: str = "own",
    trials: int = 60,
    target: str = "llvm",
) -> TuneOpResult:
    """Tune one operator on one thread of this processor.

    Args:
        session: Session whose database receives the trials.
        operator: "conv2d", "depthwise", "matmul", "softmax", "layernorm" or "gelu".
        shape: Shape of the input, such as "1,64,56,56".
        filters: Number of output channels of a convolution, or of columns of a product.
        kernel: Height and width of a convolution's kernel; its padding is half of that.
        stride: Stride of a convolution.
        tuner, trials, target: As for `tune`.

    Raises:
        InputError: the operator is unknown, a size is missing, or an option is out of range.
        MissingExtra: TVM is not installed (with the command to add it).
    """
    from lydite.hardware import local_device
    from lydite.tune import Sizes, Trier, parse_shape, task_of_operator, tune_task

    dims = parse_shape(shape) if isinstance(shape, str) else tuple(shape)
    here = check_tuning(tuner, trials, target)
    task = task_of_operator(operator, Sizes(dims, filters, kernel, stride))
    arguments = {"operator": operator, "shape": list(dims), "tuner": tuner, "trials": trials}
    device = local_device().name
    with (
        session.database() as database,
        recorded_run(database, "tune-op", arguments) as run,
        Trier(here, device, seed=session.seed, run=run.id) as trier,
        session.bar(f"tune {operator}") as progress,
    ):
        done = tune_task(
            task,
            trier,
            database,
            tuner=tuner,
            trials=trials,
            seed=session.seed,
            progress=progress,
        )
        facts: TuneOpDocument = {
            "operator": operator,
            "device": device,
            "target": here.target,
            "tuner": tuner,
            "trials": trials,
            "op": tuned_row(done),
        }
        result = TuneOpResult(facts)
        run.keep(result)
    return result
