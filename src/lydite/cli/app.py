"""The table of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from lydite import __version__
from lydite.cli import (
    aisim,
    bench,
    calibrate,
    chip,
    collective,
    coverage,
    db,
    demo,
    doctor,
    inspect,
    models,
    predict,
    profile,
    runs,
    simulate,
    validate,
)

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


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lydite {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("models")(models.models)
app.command("inspect")(inspect.inspect)
app.command("profile")(profile.profile)
app.command("predict")(predict.predict)
app.command("coverage")(coverage.coverage)
app.command("bench")(bench.bench)
app.command("validate")(validate.validate)
app.command("simulate")(simulate.simulate)
app.command("collective")(collective.collective)
app.command("chip")(chip.chip)
app.command("calibrate")(calibrate.calibrate)
app.command("aisim")(aisim.aisim)
app.command("runs")(runs.runs)
app.add_typer(db.app, name="db")
