"""`lydite profile`: measure every distinct operator that the backend runs, or those of a plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lydite.cli import options, recording
from lydite.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lydite.api.farm_profile import FarmModel
    from lydite.api.profile import ModelProfile
    from lydite.api.profile_plan import PlanResult

_CARRY = "add --write FILE, and there type lydite profile --plan FILE"


@recording.always
def profile(
    model: options.AnyModels = None,
    backend: options.BackendName = "onnxruntime",
    threads: options.Threads = 1,
    shape: options.ModelOptions = options.AS_IT_IS,
    cache: options.Cache = "rotated",
    clock: options.ClockName = "wall",
    budget: options.Budget = 0.5,
    in_graph: Annotated[
        bool, typer.Option("--in-graph", help="Also keep the backend's own times of whole runs.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Measure known operators again.")] = False,
    timeout: Annotated[
        float,
        options.quantity(
            "--timeout",
            "s",
            "Longest time in seconds without an answer of the measuring process.",
            min=1,
        ),
    ] = 120.0,
    memory: Annotated[
        str | None,
        typer.Option("--memory", help='Maximum memory of the measuring process, such as "8 GiB".'),
    ] = None,
    plan_for: Annotated[
        str | None,
        typer.Option(
            "--plan-for",
            help="Model whose prediction is to become more certain: choose operators by expected "
            "gain, and measure them if the device is here.",
        ),
    ] = None,
    on: Annotated[
        str,
        typer.Option(
            "--on",
            help="Device of --plan-for (cpu, a catalog name or a .yaml file), or devices of --farm "
            "separated by commas, such as l4,h100.",
        ),
    ] = "cpu",
    operators: Annotated[
        int | None, typer.Option("--operators", help="Number of operators of --plan-for.")
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            "--write", help="Write the plan to this .json or .csv file, and measure nothing."
        ),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", help="Measure the operators of a plan that was written."),
    ] = None,
    farm: Annotated[
        bool,
        typer.Option(
            "--farm",
            help="Measure on machines that offer the devices of --on to this database "
            "(see `lydite farm worker -h`).",
        ),
    ] = False,
    software: Annotated[
        list[str] | None,
        typer.Option(
            "--software",
            metavar="PACKAGE=VERSION",
            help="Version that machines of --farm must have; repeatable; default: the backend's "
            "versions here.",
        ),
    ] = None,
    device: options.Where = "cpu",
    db: options.DatabaseTarget = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure operators and store them in the database; known ones are not measured again."""
    from lydite.cli.show import deliver, say, session

    opened = session(db, seed=seed, quiet=quiet or json)
    _check(model, plan_for, plan, operators, write)
    if farm or software:
        _check_farm(farm, model, in_graph, software)
        measured = opened.farm_profile(
            model or [],
            on=on,
            backend=backend,
            software=dict(pair.split("=", 1) for pair in software) if software else None,
            threads=threads,
            cache=cache,
            clock=clock,
            budget=budget,
            again=again,
            timeout=timeout,
            memory=memory,
            options=shape,
        )
        if deliver(measured, json=json, out=out):
            _say_failures(measured.models)
        return
    planned: Path | PlanResult | None = plan
    if plan_for is not None:
        planned = opened.profile_plan(
            plan_for,
            operators=operators or 0,
            on=on,
            backend=backend,
            threads=threads,
            clock=clock,
            options=shape,
        )
        if write is not None:
            say(f"written: {planned.write(write)}", quiet)
        if write is not None or not planned.here or not planned.operators:
            if deliver(planned, json=json, out=out) and not planned.here and write is None:
                say(f"\n{planned.device} is not here: {_CARRY}", quiet)
            return
        if not json:
            say(planned.summary() + "\n", quiet)
    if planned is not None:
        result = opened.profile_planned(
            planned,
            backend=backend,
            cache=cache,
            clock=clock,
            budget=budget,
            again=again,
            timeout=timeout,
            memory=memory,
        )
        name = plan_for
    else:
        result = opened.profile(
            model or [],
            backend=backend,
            threads=threads,
            device=device,
            cache=cache,
            clock=clock,
            budget=budget,
            in_graph=in_graph,
            again=again,
            timeout=timeout,
            memory=memory,
            options=shape,
        )
        name = model[0] if model else None
    if not deliver(result, json=json, out=out):
        return
    _say_failures(result.models)
    if name is not None:
        say(f"\nNext: lydite predict {name} --on cpu", quiet)


def _check(
    model: list[str] | None,
    plan_for: str | None,
    plan: Path | None,
    operators: int | None,
    write: Path | None,
) -> None:
    """Refuse options that do not go together."""
    given = [
        name
        for name, value in (("MODEL", model), ("--plan-for", plan_for), ("--plan", plan))
        if value
    ]
    if len(given) != 1:
        raise InputError(
            "nothing to measure" if not given else f"{' and '.join(given)} together",
            allowed="one of MODEL..., --plan-for MODEL and --plan FILE",
        )
    for name, value in (("--operators", operators), ("--write", write)):
        if value is not None and plan_for is None:
            raise InputError(f"{name} needs --plan-for MODEL")
    if plan_for is not None and operators is None:
        raise InputError("--plan-for needs --operators N", allowed="1 or more")


def _check_farm(
    farm: bool, model: list[str] | None, in_graph: bool, software: list[str] | None
) -> None:
    """Refuse options that a farm does not take."""
    if not farm:
        raise InputError("--software needs --farm")
    if not model or in_graph:
        what = "--in-graph" if in_graph else "a plan"
        raise InputError(f"--farm does not take {what}", allowed="MODEL... --farm --on DEVICES")
    for pair in software or ():
        if not all(pair.partition("=")):
            raise InputError(f"--software {pair}", allowed="PACKAGE=VERSION")


def _say_failures(models: Sequence[ModelProfile | FarmModel]) -> None:
    from lydite.cli.show import say

    for row in models:
        for failure in row["failed"][:10]:
            say(f"{row['model']}: {failure['op_type']}: {failure['status']}: {failure['error']}")
