"""Kernels run by Python itself, for inputs so small that nobody should wait for a compiler.

A kernel reads and writes its arrays in place: plain ones through memory views, whose items are
numbers of Python, and records through rows whose fields are properties. So the answer is that of
the machine code; where Python's numbers would differ (they do not overflow, and refuse to be
divided by 0), and where it takes too long, the arrays are restored and the kernel is compiled.
"""

from __future__ import annotations

import dis
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

from lydite.engine.helpers import Helper, helper_of
from lydite.engine.machine_code import flattened

CALLS_A_SECOND = 1_000_000
"""Helpers that an interpreted kernel calls in a second, about."""
_SHARE = 0.5
"""Share of the time of compiling that one process interprets at most."""


class Patience:
    """How long a kernel is interpreted before it is compiled.

    As long as compiling takes, over all commands: then no user has waited for more than twice
    what was necessary. One command spends less, since it may have to compile after all.

    Attributes:
        tally: File that holds the number of helpers called so far by all processes.
        calls: Number of helpers that could be called in the time of compiling.
    """

    def __init__(self, tally: Path, seconds: float) -> None:
        self.tally = tally
        self.calls = int(seconds * CALLS_A_SECOND)
        self._spent = 0

    def run(self, function: Callable[..., Any], arguments: Sequence[Any]) -> list[Any]:
        """The value of a kernel, in a list; empty if it has to be compiled."""
        before = self._before()
        left = min(self.calls - before, int(_SHARE * self.calls)) - self._spent
        value, calls = run(function, arguments, left)
        self._spent += calls
        if calls:
            with suppress(OSError):  # it is counted in this process alone
                self.tally.parent.mkdir(parents=True, exist_ok=True)
                self.tally.write_text(str(before + self._spent), "ascii")
        return value

    def _before(self) -> int:
        """Helpers called by processes before this one."""
        try:
            return max(0, int(self.tally.read_text("ascii")[:20]) - self._spent)
        except (OSError, ValueError):
            return 0


def run(function: Callable[..., Any], arguments: Sequence[Any], most: int) -> tuple[list[Any], int]:
    """Run a kernel in Python, which changes its arrays as the machine code would.

    Args:
        function: The kernel.
        arguments: Arrays, numbers, and tuples of them.
        most: Greatest number of helpers to call; tables with more rows in all are not begun.

    Returns:
        Its value in a list, and the number of helpers called. The list is empty, and the arrays are
        as before, if this is not enough or Python's numbers do not allow it.
    """
    arrays = [each for each in flattened(arguments) if isinstance(each, np.ndarray)]
    if sum(each.size for each in arrays) > most:
        return [], 0
    before = [(each, each.copy()) for each in arrays if each.flags.writeable]
    _left[0] = most
    try:
        with np.errstate(all="ignore"):
            value = [_interpreted(function)(*map(_view, arguments))]
    except (_TooLong, ArithmeticError, ValueError):
        value = []
        for array, items in before:
            array[...] = items
    return value, most - max(_left[0], 0)


class _TooLong(Exception):
    """More helpers were called than allowed."""


_left = [0]


@cache
def _interpreted(function: Any) -> Any:
    """A function whose helpers are counted."""
    names = dict(function.__globals__)
    used = (step.argval for step in dis.get_instructions(function) if step.opname == "LOAD_GLOBAL")
    for name in set(used):
        kind = helper_of(names.get(name))
        if kind is not None and kind is not Helper.INSTRUCTION:
            names[name] = _counted(_interpreted(names[name]))
    return FunctionType(function.__code__, names, function.__name__, function.__defaults__)


def _counted(function: Callable[..., Any]) -> Callable[..., Any]:
    left = _left

    def call(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise _TooLong
        return function(*arguments)

    return call


def _view(argument: Any) -> Any:
    """What stands for an argument in Python."""
    if isinstance(argument, tuple):
        members = map(_view, argument)
        return type(argument)(*members) if hasattr(argument, "_fields") else tuple(members)
    if isinstance(argument, np.generic):
        return argument.item()
    if not isinstance(argument, np.ndarray):
        return argument
    if argument.dtype.names is not None:
        return _Records(argument)
    return _memory(argument) if argument.ndim == 1 else _Grid(argument)


_memory: Any = memoryview  # arrays are buffers, which type checkers do not know


class _Records:
    """An array of records of one dimension."""

    def __init__(self, array: np.ndarray) -> None:
        names = array.dtype.names or ()
        self.shape = array.shape
        self._columns = [_view(array[name]) for name in names]
        self._row = _row_of(names)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, at: int) -> Any:
        return self._row(self._columns, at)

    def __setitem__(self, at: int, row: Any) -> None:
        for column, theirs in zip(self._columns, row.columns_, strict=True):
            column[at] = theirs[row.at_]


class _Row:
    """A record, which reads and writes the columns of its array; its fields have other names."""

    __slots__ = ("at_", "columns_")

    def __init__(self, columns: list[Any], at: int) -> None:
        self.columns_ = columns
        self.at_ = at


@cache
def _row_of(names: tuple[str, ...]) -> type[_Row]:
    return type("Row", (_Row,), {"__slots__": (), **{n: _field(k) for k, n in enumerate(names)}})


def _field(column: int) -> property:
    def read(row: _Row) -> Any:
        return row.columns_[column][row.at_]

    def write(row: _Row, value: Any) -> None:
        row.columns_[column][row.at_] = value

    return property(read, write)


class _Grid:
    """An array of several dimensions."""

    def __init__(self, array: np.ndarray) -> None:
        self.shape = array.shape
        self._array = array
        self._cells = _memory(array)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, at: Any) -> Any:
        return self._cells[at] if isinstance(at, tuple) else _view(self._array[at])

    def __setitem__(self, at: Any, value: Any) -> None:
        if isinstance(at, tuple):
            self._cells[at] = value
        else:
            self._array[at] = value
