"""Functions that processes of a pool call."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from lydite.errors import InputError, MissingExtra


def plus(shared: int, argument: int) -> int:
    return shared + argument


def refuse(what: str, argument: int) -> int:
    if argument == 3:
        if what == "extra":
            raise MissingExtra("lightgbm", "learn")
        raise InputError("no 3", where="here", allowed="2, 4", hint="take 4")
    return argument


def killed_once(marker: Path, argument: int) -> tuple[int, int]:
    """Kills its process the first time that it is called with 5."""
    if argument == 5 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid(), argument


def always_killed(_: None, argument: int) -> int:
    if argument == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return argument
