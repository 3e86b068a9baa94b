"""`lydite smaug COMMAND...`: run the command lines of SMAUG's manual unchanged."""

from __future__ import annotations

from typing import Annotated

import typer

from lydite.api import Command, Session
from lydite.compat.smaug.command.verb import SmaugResult, smaug


def _smaug(
    session: Session,
    command: Annotated[
        list[str],
        typer.Argument(
            metavar="COMMAND...",
            help="Command line of gem5-Aladdin (.../gem5.opt ...) or SMAUG (.../smaug ...).",
        ),
    ],
    explain: Annotated[
        bool, typer.Option("--explain", help="Only list each flag and how it is treated.")
    ] = False,
) -> SmaugResult:
    """Run a command line of SMAUG's manual: summary, tiling, schedule, Aladdin's results.

    Options of this command come before COMMAND.
    """
    return smaug(session, command, explain=explain)


SMAUG = Command(_smaug, takes_rest=True)
