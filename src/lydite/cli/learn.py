"""`lydite learn`: the learned estimator from rows of others, and its errors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lydite.cli import options, recording

app = typer.Typer(
    help="Learned estimator: fit it on rows of others, and judge it on devices left out.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_NeuSight = Annotated[
    Path | None,
    typer.Option("--neusight", help="Folder of NeuSight's data (train, test), for float32."),
]
_AIConfigurator = Annotated[
    Path | None,
    typer.Option(
        "--aiconfigurator",
        help="Folder of AIConfigurator's data (SYSTEM/gemm, attention, moe), for 16 and 8 bits.",
    ),
]


@app.command()
@recording.optional
def fit(
    out: Annotated[Path, typer.Option("--out", help="Folder for the model.")],
    neusight: _NeuSight = None,
    aiconfigurator: _AIConfigurator = None,
    rows: Annotated[
        str | None,
        typer.Option("--rows", help="Database of your own rows to fit on with; needs --start."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--start", help="Model to fit on from: a folder, or 'shipped'."),
    ] = None,
    ray: options.Ray = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fit the learned estimator and write it as text, with a manifest."""
    from lydite.cli.show import deliver, say, session

    result = session(quiet=quiet or json).learn_fit(
        out, neusight=neusight, aiconfigurator=aiconfigurator, rows=rows, start=start, ray=ray
    )
    if deliver(result, json=json):
        say(f"\nNext: LYDITE_LEARNED={out} lydite predict MODEL --on DEVICE", quiet)


@app.command()
@recording.optional
def evaluate(
    neusight: _NeuSight = None,
    aiconfigurator: _AIConfigurator = None,
    split: Annotated[
        Path | None,
        typer.Option(
            "--split",
            help="JSON file of the devices to learn from and to judge: "
            '{"train": [DEVICE], "test": [DEVICE]}; leaves out each device in turn by default.',
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="Model to judge instead of fitting one: a folder, or 'shipped'.",
        ),
    ] = None,
    ray: options.Ray = None,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Leave out each device in turn, and compare its rows with what the others teach."""
    from lydite.cli.show import deliver, session

    result = session(quiet=quiet or json).learn_evaluate(
        neusight=neusight, aiconfigurator=aiconfigurator, split=split, model=model, ray=ray
    )
    deliver(result, json=json, out=out)
