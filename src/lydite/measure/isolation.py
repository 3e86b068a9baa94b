"""One operator's time: from the start of one call in a graph to the start of the next.

A run of `c` copies costs  T(c) = call + c * op + (c - 1) * tap,  where `call` is what entering the
backend costs and `tap` one dispatch of an operator that does nothing. Both are measured on the
machine (`call_costs`), and  op = (T(c) - call - (c - 1) * tap) / c  is what is kept. `op` holds the
operator's own dispatch, so a model is the sum of its operators and one call.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lydite.backends import Backend, Settings
from lydite.measure.timing import Plan, Timing, measure
from lydite.opkey import OpKey, Operand, TensorType

_SQUARE = TensorType("float32", (256, 256))
PACE_KEY = OpKey("MatMul", (Operand(_SQUARE), Operand(_SQUARE, const=True)), (_SQUARE,), version=13)
"""The reference that runs beside every operator: how fast the machine is at that moment."""

ROTATED_BYTES = 16 << 20
"""Copies of the weights span at least this much, which no private cache holds."""
_MOST_COPIES = 32
_FEWEST_COPIES = 8


@dataclass(frozen=True, slots=True)
class CallCosts:
    """Overheads of a backend here, seconds per sample."""

    call_s: np.ndarray
    dispatch_s: np.ndarray


def weight_bytes(key: OpKey) -> int:
    """Bytes of the operator's weights."""
    return sum(o.type.nbytes or 0 for o in key.inputs if o.const and o.type is not None)


def copies_for(key: OpKey, cache: str) -> int:
    """How many copies to run in a row.

    Rotated: enough that their weights exceed the private caches. Hot: one, where there are weights;
    operators without weights take several in either case, to drown the cost of the call.
    """
    own = weight_bytes(key)
    if own < 4096:
        return _FEWEST_COPIES
    if cache == "hot":
        return 1
    return int(np.clip(-(-ROTATED_BYTES // own), 1, _MOST_COPIES))


def call_costs(backend: Backend, settings: Settings, plan: Plan) -> CallCosts:
    """Measure the cost of a call and of a dispatch from two chain lengths."""
    short, long = 8, 136
    items = {str(n): backend.prepare_calls(settings, n) for n in (short, long)}
    timings = measure(items, plan)
    few, many = timings[str(short)].samples_s, timings[str(long)].samples_s
    slope = np.maximum((many - few) / (long - short), 1e-9)
    return CallCosts(np.maximum(few - short * slope, 1e-8), slope)


def corrected(timing: Timing, copies: int, costs: CallCosts) -> np.ndarray:
    """Seconds per operator and sample; never below a tenth of a dispatch.

    An operator that does nothing (a view) can come out at or below zero by noise; it did take a
    dispatch, so that its time is bounded from below rather than lost.
    """
    call, tap = float(np.median(costs.call_s)), float(np.median(costs.dispatch_s))
    seconds = (timing.samples_s - call - (copies - 1) * tap) / copies
    return np.maximum(seconds, tap * 0.1)


def cache_state(key: OpKey, cache: str) -> str:
    """What is recorded: an operator without weights has none to rotate."""
    return "hot" if cache == "rotated" and weight_bytes(key) < 4096 else cache


def footprint_bytes(key: OpKey, copies: int) -> int:
    """Memory that measuring takes, roughly: weights twice (packed), activations, outputs."""
    types: list[TensorType | None] = [*key.operand_types(), *key.outputs]
    activations = sum(t.nbytes or 0 for t in types if t is not None)
    return 2 * copies * weight_bytes(key) + 3 * activations
