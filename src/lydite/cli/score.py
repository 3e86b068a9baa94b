"""`lydite score`: a set of models on a device, scored against a baseline of 1000."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lydite.api.score.options import ScoreOptions
from lydite.cli import options, recording
from lydite.errors import InputError

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
_AS_IT_IS = ScoreOptions()
_PRECISIONS = {"32": "fp32", "16": "fp16"}
_Result = Annotated[Path, typer.Argument(help="A result.json that `lydite score` wrote.")]


@app.callback()
@recording.optional
def score(
    ctx: typer.Context,
    wanted: ScoreOptions = _AS_IT_IS,
    on: Annotated[
        str | None,
        typer.Option("--on", help="Device of the catalog to estimate; default: measure here."),
    ] = None,
    board: Annotated[
        str | None,
        typer.Option("--board", help="Show published results: sdu-cards or mlperf-v6.0."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Model of the board; default: all.")
    ] = None,
    testmode: Annotated[
        int,
        typer.Option("--testmode", min=0, max=1, help="0 for the whole set, 1 to ask for a model."),
    ] = 0,
    bmodel_precision: Annotated[
        str | None,
        typer.Option("--bmodel-precision", "--bmodel_precision", help="32 for fp32, 16 for fp16."),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Measure anew what a run that was cut off holds.")
    ] = False,
    db: options.DatabaseTarget = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run a set of models on a device, watch it, and score it against a baseline of 1000."""
    from dataclasses import replace

    from lydite.cli.show import deliver, say, session

    if ctx.invoked_subcommand is not None:
        return
    here = session(db, seed=seed, quiet=quiet or json)
    if board is not None:
        board_result = here.score_board(board, model=model)
        deliver(board_result, json=json, out=out)
        return
    if model is not None:
        raise InputError("--model is for a board", hint="--models names models to measure")
    if bmodel_precision is not None:
        if bmodel_precision not in _PRECISIONS or wanted.precision:
            raise InputError(
                f"--bmodel-precision {bmodel_precision}",
                allowed="32 or 16, without --precision",
            )
        wanted = replace(wanted, precision=_PRECISIONS[bmodel_precision])
    if testmode == 1 and not wanted.models:
        wanted = replace(wanted, models=_asked(wanted))
    result = here.score(on=on, out=out, restart=restart, options=wanted)
    folder = out or result.folder
    written = [] if folder is None else result.write(folder)
    if result.was_interrupted and recording.is_asked():
        say("not recorded: the score was interrupted; the same command goes on with it")
    deliver(result, json=json, keep=not result.was_interrupted)
    for path in written:
        say(f"written: {path}", quiet)
    if result.was_interrupted:
        raise typer.Exit(130)


def _asked(wanted: ScoreOptions) -> str:
    """The model that the user types."""
    from lydite.api.score.combinations import model_names
    from lydite.cli.show import say

    names = model_names(wanted)
    for number, name in enumerate(names, 1):
        say(f"{number:3d}  {name}")
    say("Which model? ")
    answer = sys.stdin.readline().strip()
    if not answer:
        raise InputError("no model was chosen", allowed=", ".join(names), hint="--models NAME")
    if answer.isdecimal() and 1 <= int(answer) <= len(names):
        return names[int(answer) - 1]
    return answer


@app.command()
@recording.optional
def compare(
    first: _Result, second: _Result, out: options.Out = None, json: options.Json = False
) -> None:
    """Compare two results of one set: ratio by model, interval and significance."""
    from lydite.cli.show import deliver, session

    deliver(session(quiet=True).score_compare(first, second), json=json, out=out)


@app.command()
@recording.optional
def verify(file: _Result, json: options.Json = False) -> None:
    """Repeat every figure of a result from its raw samples; exit code 1 where one differs."""
    from lydite.cli.show import deliver, session

    result = session(quiet=True).score_verify(file)
    deliver(result, json=json)
    if not result.is_verified:
        raise typer.Exit(1)
