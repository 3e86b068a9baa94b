"""Where the machine code of kernels is kept, and the notice that some is being compiled.

The folder is named after everything that machine code depends on: all source files of its package
and of the compiler, the versions of numba, llvmlite and numpy, the processor and what of it may be
used. It is beside the sources if that is writable, otherwise in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

_PACKAGE = "lydite.engine.kernels"
_KERNELS = {
    "queueing": ("play", 1),
    "ranks": ("play", 1),
    "sharing": ("play", 7),
    "fair": ("rates", 2),
    "tables": ("transpose", 1),
}

_COMPILING = ("compiler", "helpers", "instructions", "machine_code")
"""Modules that decide what machine code is made, and how it is called."""

Notify = Callable[[str], None]


def on_stderr(line: str) -> None:
    """Print a notice on standard error."""
    print(line, file=sys.stderr)


@cache
def folder(package: str = _PACKAGE) -> Path:
    """Folder of the machine code of a package of kernels."""
    import llvmlite.binding as llvm

    found = find_spec(package)
    assert found is not None and found.origin is not None
    sources = Path(found.origin).parent
    digest = hashlib.sha256(" ".join(map(version, ("numba", "llvmlite", "numpy"))).encode())
    digest.update(llvm.get_host_cpu_name().encode())
    digest.update(llvm.get_host_cpu_features().flatten().encode())
    compiling = [Path(__file__).with_name(f"{name}.py") for name in _COMPILING]
    for source in (*sorted(sources.glob("*.py")), *compiling):
        digest.update(source.read_bytes())
    base = sources / "__pycache__"
    if not os.access(base if base.exists() else sources, os.W_OK):
        from platformdirs import user_cache_path

        base = user_cache_path("lydite", appauthor=False) / "engine"
    return base / digest.hexdigest()[:16]


_module = cache(importlib.import_module)
_announced: set[str] = set()
_ALL = "*"


def hush() -> None:
    """Suppress the notice that kernels are being compiled."""
    _announced.add(_ALL)


def load(name: str, notify: Notify = on_stderr) -> ModuleType:
    """A module of the engine's kernels; `notify` is called once if the first use compiles it."""
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
    if f"{package}.{name}" not in _announced:
        _announced.add(f"{package}.{name}")
        if _ALL not in _announced and not any(folder(package).glob(f"{name}.{function}-*.kernel")):
            notify(f"compiling {what} (once, ~{seconds} s)")
    return _module(f"{package}.{name}")
