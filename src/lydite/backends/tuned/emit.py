"""Straight-line vector code for TVM: loops, vectors and registers, written as Python runs.

A schedule space writes its kernel with `Emit`: what Python loops over is unrolled, `loop` is a loop
of the kernel. All buffers are flat arrays of float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeAlias

from lydite.backends.tuned.toolchain import compiler

Index: TypeAlias = Any
"""A Python int, or an integer expression of TVM."""
Value: TypeAlias = Any
"""A float32 expression: a number or a vector."""


class Emit:
    """Writes one function.

    Args:
        lanes: Number of floats in a vector.
    """

    def __init__(self, lanes: int) -> None:
        self.tvm = compiler()
        self.lanes = lanes
        self.tirx: Any = import_module("tvm.tirx")
        self._stack: list[list[Any]] = [[]]
        self._arguments: list[Any] = []
        self._names = 0

    def argument(self, name: str, size: int) -> Any:
        """An array that the caller passes, in the order of these calls."""
        buffer = self.tirx.decl_buffer((size,), "float32", name)
        self._arguments.append(buffer)
        return buffer

    def scratch(self, size: int) -> Any:
        """An array for the length of the call."""
        return self._allocated(size, "global")

    def registers(self, count: int) -> Registers:
        """Vectors that live in registers, as far as there are enough."""
        return Registers(self, self._allocated(count * self.lanes, "local"))

    def _allocated(self, size: int, scope: str) -> Any:
        buffer = self.tirx.decl_buffer((size,), "float32", self._name("buffer"), scope=scope)
        self._say(self.tirx.AllocBuffer(buffer))
        return buffer

    @contextmanager
    def loop(self, count: Index, start: Index = 0) -> Iterator[Any]:
        """A loop of `count` turns; yields its variable."""
        variable = self.tirx.Var(self._name("i"), "int32")
        self._stack.append([])
        yield variable
        body = self._block(self._stack.pop())
        self._say(self.tirx.For(variable, self.index(start), self.index(count), 0, body))

    @contextmanager
    def when(self, condition: Any) -> Iterator[None]:
        """Statements that run if the condition holds; `otherwise` may follow."""
        self._stack.append([])
        yield
        body = self._block(self._stack.pop())
        self._say(self.tirx.IfThenElse(condition, body, None))

    @contextmanager
    def otherwise(self) -> Iterator[None]:
        """Statements that run if the condition of the `when` before does not hold."""
        chosen = self._stack[-1].pop()
        self._stack.append([])
        yield
        body = self._block(self._stack.pop())
        self._say(self.tirx.IfThenElse(chosen.condition, chosen.then_case, body))

    def index(self, value: Index) -> Any:
        """An index as an expression."""
        return self.tirx.IntImm("int32", value) if isinstance(value, int) else value

    def vector(self, buffer: Any, start: Index) -> Value:
        """Consecutive numbers of a buffer."""
        return self.tirx.BufferLoad(buffer, [self._ramp(start)])

    def number(self, buffer: Any, at: Index) -> Value:
        """One number of a buffer."""
        return self.tirx.BufferLoad(buffer, [self.index(at)])

    def splat(self, value: Value | float) -> Value:
        """A number in all lanes."""
        if isinstance(value, int | float):
            value = self.tirx.FloatImm("float32", float(value))
        return self.tirx.Broadcast(value, self.lanes)

    def put(self, buffer: Any, start: Index, value: Value) -> None:
        """Store a vector."""
        self._say(self.tirx.BufferStore(buffer, value, [self._ramp(start)]))

    def put_number(self, buffer: Any, at: Index, value: Value) -> None:
        """Store one number."""
        self._say(self.tirx.BufferStore(buffer, value, [self.index(at)]))

    def bind(self, value: Value, dtype: str = "") -> Any:
        """Name a value, so that it is computed once."""
        variable = self.tirx.Var(self._name("v"), dtype or f"float32x{self.lanes}")
        self._say(self.tirx.Bind(variable, value))
        return variable

    def across(self, value: Value, combine: Callable[[Any, Any], Any]) -> Value:
        """One number from the lanes of a vector, halves with halves."""
        lanes = self.lanes
        while lanes > 1:
            value, lanes = self.bind(value, _vector_type(lanes)), lanes // 2
            low, high = (
                self.tirx.Shuffle([value], [self.index(i) for i in range(start, start + lanes)])
                for start in (0, lanes)
            )
            value = combine(low, high)
        return self.bind(value, "float32")

    def bind_index(self, value: Index) -> Index:
        """Name an index, so that it is computed once."""
        return value if isinstance(value, int) else self.bind(value, "int32")

    def least(self, first: Any, second: Any) -> Any:
        """The lesser of two expressions of one type, or of two ints."""
        if isinstance(first, int) and isinstance(second, int):
            return min(first, second)
        return self.tirx.min(first, second)

    def most(self, first: Any, second: Any) -> Any:
        """The greater of two expressions of one type, or of two ints."""
        if isinstance(first, int) and isinstance(second, int):
            return max(first, second)
        return self.tirx.max(first, second)

    def prefetch(self, buffer: Any, at: Index) -> None:
        """Ask for a line of a buffer to be brought to L2; places beyond its end do no harm."""
        place = self.tirx.address_of(self.number(buffer, at))
        numbers = [self.index(number) for number in (0, 2, 1)]  # to read, to L2, data
        self._say(
            self.tirx.Evaluate(self.tirx.call_llvm_intrin("void", "llvm.prefetch", place, *numbers))
        )

    def start(self, tile: Index, size: int, total: int) -> Index:
        """Where a tile starts; the last one overlaps its neighbour where `size` does not divide."""
        first = tile * size
        return first if total % size == 0 else self.bind_index(self.least(first, total - size))

    def function(self) -> Any:
        """The function as a module."""
        body = self._block(self._stack[0])
        function = self.tirx.PrimFunc(self._arguments, body)
        function = function.with_attr("global_symbol", "main").with_attr("tirx.noalias", True)
        return self.tvm.IRModule({"main": function})

    def _ramp(self, start: Index) -> Any:
        return self.tirx.Ramp(self.index(start), 1, self.lanes)

    def _say(self, statement: Any) -> None:
        self._stack[-1].append(statement)

    def _block(self, statements: list[Any]) -> Any:
        if not statements:
            return self.tirx.Evaluate(self.index(0))
        return statements[0] if len(statements) == 1 else self.tirx.SeqStmt(statements)

    def _name(self, stem: str) -> str:
        self._names += 1
        return f"{stem}{self._names}"


class Registers:
    """Vectors by number."""

    def __init__(self, emit: Emit, buffer: Any) -> None:
        self._emit, self._buffer = emit, buffer

    def __getitem__(self, number: int) -> Value:
        return self._emit.vector(self._buffer, number * self._emit.lanes)

    def __setitem__(self, number: int, value: Value) -> None:
        self._emit.put(self._buffer, number * self._emit.lanes, value)


def _vector_type(lanes: int) -> str:
    return f"float32x{lanes}" if lanes > 1 else "float32"


def tiles(total: int, size: int) -> int:
    """Number of tiles of one size that cover a total."""
    return -(-total // size)
