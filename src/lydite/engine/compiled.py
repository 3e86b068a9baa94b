"""The compiled kernels: imported on first use, and cached on disk once compiled.

numba notices a change of the file that holds a kernel, but not of the files whose functions the
kernel calls. So the cache is in a folder named after everything that the machine code depends on:
all source files of its package, the versions of numba and numpy, and the processor. The folder is
beside the sources if that is writable, otherwise in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

_PACKAGE = "lydite.engine.kernels"
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
def folder(package: str = _PACKAGE) -> Path:
    """Folder that caches the machine code of a package of kernels."""
    import llvmlite.binding
    import numba
    import numpy as np

    found = find_spec(package)
    assert found is not None and found.origin is not None
    sources = Path(found.origin).parent
    digest = hashlib.sha256(f"{numba.__version__} {np.__version__}".encode())
    digest.update(llvmlite.binding.get_host_cpu_name().encode())
    for source in sorted(sources.glob("*.py")):
        digest.update(source.read_bytes())
    base = sources / "__pycache__"
    if not os.access(base if base.exists() else sources, os.W_OK):
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
def kernel(name: str, package: str = _PACKAGE) -> ModuleType:
    """The module `name` of a package of kernels, whose machine code is kept in `folder()`."""
    from numba.core import config

    # numba reads this setting when it decorates a function, so it is set for this import alone.
    _drop_truncated(folder(package))
    settings: Any = config
    before, settings.CACHE_DIR = settings.CACHE_DIR, str(folder(package))
    try:
        return importlib.import_module(f"{package}.{name}")
    finally:
        settings.CACHE_DIR = before


_announced: set[str] = set()
_ALL = "*"


def hush() -> None:
    """Suppress the notice that kernels are being compiled."""
    _announced.add(_ALL)


def load(name: str, notify: Notify = on_stderr) -> ModuleType:
    """As `kernel`, but call `notify` once if the first use has to compile it."""
    function, seconds = _KERNELS[name]
    return load_from(_PACKAGE, name, function, f"the engine: {name}", seconds, notify)


def load_from(
    package: str, name: str, function: str, what: str, seconds: int, notify: Notify = on_stderr
) -> ModuleType:
    """A module of kernels of another package; `notify` is told once if it has to be compiled.

    Args:
        package: Package of kernels.
        name: Name of the module.
        function: Function whose machine code is looked for.
        what: Name of the kernels for the notice.
        seconds: Time that compiling takes, about.
        notify: What is called with the notice.
    """
    module = kernel(name, package)
    if f"{package}.{name}" not in _announced:
        _announced.add(f"{package}.{name}")
        if _ALL not in _announced and not any(folder(package).rglob(f"{name}.{function}-*.nbi")):
            notify(f"compiling {what} (once, ~{seconds} s)")
    return module
