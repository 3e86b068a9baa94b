"""`calibrate`: fit the simulator's constants to measured steps."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from typing_extensions import TypedDict

from lydite.api.devices import chain_for
from lydite.api.load import resolve
from lydite.api.options import ModelOptions, Options, chosen, help_of
from lydite.api.plan_options import PlanOptions
from lydite.api.simulate import rank_options
from lydite.api.validate import AccuracyDocument, accuracy_document
from lydite.errors import InputError, LyditeError, unknown_name
from lydite.exhibits import Exhibit
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.cluster.calibration.steps import Observed
    from lydite.cluster.constants import Constants
    from lydite.estimate import Accuracy, Estimator
    from lydite.hardware.cluster import Cluster

KEPT_ASIDE = 4
"""Every fourth row is held out to judge the fit."""

JUDGES = 8
"""With fewer held-out rows than this, the bounds come from all rows."""


class ConstantRow(TypedDict):
    """A constant; `assumed` is None where the runtime's own is the first guess."""

    constant: str
    assumed: float | None
    fitted: float


class CalibrateDocument(TypedDict):
    """Fitted constants, and the errors of simulations with them."""

    constants: dict[str, float]
    assumed: dict[str, float]
    fitted: list[ConstantRow]
    bounds_over_step: list[float]
    rows: int
    rows_by_use: dict[str, int]
    judged_by: str
    errors: dict[str, AccuracyDocument]
    path: str


@dataclass(frozen=True, eq=False, repr=False)
class CalibrateResult(Result):
    """Constants that were fitted to measured steps.

    Attributes:
        constants: Fitted constants.
        errors: Accuracy of simulations, by use of the rows.
        counts: Number of rows, by use.
        judged_by: Rows that the bounds come from.
        path: File with the constants, for `simulate`.
    """

    verb = "calibrate"
    exhibits = (
        Exhibit(
            "Errors of simulated steps, {judged_by} judge",
            "/errors",
            {
                "": "rows",
                "points": "count",
                "mean_abs_error": "mean error",
                "worst_abs_error": "worst",
                "worst": "worst step",
                "bias": "bias",
                "inside_interval": "within the bounds",
            },
            beside="mean_abs_error",
        ),
        Exhibit(
            "Constants",
            "/fitted",
            {"constant": "constant", "assumed": "assumed", "fitted": "fitted"},
            beside="fitted",
        ),
    )

    constants: Constants
    errors: Mapping[str, Accuracy]
    counts: Mapping[str, int]
    judged_by: str
    path: Path

    def document(self) -> CalibrateDocument:
        """Constants and errors."""
        from lydite.cluster.constants import ASSUMED

        return {
            "constants": dict(self.constants.values),
            "assumed": dict(ASSUMED.values),
            "fitted": [
                {"constant": name, "assumed": ASSUMED.values.get(name), "fitted": value}
                for name, value in self.constants.values.items()
            ],
            "bounds_over_step": list(self.constants.achieved.spread),
            "rows": self.counts["assumed"],
            "rows_by_use": dict(self.counts),
            "judged_by": self.judged_by,
            "errors": {name: accuracy_document(found) for name, found in self.errors.items()},
            "path": str(self.path),
        }

    def summary(self) -> str:
        """Tables of constants and errors, and the bounds."""
        from lydite.report.text.calibrate import calibrate_text

        return calibrate_text(self.document())

    def headline(self) -> str:
        """Number of rows, and the error."""
        from lydite.units import format_percent

        name = "kept aside" if "kept aside" in self.errors else "fitted to"
        error = format_percent(self.errors[name].mean_abs)
        return f"constants from {self.counts['assumed']} steps, mean error {error} ({name})"

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per constant."""
        return self.document()["fitted"]


def calibrate(
    session: Session,
    steps: Path | str,
    *,
    on: str,
    constants: Path | str = "constants.json",
    rounds: int = 160,
) -> CalibrateResult:
    """Fit constants that no operator measurement gives (launches, efficiencies) to measured steps.

    Args:
        session: Session whose database holds the operators' measurements.
        steps: A .csv file with one measured step per row. Columns: model, step_ms, and any of
            devices, runtime, of `PlanOptions` and of `ModelOptions`.
        on: Cluster that they were measured on.
        constants: File to write, for `simulate`.
        rounds: Number of constants tried from one simulation of the rows to the next.

    Raises:
        InputError: the file does not exist, a column is unknown, or a value has the wrong type
            (names its line).
    """
    from lydite.cluster.calibration.steps import calibrated, with_spread
    from lydite.cluster.constants import ASSUMED, write_constants
    from lydite.estimate import Rows

    path = Path(steps)
    observed = observed_steps(path, on)
    device = observed[0].cluster.device
    rows = _by_use(observed)
    with session.readings() as database:

        def estimator_of(known: Constants) -> Estimator:
            return chain_for([database], device, Rows("torch", 1, "wall"), known.achieved)[0]

        with session.bar("calibrate") as progress:
            fitted = calibrated(
                rows["fitted to"],
                estimator_of,
                rounds=rounds,
                source=f"fitted to {path.name}",
                progress=progress,
            )
        aside = len(rows["kept aside"]) >= JUDGES
        fitted = with_spread(fitted, rows["kept aside"] if aside else observed, estimator_of)
        errors = {
            name: _accuracy(some, fitted if name != "assumed" else ASSUMED, estimator_of)
            for name, some in rows.items()
            if some
        }
    written = write_constants(Path(constants), fitted)
    counts = {name: len(some) for name, some in rows.items()}
    judged_by = "rows kept aside" if aside else "all rows"
    return CalibrateResult(fitted, errors, counts, judged_by, written)


def _by_use(observed: list[Observed]) -> dict[str, list[Observed]]:
    aside = [step for i, step in enumerate(observed) if i % KEPT_ASIDE == KEPT_ASIDE - 1]
    fitted = [step for i, step in enumerate(observed) if i % KEPT_ASIDE != KEPT_ASIDE - 1]
    return {"assumed": observed, "fitted to": fitted, "kept aside": aside}


def _accuracy(rows: list[Observed], constants: Constants, estimator_of: Any) -> Accuracy:
    from lydite.cluster.calibration.steps import simulated
    from lydite.estimate import Accuracy, Point

    predicted = simulated(rows, constants, estimator_of).tolist()
    return Accuracy.of(
        [
            Point(step.rank.name, seconds, step.seconds, 0, 0)
            for step, seconds in zip(rows, predicted, strict=True)
        ]
    )


_MOST_BYTES = 64 << 20


def observed_steps(steps: Path, on: str) -> list[Observed]:
    """Measured steps of a file, as `calibrate` takes it.

    Args:
        steps: a .csv file with one measured step per row.
        on: cluster that they were measured on.

    Raises:
        InputError: the file does not exist or is no CSV, a column is unknown, or a value has the
            wrong type (names its line).
    """
    from lydite.hardware.capped import read_capped

    text = read_capped(steps, "a table of measured steps", _MOST_BYTES)
    try:
        lines = list(csv.DictReader(text.removeprefix("\ufeff").splitlines()))
    except csv.Error as problem:
        raise InputError(f"is not a CSV file: {problem}", where=str(steps)) from None
    if not lines:
        raise InputError(
            "holds no measured step", where=str(steps), allowed="a header line and rows"
        )
    made: dict[object, Any] = {}
    steps_read: list[Observed] = []
    for number, line in enumerate(lines, 2):
        try:
            steps_read.append(_one(line, on, made))
        except LyditeError as error:
            raise InputError(
                error.what, where=f"{steps}, line {number}", allowed=error.allowed, hint=error.hint
            ) from error
    return steps_read


def _one(line: dict[str, str], on: str, made: dict[object, Any]) -> Observed:
    from lydite.cluster.calibration.steps import Observed
    from lydite.cluster.rank import rank_step
    from lydite.estimate.runtimes import find_runtime

    excluded: dict[type[Options], set[str]] = {
        ModelOptions: {"train", "batch", "recompute", "params"},
        PlanOptions: {"arithmetic"},
    }
    known = {
        name
        for options_type, less in excluded.items()
        for name in help_of(options_type)
        if name not in less
    }
    given = {name: text for name, text in line.items() if name and text}
    for name in given:
        if name not in known | {"model", "step_ms", "devices", "runtime"}:
            raise unknown_name(
                "column", name, tuple(sorted(known | {"model", "step_ms", "runtime"}))
            )
    for name in ("model", "step_ms"):
        if name not in given:
            columns = ", ".join([str(column) for column in line if column][:8])
            raise InputError(
                f"no column '{name}'" if name not in line else f"has no {name}",
                allowed=f"model and step_ms in every row; columns: {columns or 'none'}",
            )
    devices = _whole(given, "devices") if "devices" in given else None
    cluster = _once(made, (on, devices), lambda: _cluster(on, devices))
    of_model = _typed(ModelOptions, given, excluded[ModelOptions])
    net = chosen(ModelOptions, None, {"train": True, **of_model})
    runtime = find_runtime(given.get("runtime"))
    attention = runtime.attention if runtime else "fused"
    options = chosen(PlanOptions, None, _typed(PlanOptions, given, excluded[PlanOptions]))
    plan = options.plan(cluster.ranks, attention=attention)
    plan = replace(plan, runtime=given.get("runtime", ""))
    model = given["model"]
    shape = rank_options(net, model, plan.micro_batch, plan.cp, plan.tp)
    same = replace(
        plan,
        dp=plan.ep,
        batch=0,
        zero=0,
        shard_size=0,
        offload="none",
        schedule="1f1b",
        chunks=1,
        recompute="none",
        recompute_method="",
        recompute_num_layers=0,
        overlap=True,
        overlap_tensor=False,
        micro_batch=1,
    )
    optimizer = net.optimizer or "adam"
    key = model, shape, same, plan.chunks, net.loss, optimizer
    device = cluster.device
    graph = _once(made, (model, shape), lambda: resolve(given["model"], shape, device).graph)
    rank = _once(made, key, lambda: rank_step(graph, plan, loss=net.loss, optimizer=optimizer))
    step_ms = _number(given, "step_ms")
    if not 0 < step_ms < float("inf"):
        raise InputError(f"step_ms is {given['step_ms']}", allowed="a time above 0")
    return Observed(rank, cluster, plan, 1e-3 * step_ms)


def _cluster(on: str, devices: int | None) -> Cluster:
    from lydite.hardware.cluster import read_cluster

    return read_cluster(on, devices)


def _once(made: dict[object, Any], key: object, make: Any) -> Any:
    """The cached value for `key`, made on first use; rows share clusters and models."""
    if key not in made:
        made[key] = make()
    return made[key]


def _number(given: dict[str, str], name: str) -> float:
    """A column's value as a finite number."""
    if name not in given:
        raise InputError(f"has no {name}", allowed="model and step_ms in every row")
    try:
        number = float(given[name])
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{name} '{given[name]:.40}' is not a number")
    return number


def _whole(given: dict[str, str], name: str) -> int:
    """A column's value as a whole number."""
    number = _number(given, name)
    if number != int(number) or abs(number) >= 1 << 53:
        raise InputError(f"{name} '{given[name]:.40}' is not a whole number")
    return int(number)


def _typed(options_type: type[Options], given: dict[str, str], less: set[str]) -> dict[str, Any]:
    """The columns that are fields of an options class, converted to the fields' types."""
    values: dict[str, Any] = {}
    hints = get_type_hints(options_type)
    for field in fields(options_type):
        text = given.get(field.name)
        if text is None or field.name in less:
            continue
        if isinstance(field.default, bool):
            if text.lower() not in ("true", "false"):
                raise InputError(f"{field.name} '{text}'", allowed="true or false")
            values[field.name] = text.lower() == "true"
        elif isinstance(field.default, tuple):
            values[field.name] = tuple(text.split())
        elif int in (hints[field.name], *get_args(hints[field.name])):
            values[field.name] = _whole(given, field.name)
        else:
            values[field.name] = text
    return values
