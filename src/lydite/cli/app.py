"""The table of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from lydite import __version__
from lydite.api import COMMANDS
from lydite.cli import (
    bench,
    calibrate,
    chip,
    collective,
    corun,
    coverage,
    db,
    demo,
    doctor,
    farm,
    inspect,
    learn,
    mlperf,
    models,
    monitor,
    ops,
    place,
    predict,
    profile,
    runs,
    score,
    serve,
    simulate,
    tune,
    turning_point,
    ui,
    validate,
)
from lydite.cli.declared import command_of, settings_of

OWN = (
    demo.demo,
    doctor.doctor,
    models.models,
    inspect.inspect,
    profile.profile,
    predict.predict,
    coverage.coverage,
    ops.ops,
    bench.bench,
    monitor.monitor,
    validate.validate,
    turning_point.turning_point,
    corun.corun,
    place.place,
    simulate.simulate,
    serve.serve,
    collective.collective,
    chip.chip,
    calibrate.calibrate,
    runs.runs,
)
"""Commands in the order of the help text, each named after its function."""
TAKES_REST = {"monitor"}
"""Commands whose own options end at the first word, which starts another program's."""


def make_app() -> typer.Typer:
    """The application with all commands: our own, and those from the registry `lydite.commands`."""
    app = typer.Typer(
        name="lydite",
        help="How fast is a deep-learning model on a system, what does it cost, and why? "
        "Measured, predicted or simulated.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for command in OWN:
        name = command.__name__.replace("_", "-")
        settings = {"allow_interspersed_args": name not in TAKES_REST}
        app.command(name, context_settings=settings)(command)
    app.add_typer(learn.app, name="learn")
    app.add_typer(mlperf.app, name="mlperf")
    app.add_typer(score.app, name="score")
    app.add_typer(tune.app, name="tune")
    app.add_typer(db.app, name="db")
    app.add_typer(farm.app, name="farm")
    app.add_typer(ui.app, name="ui")
    for name in COMMANDS:
        declared = COMMANDS.find(name)
        app.command(name, context_settings=settings_of(declared))(command_of(declared))
    return app


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lydite {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app = make_app()
