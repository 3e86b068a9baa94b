"""`tune`: the operators of a model that take longest, and the whole model before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from typing_extensions import TypedDict

from lydite.api.keywords import ModelKeywords
from lydite.api.load import Model, ModelLike
from lydite.api.measuring import recorded_run
from lydite.api.ops import OpsResult, operators_of
from lydite.api.options import ModelOptions
from lydite.api.predict import predict
from lydite.api.tune.shared import (
    OPERATOR_COLUMNS,
    SO_FAR,
    TRIAL_COLUMNS,
    TunedRow,
    check_tuning,
    tuned_row,
)
from lydite.errors import InputError, LyditeError
from lydite.exhibits import Exhibit
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.backends.tuned import Machine
    from lydite.opkey import OpKey
    from lydite.store import Database
    from lydite.tune import Tuned

ROUNDS = 21


class WholeRow(TypedDict):
    """The whole model, CPU time on one thread, in turns; the ratio is after / before."""

    before_s: float
    after_s: float
    ratio: float
    ratio_low: float
    ratio_high: float
    tuned_operators: int
    disagreement: float


class TuneDocument(TypedDict):
    """Operators tuned, and the model before and after; `whole` is None where nothing is tuned."""

    model: str
    device: str
    target: str
    tuner: str
    trials: int
    ops: list[TunedRow]
    skipped: list[str]
    whole: WholeRow | None
    whole_note: str


@dataclass(frozen=True, eq=False, repr=False)
class TuneResult(Result):
    """A tuned model.

    Attributes:
        facts: The document.
    """

    verb = "tune"
    exhibits = (
        Exhibit("Operators", "/ops", OPERATOR_COLUMNS, {"accepted": True}),
        Exhibit(
            "The whole model",
            "/whole",
            {"before_s": "before", "after_s": "after", "ratio": "after / before"}
            | {"ratio_low": "low", "ratio_high": "high", "tuned_operators": "tuned operators"},
        ),
        Exhibit(
            "Trials of {op_type} {inputs}",
            "/ops/*/tried",
            TRIAL_COLUMNS,
            {"status": "ok"},
            curve=SO_FAR,
        ),
    )

    facts: TuneDocument

    def document(self) -> TuneDocument:
        """All figures."""
        return self.facts

    def summary(self) -> str:
        """A table of operators, and the model before and after."""
        from lydite.report.text.tune import tune_text

        return tune_text(dict(self.facts))

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per operator."""
        return self.facts["ops"]


def tune(
    session: Session,
    model: ModelLike,
    *,
    ops: str = "top5",
    tuner: str = "own",
    trials: int = 60,
    target: str = "llvm",
    whole: bool = True,
    options: ModelOptions | None = None,
    **given: Unpack[ModelKeywords],
) -> TuneResult:
    """Tune a model's operators on one thread of this processor, and measure what it gains.

    Every trial is kept in the session's database, so that an interrupted run resumes. A schedule
    is used, by the backend "tuned" too, only once a paired run has shown it to be faster than ONNX
    Runtime's kernel.

    Args:
        session: Session whose database holds measurements and receives the trials.
        model: Model; see `load`.
        ops: Operators to tune: "top5" (those that take longest among those with a schedule space),
            "all", or types separated by commas, such as "Conv,Gemm".
        tuner: Name of the tuner; see `lydite.tune.TUNERS`.
        trials: Most trials of an operator, those that are kept included.
        target: Target of the compiler: "llvm".
        whole: Whether to run the whole model before and after.
        options: Options of the model.
        given: Fields of `ModelOptions`, such as `batch`.

    Raises:
        InputError: an option is unknown or out of range, or no operator has a schedule space.
        MissingExtra: TVM is not installed (with the command to add it).
    """
    from lydite.tune import Trier, tune_task

    here = check_tuning(tuner, trials, target)
    made = predict(session, model, on="cpu", options=options, **given)
    listed = operators_of(made, "onnxruntime", 0)
    chosen, skipped = choose(listed, ops)
    arguments = {"model": made.model.label, "ops": ops, "tuner": tuner, "trials": trials}
    done: list[tuple[Tuned, int]] = []
    with (
        session.database() as database,
        recorded_run(database, "tune", arguments) as run,
        Trier(here, made.device.name, seed=session.seed, run=run.id) as trier,
    ):
        for key, count in chosen:
            with session.bar(f"tune {key.qualified_type}") as progress:
                tuned = tune_task(
                    _task(key),
                    trier,
                    database,
                    tuner=tuner,
                    trials=trials,
                    seed=session.seed,
                    progress=progress,
                )
            done.append((tuned, count))
        measured, used, note = None, None, "left out"
        if whole:
            measured, used, note = before_and_after(
                made.model, database, here, made.device.name, session
            )
        rows = [tuned_row(each, count, used) for each, count in done]
        facts: TuneDocument = {
            "model": made.prediction.model,
            "device": made.device.name,
            "target": here.target,
            "tuner": tuner,
            "trials": trials,
            "ops": rows,
            "skipped": skipped,
            "whole": measured,
            "whole_note": note,
        }
        result = TuneResult(facts)
        run.keep(result)
    return result


def choose(listed: OpsResult, ops: str) -> tuple[list[tuple[OpKey, int]], list[str]]:
    """Keys with their counts, and the longer operators that have no schedule space.

    Raises:
        InputError: the words are not understood, or nothing is left to tune.
    """
    pairs = list(zip(listed.keys, listed.facts["ops"], strict=True))
    with_space = [(key, row["count"]) for key, row in pairs if row["configurations"]]
    word = ops.removeprefix("top")
    if ops == "all":
        chosen = with_space
    elif ops.startswith("top") and word.isdecimal() and int(word) > 0:
        chosen = with_space[: int(word)]
    else:
        wanted = {name.strip().lower() for name in ops.split(",")}
        chosen = [(key, count) for key, count in with_space if key.op_type.lower() in wanted]
    if not chosen:
        types = sorted({key.op_type for key, _ in with_space})
        raise InputError(
            f"--ops {ops} names no operator that has a schedule space",
            where=listed.facts["model"],
            allowed=f"top5, all, {', '.join(types)}" if types else "a model with such operators",
            hint="lydite ops MODEL lists them",
        )
    last = [key for key, _ in pairs].index(chosen[-1][0])
    skipped = [row["op_type"] for _, row in pairs[:last] if not row["configurations"]]
    return chosen, list(dict.fromkeys(skipped))


def _task(key: OpKey) -> Any:
    from lydite.backends.tuned import task_of

    return task_of(key)


def before_and_after(
    model: Model, database: Database, here: Machine, device: str, session: Session
) -> tuple[WholeRow | None, Mapping[str, int] | None, str]:
    """The model with ONNX Runtime's kernels and with accepted schedules, in turns.

    Returns the figures, if anything runs tuned; the number of calls that do, by digest of the
    operator, or None if the model cannot run tuned; and the reason if nothing does.
    """
    import numpy as np

    from lydite.backends import Settings, find_backend
    from lydite.backends.tuned.backend import TunedBackend, disagreement
    from lydite.backends.tuned.choice import accepted
    from lydite.backends.tuned.hybrid import Hybrid, can_be_cut
    from lydite.measure import TimingPlan, measure
    from lydite.tune.tuning import interval

    choices = accepted(database, device, here)
    settings = Settings(seed=session.seed)
    try:
        tuned = TunedBackend().prepare_with(model.graph, settings, choices)
    except LyditeError as error:
        return None, None, f"the model cannot run tuned: {error}"
    if not isinstance(tuned, Hybrid):
        tuned.close()
        if not can_be_cut(model.graph):
            return None, None, "the model cannot be cut into calls: ONNX Runtime runs it"
        note = "no schedule is accepted that is worth a call: ONNX Runtime runs the model"
        return None, {}, note
    plain = find_backend("onnxruntime").prepare(model.graph, settings)
    try:
        gap = disagreement(tuned, plain, model.graph, session.seed + 1)
        plan = TimingPlan(rounds=ROUNDS, budget_s=20.0, clock="process", seed=session.seed)
        timings = measure({"before": plain, "after": tuned}, plan)
        before, after = timings["before"].samples_s, timings["after"].samples_s
        low, high = interval(np.log(after / before), session.seed)
        row: WholeRow = {
            "before_s": float(np.median(before)),
            "after_s": float(np.median(after)),
            "ratio": float(np.median(after / before)),
            "ratio_low": low,
            "ratio_high": high,
            "tuned_operators": tuned.tuned.total(),
            "disagreement": gap,
        }
        return row, tuned.tuned, ""
    finally:
        plain.close()
        tuned.close()
