"""`lydite calibrate`: the simulator's constants from measured steps."""

from __future__ import annotations

import csv
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lydite.cli import options

if TYPE_CHECKING:
    from lydite.cli.step_options import NetOptions, PlanOptions
    from lydite.cluster.calibrate import Observed
    from lydite.cluster.constants import Constants
    from lydite.estimate import Accuracy, Estimator
    from lydite.hardware.cluster import Cluster

KEPT_ASIDE = 4
"""Every fourth row judges the fit and takes no part in it."""

JUDGES = 8
"""With fewer of them the bounds come from all rows."""


def calibrate(
    steps: Annotated[Path, typer.Argument(metavar="STEPS.csv", help="One measured step a row.")],
    on: Annotated[str, typer.Option("--on", help="The cluster that they were measured on.")],
    constants: Annotated[
        Path, typer.Option("--constants", help="File to write, for lydite simulate.")
    ] = Path("constants.json"),
    rounds: Annotated[int, typer.Option("--rounds", min=10, help="Simulations of each.")] = 160,
    db: options.DatabaseTarget = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fit what no operator tells (launches, efficiencies, a step's constant) to measured steps.

    Columns: model, step_ms, and any of devices, dp, tp, pp, cp, ep, batch, micro_batch, schedule,
    chunks, zero, recompute, attention, overlap, sequence_parallel, sequence, image_size, dtype,
    optimizer, loss. Operators that the database has measured stay as measured.
    """
    from lydite.cli.load import chain_for, open_database
    from lydite.cli.show import percent, print_json, progress_bar, say, table
    from lydite.cluster.calibrate import calibrated, with_spread
    from lydite.cluster.constants import ASSUMED, write_constants
    from lydite.estimate import Rows

    observed = _observed(steps, on)
    device = observed[0].cluster.device
    fitted_to = [one for i, one in enumerate(observed) if i % KEPT_ASIDE != KEPT_ASIDE - 1]
    with open_database(db) as database:

        def estimator_of(known: Constants) -> Estimator:
            return chain_for([database], device, Rows("torch", 1, "wall"), known.reached)[0]

        with progress_bar("calibrate", quiet or json) as progress:
            found = calibrated(
                fitted_to,
                estimator_of,
                rounds=rounds,
                source=f"fitted to {steps.name}",
                progress=progress,
            )
        rows = _rows(observed)
        judges = rows["kept aside"] if len(rows["kept aside"]) >= JUDGES else observed
        found = with_spread(found, judges, estimator_of)
        judged = {
            name: _accuracy(some, found if name != "assumed" else ASSUMED, estimator_of)
            for name, some in rows.items()
            if some
        }
    write_constants(constants, found)
    if json:
        errors = {name: accuracy.to_json() for name, accuracy in judged.items()}
        print_json(
            {
                "constants": found.values,
                "bounds_over_step": list(found.reached.spread),
                "rows": len(observed),
                "errors": errors,
            }
        )
        return
    lines = [[n, f"{ASSUMED.values[n]:.3g}", f"{v:.3g}"] for n, v in found.values.items()]
    print(table("", ["constant", "assumed", "fitted"], lines) + "\n")
    lines = [
        [name, str(len(rows[name])), percent(a.mean_abs), percent(abs(a.worst.error))]
        for name, a in judged.items()
    ]
    print(table("", ["rows", "count", "mean error", "worst"], lines))
    low, high = found.reached.spread
    judge = "rows kept aside" if judges is not observed else "all rows"
    print(f"\nnine of ten steps take {low:.2f} to {high:.2f} of what is simulated ({judge})")
    say(f"written: {constants}", quiet)


def _rows(observed: list[Observed]) -> dict[str, list[Observed]]:
    aside = [one for i, one in enumerate(observed) if i % KEPT_ASIDE == KEPT_ASIDE - 1]
    fitted = [one for i, one in enumerate(observed) if i % KEPT_ASIDE != KEPT_ASIDE - 1]
    return {"assumed": observed, "fitted to": fitted, "kept aside": aside}


def _accuracy(rows: list[Observed], constants: Constants, estimator_of: Any) -> Accuracy:
    from lydite.cluster.calibrate import simulated
    from lydite.estimate import Accuracy, Point

    found = simulated(rows, constants, estimator_of).tolist()
    return Accuracy.of(
        [
            Point(one.rank.name, seconds, one.seconds, 0, 0)
            for one, seconds in zip(rows, found, strict=True)
        ]
    )


def _observed(steps: Path, on: str) -> list[Observed]:
    """The rows of the file.

    Raises:
        InputError: no such file, an unknown column, a value of the wrong kind (with its line).
    """
    from lydite.errors import InputError, LyditeError

    try:
        lines = list(csv.DictReader(steps.read_text().splitlines()))
    except OSError as problem:
        raise InputError(f"cannot be read: {problem.strerror}", where=str(steps)) from None
    if not lines:
        raise InputError("holds no measured step", where=str(steps), allowed="a header and rows")
    made: dict[object, Any] = {}
    found: list[Observed] = []
    for number, line in enumerate(lines, 2):
        try:
            found.append(_one(line, on, made))
        except LyditeError as error:
            raise InputError(
                error.what, where=f"{steps}, line {number}", allowed=error.allowed, hint=error.hint
            ) from error
    return found


def _one(line: dict[str, str], on: str, made: dict[object, Any]) -> Observed:
    from lydite.cli.load import load_model
    from lydite.cli.step_options import NetOptions, PlanOptions
    from lydite.cluster.calibrate import Observed
    from lydite.cluster.simulate import rank_step
    from lydite.errors import InputError, unknown_name

    kinds = {NetOptions: {"train"}, PlanOptions: set[str]()}
    known = {f.name for kind, less in kinds.items() for f in fields(kind) if f.name not in less}
    given = {name: text for name, text in line.items() if name and text}
    for name in given:
        if name not in known | {"model", "step_ms", "devices"}:
            raise unknown_name("column", name, tuple(sorted(known | {"model", "step_ms"})))
    devices = int(_number(given, "devices")) if "devices" in given else None
    cluster = _once(made, (on, devices), lambda: _cluster(on, devices))
    net = replace(NetOptions(train=True), **_typed(NetOptions, given))
    degrees: PlanOptions = replace(PlanOptions(), **_typed(PlanOptions, given))
    plan = degrees.plan(cluster.ranks)
    shape = net.shape(given.get("model", ""), plan.micro_batch, plan.cp, cluster.device)
    same = replace(
        plan,
        dp=plan.ep,
        batch=0,
        zero=0,
        schedule="1f1b",
        chunks=1,
        recompute="none",
        overlap=True,
        micro_batch=1,
    )
    key = given.get("model"), shape, same, plan.chunks, net.loss, net.optimizer
    graph = _once(made, (given.get("model"), shape), lambda: load_model(given["model"], shape))
    rank = _once(made, key, lambda: rank_step(graph, plan, loss=net.loss, optimizer=net.optimizer))
    step_ms = _number(given, "step_ms")
    if not 0 < step_ms < float("inf"):
        raise InputError(f"step_ms is {given['step_ms']}", allowed="a time above 0")
    return Observed(rank, cluster, plan, 1e-3 * step_ms)


def _cluster(on: str, devices: int | None) -> Cluster:
    from lydite.hardware.cluster import read_cluster

    return read_cluster(on, devices)


def _once(made: dict[object, Any], key: object, make: Any) -> Any:
    """Rows have much in common."""
    if key not in made:
        made[key] = make()
    return made[key]


def _number(given: dict[str, str], name: str) -> float:
    from lydite.errors import InputError

    try:
        return float(given[name])
    except KeyError:
        raise InputError(f"has no {name}", allowed="model and step_ms in every row") from None
    except ValueError:
        raise InputError(f"{name} '{given[name]}' is no number") from None


def _typed(kind: type[NetOptions] | type[PlanOptions], given: dict[str, str]) -> dict[str, Any]:
    """The columns that are fields of a kind of options, as numbers and truth values."""
    from lydite.errors import InputError

    found: dict[str, Any] = {}
    for field in fields(kind):
        text = given.get(field.name)
        if text is None:
            continue
        if isinstance(field.default, bool):
            if text.lower() not in ("true", "false"):
                raise InputError(f"{field.name} '{text}'", allowed="true or false")
            found[field.name] = text.lower() == "true"
        elif isinstance(field.default, int) or "int" in str(field.type):
            found[field.name] = int(_number(given, field.name))
        else:
            found[field.name] = text
    return found
