"""`lydite learn`: the learned estimator from rows of others, and its errors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lydite.cli import options

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
        help="Folder of AIConfigurator's data (SYSTEM/gemm), for products in 16 bits.",
    ),
]


@app.command()
def fit(
    out: Annotated[Path, typer.Option("--out", help="Folder for the model.")],
    neusight: _NeuSight = None,
    aiconfigurator: _AIConfigurator = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fit the learned estimator and write it as text, with a manifest."""
    from lydite.cli.show import deliver, say, session

    result = session(quiet=quiet or json).learn_fit(
        out, neusight=neusight, aiconfigurator=aiconfigurator
    )
    if deliver(result, json=json):
        say(f"\nNext: LYDITE_LEARNED={out} lydite predict MODEL --on DEVICE", quiet)


@app.command()
def evaluate(
    neusight: _NeuSight = None,
    aiconfigurator: _AIConfigurator = None,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Leave out each device in turn, and compare its rows with what the others teach."""
    from lydite.cli.show import deliver, session

    result = session(quiet=quiet or json).learn_evaluate(
        neusight=neusight, aiconfigurator=aiconfigurator
    )
    deliver(result, json=json, out=out)
