"""The compiled kernels: imported on first use, and cached on disk once compiled.

numba notices a change of the file that holds a kernel, but not of the files whose functions the
kernel calls. So the cache is in a folder named after everything that the machine code depends on:
all source files here, the versions of numba and numpy, and the processor. The folder is beside the
sources if that is writable, otherwise in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

_SOURCES = Path(__file__).parent / "kernels"
_KERNELS = {
    "queueing": ("play", 1),
    "sharing": ("play", 5),
    "fair": ("rates", 2),
    "tables": ("transpose", 1),
}

Notify = Callable[[str], None]


def on_stderr(line: str) -> None:
    """Print a notice on standard error."""
    print(line, file=sys.stderr)


@cache
def folder() -> Path:
    """Folder that caches the machine code."""
    import llvmlite.binding
    import numba
    import numpy as np

    digest = hashlib.sha256(f"{numba.__version__} {np.__version__}".encode())
    digest.update(llvmlite.binding.get_host_cpu_name().encode())
    for source in sorted(_SOURCES.glob("*.py")):
        digest.update(source.read_bytes())
    base = _SOURCES / "__pycache__"
    if not os.access(base if base.exists() else _SOURCES, os.W_OK):
        from platformdirs import user_cache_path

        base = user_cache_path("lydite", appauthor=False) / "engine"
    return base / digest.hexdigest()[:16]


def _drop_truncated(cache: Path) -> None:
    """Remove files of compiled code that a crash or a full disk cut short; they are made anew.

    numba keeps pickles, each of which ends in a full stop.
    """
    for file in (*cache.rglob("*.nbi"), *cache.rglob("*.nbc")):
        try:
            with file.open("rb") as content:
                content.seek(-1, os.SEEK_END)
                whole = content.read(1) == b"."
        except OSError:  # also where the file is empty
            whole = False
        if not whole:
            with suppress(OSError):
                file.unlink()


@cache
def kernel(name: str) -> ModuleType:
    """The module of kernels `name`, whose compiled functions are kept in `folder()`."""
    from numba.core import config

    # numba reads this setting when it decorates a function, so it is set for this import alone.
    _drop_truncated(folder())
    settings: Any = config
    before, settings.CACHE_DIR = settings.CACHE_DIR, str(folder())
    try:
        return importlib.import_module(f"lydite.engine.kernels.{name}")
    finally:
        settings.CACHE_DIR = before


_announced: set[str] = set()


def hush() -> None:
    """Suppress the notice that kernels are being compiled."""
    _announced.update(_KERNELS)


def load(name: str, notify: Notify = on_stderr) -> ModuleType:
    """As `kernel`, but call `notify` once if the first use has to compile it."""
    module = kernel(name)
    function, seconds = _KERNELS[name]
    if name not in _announced:
        _announced.add(name)
        if not any(folder().rglob(f"{name}.{function}-*.nbi")):
            notify(f"compiling the engine: {name} (once, ~{seconds} s)")
    return module
