"""`tune_expect`: where tuning would pay, from rows at hand and before any trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from typing_extensions import TypedDict

from lydite.api.keywords import ModelKeywords
from lydite.api.load import ModelLike
from lydite.api.ops import operators_of
from lydite.api.options import ModelOptions
from lydite.api.predict import predict
from lydite.api.tune.shared import check_tuning
from lydite.exhibits import Exhibit
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session

NAMED = 3


class FactorRow(TypedDict):
    """A factor: increase of the error of log seconds once its values are shuffled, 90 %."""

    factor: str
    error: float
    low: float
    high: float


class ExpectRow(TypedDict):
    """One operator; `gain_s` is over all its calls in a run, against the time of now."""

    op_type: str
    inputs: list[str]
    parameters: list[str]
    count: int
    now_s: float | None
    now_source: str
    expected_s: float
    low_s: float
    high_s: float
    source: str
    rows: int
    gain_s: float | None
    factors: list[FactorRow]
    digest: str


class ExpectDocument(TypedDict):
    """Operators with a schedule space, those that promise most first."""

    model: str
    device: str
    target: str
    trials: int
    seconds: float
    ops: list[ExpectRow]


@dataclass(frozen=True, eq=False, repr=False)
class ExpectResult(Result):
    """What tuning promises.

    Attributes:
        facts: The document.
    """

    verb = "tune-expect"
    exhibits = (
        Exhibit(
            "Operators, the most promising first",
            "/ops",
            {
                "op_type": "operator",
                "inputs": "inputs",
                "count": "calls",
                "now_s": "now",
                "expected_s": "expected",
                "low_s": "low",
                "high_s": "high",
                "gain_s": "gain over all calls",
                "source": "source",
            },
        ),
    )

    facts: ExpectDocument

    def document(self) -> ExpectDocument:
        """All figures."""
        return self.facts

    def summary(self) -> str:
        """A table of operators."""
        from lydite.report.text.tune import expect_text

        return expect_text(dict(self.facts))

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per operator."""
        return self.facts["ops"]


def tune_expect(
    session: Session,
    model: ModelLike,
    *,
    trials: int = 60,
    top: int = 10,
    options: ModelOptions | None = None,
    **given: Unpack[ModelKeywords],
) -> ExpectResult:
    """Predict how fast a model's operators could be after tuning, without a trial.

    Args:
        session: Session whose database holds measurements and trials.
        model: Model; see `load`.
        trials: Number of trials of each operator.
        top: Number of operators to look at, those that take longest; 0 for all.
        options: Options of the model.
        given: Fields of `ModelOptions`, such as `batch`.

    Raises:
        InputError: an option is out of range, or the model is invalid.
        MissingExtra: TVM or LightGBM is not installed.
    """
    from lydite.backends.tuned import task_of
    from lydite.tune import Trier
    from lydite.tune.expect import expect
    from lydite.tune.tuning import usable_trials

    here = check_tuning("own", trials)
    made = predict(session, model, on="cpu", options=options, **given)
    listed = operators_of(made, "onnxruntime", 0)
    pairs = [
        (key, row)
        for key, row in zip(listed.keys, listed.facts["ops"], strict=True)
        if row["configurations"]
    ][: top or None]
    rows: list[ExpectRow] = []
    with session.database() as database, session.bar("expect") as progress:
        trier = Trier(here, made.device.name)
        for number, (key, row) in enumerate(pairs):
            progress(number, len(pairs), key.qualified_type)
            task = task_of(key)
            assert task is not None
            known = usable_trials(database, trier, op_type=key.op_type)
            found = expect(task, here, known, trials, session.seed)
            now = row["seconds_each"]
            gain = None if now is None else row["count"] * (now - found.seconds)
            rows.append(
                {
                    "op_type": key.qualified_type,
                    "inputs": row["inputs"],
                    "parameters": row["parameters"],
                    "count": row["count"],
                    "now_s": now,
                    "now_source": row["source"],
                    "expected_s": found.seconds,
                    "low_s": found.low,
                    "high_s": found.high,
                    "source": found.source,
                    "rows": found.rows,
                    "gain_s": gain,
                    "factors": [
                        {"factor": f.factor, "error": f.error, "low": f.low, "high": f.high}
                        for f in found.factors
                    ],
                    "digest": key.digest,
                }
            )
    rows.sort(key=lambda row: -(row["gain_s"] or 0.0))
    return ExpectResult(
        {
            "model": made.prediction.model,
            "device": made.device.name,
            "target": here.target,
            "trials": trials,
            "seconds": listed.facts["seconds"],
            "ops": rows,
        }
    )
