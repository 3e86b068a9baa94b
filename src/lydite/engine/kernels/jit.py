"""Decorators of kernels, which Python calls, and of helpers, which kernels call.

Nothing here imports numba: the machine code of a kernel that was compiled before is loaded without
it. Kernels create no arrays and raise nothing.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lydite.engine.compiled import announce, folder, seconds_of
from lydite.engine.helpers import called, inlined, special
from lydite.engine.interpreted import Patience
from lydite.engine.machine_code import (
    Code,
    caller,
    described,
    flattened,
    kind_of,
    read,
    read_arguments,
    write,
)

__all__ = ["Kernel", "called", "inlined", "kernel", "special"]

Caller = Callable[[Sequence[Any]], Any]
_MOST_MARKS = 256
"""Mixtures of types kept for a quick look: equal types that were unpickled count apart."""


class Kernel:
    """A function that runs as machine code, made when it is first called with some types.

    Where making it takes seconds, small inputs are interpreted until that has taken as long.

    Attributes:
        function: The same in Python.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self._callers: dict[tuple[Any, ...], Caller] = {}
        self._entries: dict[tuple[Any, ...], tuple[Caller, list[Any]]] = {}
        self._patience: Patience | None = None

    def __call__(self, *arguments: Any) -> Any:
        """Run on arrays, numbers, and tuples of them."""
        marks: list[Any] = []
        words: list[int] = []
        read_arguments(arguments, marks, words)
        known = self._entries.get(tuple(marks))
        if known is None:
            flat = list(flattened(arguments))
            kinds = tuple(map(kind_of, flat))
            if kinds not in self._callers:
                path = self._path(kinds)
                code = read(path)
                if code is None:
                    for value in self._interpreted(path, arguments):
                        return value
                    code = self._compiled(path, arguments)
                self._callers[kinds] = caller(code)
            types = [each.dtype for each in flat if hasattr(each, "dtype")]
            if len(self._entries) >= _MOST_MARKS:
                self._entries.clear()
            known = self._entries[tuple(marks)] = self._callers[kinds], types
        return known[0](words)

    def forget(self) -> None:
        """Drop the machine code that is loaded; the next call looks for it in its file."""
        self._callers.clear()
        self._entries.clear()

    def _path(self, kinds: tuple[Any, ...]) -> Path:
        """File of the machine code for arguments of these kinds."""
        package, _, name = self.function.__module__.rpartition(".")
        digest = hashlib.sha256(repr([described(kind) for kind in kinds]).encode()).hexdigest()
        return folder(package) / f"{name}.{self.function.__name__}-{digest[:16]}.kernel"

    def _interpreted(self, path: Path, arguments: Sequence[Any]) -> list[Any]:
        """The value in a list, if Python finds it soon; otherwise nothing."""
        seconds = seconds_of(self.function.__module__)
        if not seconds:
            return []
        if self._patience is None or self._patience.tally.parent != path.parent:
            tally = path.with_name(f"{path.name.partition('-')[0]}.calls")
            self._patience = Patience(tally, seconds)
        return self._patience.run(self.function, arguments)

    def _compiled(self, path: Path, arguments: Sequence[Any]) -> Code:
        from lydite.engine.compiler import machine_code

        announce(self.function.__module__)
        code = machine_code(self.function, arguments)
        with suppress(OSError):  # a full disk, or one that is read-only: it is made again
            write(path, code)
        return code


def kernel(function: Callable[..., Any]) -> Kernel:
    """Decorator of a function that Python calls as machine code."""
    return Kernel(function)
