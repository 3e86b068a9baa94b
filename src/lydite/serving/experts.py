"""Experts spread over the devices of a replica, and what its busiest device computes of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lydite.errors import InputError
from lydite.graph import Graph, Op, OpKey
from lydite.opkey import Operand, TensorType
from lydite.records import dataclass

EXPERTS = ("MoE", "QMoE")
"""Operators that send each token to some of their experts."""
MessageTime = Callable[[str, float], float]
"""Seconds of a collective by its kind and bytes."""
GATHERED = 8
"""Most devices whose tokens are gathered by all, as vLLM does unless told otherwise
(`all2all_backend` "allgather_reducescatter"); more exchange only what each needs (DeepEP)."""


@dataclass(frozen=True)
class Spread:
    """Experts over devices.

    Attributes:
        devices: Number of devices over which the experts of a layer are spread.
        groups: Number of them that schedule requests of their own (data-parallel attention).
        load: Tokens of the busiest device over the mean of all.
        message_s: Time of a message between them.
    """

    devices: int
    groups: int
    load: float
    message_s: MessageTime

    def exchange_s(self, key: OpKey, tokens: int) -> float:
        """Time to send some tokens of all devices to their experts and back, in one layer."""
        x = key.inputs[0].type
        if self.groups == 1 or x is None or x.shape is None:
            return 0.0  # every device has every token; the sum of their outputs is an all-reduce
        row = (x.nbytes or 0) / math.prod(int(dim) for dim in x.shape[:-1])
        if self.devices <= GATHERED:
            size = tokens * row
            return self.message_s("AllGather", size) + self.message_s("ReduceScatter", size)
        size = tokens / self.devices * row * int(key.attrs.get("k", 1)) * self.load
        return 2 * self.message_s("AllToAll", size)

    def on_busiest(self, key: OpKey, tokens: int) -> OpKey:
        """What the busiest device computes for some tokens of all devices.

        Each of its experts' tokens is a row that goes to one expert.
        """
        count = experts_of(key)
        here = count // self.devices
        chosen = tokens * int(key.attrs.get("k", 1)) / self.devices * self.load
        rows = max(1, math.ceil(chosen))
        inputs = tuple(_part(operand, count, here, rows) for operand in key.inputs)
        outputs = tuple(_rows(type_, rows) for type_ in key.outputs)
        attrs = {**key.attrs, "k": 1}
        return replace(key, inputs=inputs, outputs=outputs, attrs=attrs)


def experts_of(key: OpKey) -> int:
    """Number of experts of an operator, from the scores of its router [tokens, experts]."""
    scores = key.inputs[1].type
    return int(scores.shape[-1]) if scores is not None and scores.shape else 0


def _part(operand: Operand, count: int, here: int, rows: int) -> Operand:
    type_ = operand.type
    if type_ is None or not type_.shape:
        return operand
    if operand.const:
        dims = (here, *type_.shape[1:]) if type_.shape[0] == count else type_.shape
        return replace(operand, type=TensorType(type_.dtype, dims, type_.layout))
    moved = _rows(type_, rows)
    last = here if type_.shape[-1] == count and len(type_.shape) == 2 else type_.shape[-1]
    return replace(
        operand, type=TensorType(type_.dtype, (*(moved.shape or ())[:-1], last), type_.layout)
    )


def _rows(type_: TensorType, rows: int) -> TensorType:
    """The same width for some rows."""
    if not type_.shape:
        return type_
    dims = (*[1] * (len(type_.shape) - 2), rows, type_.shape[-1])
    return TensorType(type_.dtype, dims, type_.layout)


def expert_bytes(graph: Graph) -> float:
    """Bytes of the weights of all experts of a graph."""
    names = {name for op in graph.ops if op.op_type in EXPERTS for name in op.inputs}
    kept = names & set(graph.parameters)
    return float(sum(graph.type_of(name).nbytes or 0 for name in kept))


def expert_ops(graph: Graph) -> list[Op]:
    """Operators of a graph that run experts."""
    return [op for op in graph.ops if op.op_type in EXPERTS]


LOADS = "balanced, power-law:EXPONENT, or a file with the tokens of each expert, one a line"


def read_load(text: str, experts: int, devices: int, seed: int = 0) -> float:
    """Tokens of the busiest device over the mean of all.

    Args:
        text: "balanced", "power-law:1.2" (the n-th most used expert gets a share of n ** -1.2; the
            experts are placed at random), or the path of a file with a number for each expert.
        experts: Number of experts.
        devices: Number of devices, each with as many experts in a row.
        seed: Seed of the placement.

    Raises:
        InputError: the text is none of these, or the file has another number of experts.
    """
    if text == "balanced":
        return 1.0
    if text.startswith("power-law:"):
        try:
            exponent = float(text.partition(":")[2])
        except ValueError:
            exponent = -1.0
        if not 0 <= exponent <= 10:
            raise InputError(f"expert load '{text}'", allowed="power-law:0 to power-law:10")
        shares = np.arange(1, experts + 1) ** -exponent
        return busiest(np.random.default_rng(seed).permutation(shares), devices)
    return busiest(_loads(Path(text), experts), devices)


def busiest(loads: Sequence[float] | np.ndarray, devices: int) -> float:
    """Load of the busiest device over the mean, where each has as many experts in a row."""
    sums = np.asarray(loads, float).reshape(devices, -1).sum(axis=1)
    return float(sums.max() / sums.mean())


def _loads(path: Path, experts: int) -> np.ndarray:
    if not path.is_file():
        raise InputError(f"expert load '{path}' is no file", allowed=LOADS)
    try:
        loads = np.array([float(line) for line in path.read_text().split()])
    except (ValueError, OSError, UnicodeDecodeError):
        raise InputError("is not a list of numbers", where=str(path), allowed=LOADS) from None
    if len(loads) != experts:
        raise InputError(f"has {len(loads)} numbers for {experts} experts", where=str(path))
    if not np.isfinite(loads).all() or (loads < 0).any() or not loads.sum():
        raise InputError("has loads that are negative, not finite or all 0", where=str(path))
    return loads
