"""How often a Loop runs whose condition counts, as those of TensorFlow's while loops do in ONNX.

The condition that a body hands on compares a number, which each iteration makes larger by a
constant, with one that stays: `i + 1 < length`. Several such comparisons may be joined by And.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from lydite.graph.graph import Graph, Op
from lydite.records import dataclass

Value: TypeAlias = Callable[[str], "np.ndarray | None"]
"""The value of a tensor of the graph around the loop, where it is known."""

_FORWARD = {"Less": (False, False), "LessOrEqual": (True, False)}
_SWAPPED = {"Greater": (False, True), "GreaterOrEqual": (True, True)}
_COMPARED = {**_FORWARD, **_SWAPPED}
"""Comparisons that a growing number fails in the end: whether equality passes, and whether the
operands stand the other way round."""
_THROUGH = ("Identity", "Cast", "Squeeze", "Unsqueeze", "Reshape")
_MOST_STEPS = 64


@dataclass(frozen=True)
class _Number:
    """A number of the body: `start` before the first iteration, then larger by `step` in each."""

    start: float
    step: float


TRIPS = "trips"
"""Attribute of a Loop whose number of iterations is known: see `attributes.standard_attrs`."""
NO_LIMIT = 2**31 - 1
"""From here on a trip count is what exporters write for a loop that its condition ends."""


def trip_count(op: Op, value: Value) -> int | None:
    """Iterations of a Loop, from its trip count or from a condition that counts.

    Args:
        op: The Loop.
        value: Gives values of the graph around it.

    Returns:
        None where neither is known. A condition that does not count may end a loop before its trip
        count, which then is taken.
    """
    stated = value(op.inputs[0]) if op.inputs and op.inputs[0] else None
    limit = int(stated.item()) if stated is not None and stated.size == 1 else None
    limit = None if limit is not None and limit >= NO_LIMIT else limit
    counted = _counted(op, value)
    known = [count for count in (limit, counted) if count is not None]
    return min(known, default=None)


def _counted(op: Op, value: Value) -> int | None:
    body = op.attrs.get("body")
    if not isinstance(body, Graph) or len(body.inputs) < 2 or not body.outputs:
        return None
    go = value(op.inputs[1]) if len(op.inputs) > 1 and op.inputs[1] else None
    if go is not None and go.size == 1 and not go.item():
        return 0
    return _Body(op, body, value).trips(body.outputs[0])


class _Body:
    """A loop's body, whose carried values are followed from one iteration to the next."""

    def __init__(self, op: Op, body: Graph, value: Value) -> None:
        self._body, self._value = body, value
        self._makers: Mapping[str, Op] = {name: o for o in body.ops for name in o.outputs}
        self._carried = {name: i for i, name in enumerate(body.inputs[2:])}
        self._initial = op.inputs[2:]

    def trips(self, condition: str) -> int | None:
        """Iterations until a condition of the body fails."""
        maker = self._maker(condition)
        if maker is None:
            return None
        if maker.op_type == "And":
            each = [self.trips(name) for name in maker.inputs]
            known = [count for count in each if count is not None]
            return min(known) if len(known) == len(each) else None
        if maker.op_type not in _COMPARED:
            return None
        equal, swapped = _COMPARED[maker.op_type]
        sides = maker.inputs[::-1] if swapped else maker.inputs
        left, right = (self._number(name) for name in sides[:2])
        if left is None or right is None or right.step or left.step <= 0:
            return None
        # After n iterations the left side is start + n * step; the loop goes on while it compares.
        far = (right.start - left.start) / left.step
        count = math.floor(far) + 1 if equal else math.ceil(far)
        return max(1, count)

    def _maker(self, name: str) -> Op | None:
        """The operator that computes a value, before conversions of its type or shape."""
        op = self._makers.get(name)
        for _ in range(_MOST_STEPS):
            if op is None or op.op_type not in _THROUGH:
                return op
            op = self._makers.get(op.inputs[0])
        return None

    def _source(self, name: str) -> str:
        """The name of a value before conversions of its type or shape."""
        for _ in range(_MOST_STEPS):
            op = self._makers.get(name)
            if op is None or op.op_type not in _THROUGH:
                break
            name = op.inputs[0]
        return name

    def _number(self, name: str) -> _Number | None:
        """A value as it is when an iteration ends, counted from before the first one."""
        name = self._source(name)
        if name == self._body.inputs[0]:  # the number of the iteration, from 0 on
            return _Number(-1.0, 1.0)
        if name in self._carried:  # as it was when the iteration began
            step, start = self._step(name), self._first(name)
            if step is None or start is None:
                return None
            return _Number(start - step, step)
        maker = self._makers.get(name)
        if maker is None:
            known = self._constant(name)
            return None if known is None else _Number(known, 0.0)
        if maker.op_type == "Constant":
            known = self._constant(name)
            return None if known is None else _Number(known, 0.0)
        if maker.op_type in ("Add", "Sub") and len(maker.inputs) == 2:
            first, second = (self._number(side) for side in maker.inputs)
            if first is None or second is None or second.step:
                return None
            sign = 1.0 if maker.op_type == "Add" else -1.0
            return _Number(first.start + sign * second.start, first.step)
        return None

    def _step(self, name: str) -> float | None:
        """By how much a carried value grows in an iteration."""
        made = self._source(self._body.outputs[1 + self._carried[name]])
        if made == name:
            return 0.0
        maker = self._makers.get(made)
        if maker is None or maker.op_type not in ("Add", "Sub"):
            return None
        first, second = (self._source(side) for side in maker.inputs)
        if maker.op_type == "Add" and second == name:
            first, second = second, first
        known = self._constant(second)
        if first != name or known is None:
            return None
        return known if maker.op_type == "Add" else -known

    def _first(self, name: str) -> float | None:
        """What a carried value is before the first iteration."""
        return _single(self._value(self._initial[self._carried[name]]))

    def _constant(self, name: str) -> float | None:
        """A constant of the body, or a value of the graph around it."""
        inside = self._body.constant(name)
        return _single(inside if inside is not None else self._value(name))


def _single(array: np.ndarray | None) -> float | None:
    if array is None or array.size != 1 or array.dtype.kind not in "iufb":
        return None
    return float(array.item())
