"""Decorators of kernels, which Python calls, and of helpers, which kernels call.

Nothing here imports numba: the machine code of a kernel that was compiled before is loaded without
it. Kernels create no arrays and raise nothing.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from lydite.engine.compiled import folder
from lydite.engine.helpers import called, inlined, special
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
    """A function that runs as machine code, which is made when it is first called with some types.

    Attributes:
        function: The same in Python.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self._callers: dict[tuple[Any, ...], Caller] = {}
        self._entries: dict[tuple[Any, ...], tuple[Caller, list[Any]]] = {}

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
                self._callers[kinds] = caller(self._code(arguments, kinds))
            types = [each.dtype for each in flat if hasattr(each, "dtype")]
            if len(self._entries) >= _MOST_MARKS:
                self._entries.clear()
            known = self._entries[tuple(marks)] = self._callers[kinds], types
        return known[0](words)

    def forget(self) -> None:
        """Drop the machine code that is loaded; the next call looks for it in its file."""
        self._callers.clear()
        self._entries.clear()

    def _code(self, arguments: Sequence[Any], kinds: tuple[Any, ...]) -> Code:
        module = self.function.__module__
        package, _, name = module.rpartition(".")
        digest = hashlib.sha256(repr([described(kind) for kind in kinds]).encode()).hexdigest()
        path = folder(package) / f"{name}.{self.function.__name__}-{digest[:16]}.kernel"
        code = read(path)
        if code is None:
            from lydite.engine.compiler import machine_code

            code = machine_code(self.function, arguments)
            with suppress(OSError):  # a full disk, or one that is read-only: it is made again
                write(path, code)
        return code


def kernel(function: Callable[..., Any]) -> Kernel:
    """Decorator of a function that Python calls as machine code."""
    return Kernel(function)
