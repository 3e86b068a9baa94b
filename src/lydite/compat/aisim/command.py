"""`lydite aisim`: an AISim benchmark folder as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lydite.api import Command, Session
from lydite.compat.aisim.verb import AisimResult, aisim


def _aisim(
    session: Session,
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG", help="AISim's config.yaml, or a folder with or without one."
        ),
    ],
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MORE]...", help="More models, as AISim's -m takes them."),
    ] = None,
    models: Annotated[
        list[str] | None, typer.Option("--models", "-m", help="Only these models.")
    ] = None,
    skip_coverage: Annotated[
        bool, typer.Option("--skip-coverage", help="Leave out the coverage of the databases.")
    ] = False,
    skip_accuracy: Annotated[
        bool, typer.Option("--skip-accuracy", help="Leave out step times and baselines.")
    ] = False,
    nccl_logs: Annotated[
        Path | None, typer.Option("--nccl-logs", help="Folder of nccl-tests logs.")
    ] = None,
    database: Annotated[
        Path | None,
        typer.Option("--database", help="One database of a GPU type, used for all models."),
    ] = None,
    launch: Annotated[
        str, typer.Option("--launch", help="Time that the host takes to launch a node (assumed).")
    ] = "4 us",
    compute_slowdown: Annotated[
        float,
        typer.Option(
            "--compute-slowdown", help="Slowdown of kernels during an exchange (assumed)."
        ),
    ] = 1.3,
    exchange_slowdown: Annotated[
        float,
        typer.Option(
            "--exchange-slowdown", help="Slowdown of exchanges while the GPU computes (assumed)."
        ),
    ] = 2.2,
) -> AisimResult:
    """Run an AISim benchmark folder: coverage of its databases, step times, accuracy."""
    return aisim(
        session,
        config,
        [*(models or []), *(more or [])],
        coverage=not skip_coverage,
        accuracy=not skip_accuracy,
        nccl_logs=nccl_logs,
        database=database,
        launch=launch,
        compute_slowdown=compute_slowdown,
        exchange_slowdown=exchange_slowdown,
    )


AISIM = Command(_aisim)
