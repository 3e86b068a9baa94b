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

from lydite.records import dataclass

_PACKAGE = "lydite.engine.kernels"
_SECONDS = {"queueing": 2, "ranks": 2, "sharing": 7, "fair": 2, "tables": 1}
"""Modules of the engine's kernels, with the time that compiling them takes, about."""

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


@dataclass(frozen=True)
class _Expected:
    """What is said before a module of kernels is compiled."""

    what: str
    seconds: float
    notify: Notify


_expected: dict[str, _Expected] = {}


def hush() -> None:
    """Suppress the notice that kernels are being compiled."""
    _announced.add(_ALL)


def load(name: str, notify: Notify = on_stderr) -> ModuleType:
    """A module of the engine's kernels; `notify` is called once if they have to be compiled."""
    return load_from(_PACKAGE, name, f"the engine: {name}", _SECONDS[name], notify)


def load_from(
    package: str, name: str, what: str, seconds: float, notify: Notify = on_stderr
) -> ModuleType:
    """A module of kernels of another package; `notify` is told once if it has to be compiled.

    Args:
        package: Package of kernels.
        name: Name of the module.
        what: Name of the kernels for the notice.
        seconds: Time that compiling takes, about; small inputs do not wait for it
            (`lydite.engine.interpreted`).
        notify: What is called with the notice.
    """
    module = f"{package}.{name}"
    _expected[module] = _Expected(what, seconds, notify)
    return _module(module)


def seconds_of(module: str) -> float:
    """Seconds that compiling a kernel of a module takes; 0 if nobody said how long."""
    return _expected[module].seconds if module in _expected else 0.0


def announce(module: str) -> None:
    """Say, once, that a module of kernels is compiled."""
    expected = _expected.get(module)
    if expected is None or _announced & {module, _ALL}:
        return
    _announced.add(module)
    expected.notify(f"compiling {expected.what} (once, ~{expected.seconds:g} s)")
