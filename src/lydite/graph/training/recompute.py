"""Recomputation: only the inputs of forward segments are kept in memory.

Segments are cut where a single tensor crosses (the input of a block), such that they save about the
same number of bytes for the backward pass (Chen et al., Training Deep Nets with Sublinear Memory
Cost, arXiv:1604.06174). The tensors of the last segment are needed immediately and are kept.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from lydite.errors import InputError
from lydite.graph.builder import Builder, Tensor
from lydite.graph.graph import Graph, Op


class Recall:
    """Supplies the backward pass with forward tensors by name, saved or recomputed.

    Args:
        g: Builder that recomputed operators are appended to.
        forward: Graph of the forward pass.
        segments: Number of segments to cut it into; below 2 everything is kept.
        phases: Phase by operator name; recomputed operators are added as "recompute".

    Raises:
        InputError: there are fewer places to cut than asked for.
    """

    def __init__(self, g: Builder, forward: Graph, segments: int, phases: dict[str, str]) -> None:
        self._g, self._forward, self._phases = g, forward, phases
        self._index = {op.name: i for i, op in enumerate(forward.ops)}
        self._cuts = cut_points(forward, segments) if segments > 1 else []
        self._again: dict[str, str] = {}
        self._kept = self._kept_tensors() if self._cuts else None

    def __call__(self, name: str) -> Tensor:
        """The saved tensor, or its recomputed copy."""
        if self._kept is None or name in self._kept or name not in self._forward.producers:
            return self._g.tensor(name)
        for op in self._missing(name):
            self._repeat(op)
        return self._g.tensor(self._again[name])

    def _kept_tensors(self) -> set[str]:
        forward = self._forward
        kept = {*forward.inputs, *forward.initializers, *forward.outputs}
        for op in forward.ops:
            home = self._segment(op)
            for name in op.outputs:
                readers = forward.consumers.get(name, ())
                if home == len(self._cuts) or any(self._segment(r) != home for r in readers):
                    kept.add(name)
        return kept

    def _segment(self, op: Op) -> int:
        return bisect.bisect_right(self._cuts, self._index[op.name])

    def _missing(self, name: str) -> list[Op]:
        """Operators to repeat for a tensor, in order, without those repeated before."""
        assert self._kept is not None
        needed: dict[str, Op] = {}
        open_names = [name]
        while open_names:
            current = open_names.pop()
            op = self._forward.producers.get(current)
            if op is None or current in self._kept or current in self._again or op.name in needed:
                continue
            needed[op.name] = op
            open_names += [n for n in op.inputs if n]
        return sorted(needed.values(), key=lambda op: self._index[op.name])

    def _repeat(self, op: Op) -> None:
        inputs = [self._g.tensor(self._again.get(n, n)) if n else None for n in op.inputs]
        outputs = self._g.ops(
            op.op_type,
            *inputs,
            outputs=len(op.outputs),
            domain=op.domain,
            name=f"{op.name}/again",
            **op.attrs,
        )
        self._again |= {old: new.name for old, new in zip(op.outputs, outputs, strict=True) if old}
        self._phases[self._g.last.name] = "recompute"


def cut_points(forward: Graph, segments: int) -> list[int]:
    """Positions of the operators that begin a segment, without the first segment.

    Raises:
        InputError: the graph has fewer places that a single tensor crosses.
    """
    places = _crossed_once(forward)
    if segments - 1 > len(places):
        raise InputError(
            f"cannot cut into {segments} segments",
            where=forward.name,
            allowed=f"2 to {len(places) + 1}"
            if places
            else "none: no place is crossed by a single tensor",
        )
    saved = [0.0]
    for op in forward.ops:
        saved.append(saved[-1] + sum(t.nbytes or 0 for t in forward.output_types(op)))
    chosen: list[int] = []
    for number in range(1, segments):
        goal = saved[-1] * number / segments
        left = [p for p in places if not chosen or p > chosen[-1]]
        left = left[: len(left) - (segments - 1 - number)] or left
        chosen.append(min(left, key=lambda place: abs(saved[place] - goal)))
    return chosen


def _crossed_once(forward: Graph) -> list[int]:
    """Positions at which exactly one computed tensor, made before and read afterwards, is alive.

    Tensors that follow from inputs alone in a few bytes (masks, positions) do not count.
    """
    last: dict[str, int] = {}
    for i, op in enumerate(forward.ops):
        for name in op.inputs:
            last[name] = i
    for name in forward.outputs:
        last[name] = len(forward.ops)
    largest = max(
        (t.nbytes or 0 for op in forward.ops for t in forward.output_types(op)), default=0
    )
    small = largest / 64
    change = [0] * (len(forward.ops) + 2)
    for i, op in enumerate(forward.ops):
        for name in op.outputs:
            if name in last and (forward.type_of(name).nbytes or 0) > small and last[name] > i:
                change[i + 1] += 1
                change[last[name] + 1] -= 1
    return _positions(change, len(forward.ops))


def _positions(change: Sequence[int], count: int) -> list[int]:
    alive, positions = 0, []
    for position in range(count):
        alive += change[position]
        if alive == 1 and position:
            positions.append(position)
    return positions
