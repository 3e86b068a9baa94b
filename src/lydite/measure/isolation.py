"""One operator's time: from the start of one call in a graph to the start of the next.

A run of `c` copies costs  T(c) = call + c * op + (c - 1) * tap,  where `call` is what entering the
backend costs and `tap` one dispatch of an operator that does nothing, right after others like it.
Within a network, earlier operators have swept the private caches, so that a dispatch finds its code
and tables further away: it costs `dispatch`, more than `tap`. The stored time is therefore

    op = (T(c) - call - (c - 1) * tap) / c + (dispatch - tap)

All three overheads are measured on the machine (`call_costs`). `op` holds the operator's own
dispatch, so a model is the sum of its operators and one call.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lydite.backends import Backend, Settings
from lydite.measure.timing import Timing, TimingPlan, measure
from lydite.opkey import OpKey, TensorType

ROTATED_BYTES = 16 << 20
"""Copies of the weights span at least this much, more than any private cache."""
_MOST_COPIES = 32
_FEWEST_COPIES = 8


@dataclass(frozen=True, slots=True)
class CallCosts:
    """Overheads of a backend on this machine, seconds per sample; see the module's docstring."""

    call_s: np.ndarray
    dispatch_s: np.ndarray
    tap_s: np.ndarray

    def medians(self) -> tuple[float, float, float]:
        """Medians of call, dispatch and tap."""
        call, dispatch, tap = (
            float(np.median(x)) for x in (self.call_s, self.dispatch_s, self.tap_s)
        )
        return call, dispatch, tap


def weight_bytes(key: OpKey) -> int:
    """Bytes of the operator's weights."""
    return sum(o.type.nbytes or 0 for o in key.inputs if o.const and o.type is not None)


def copies_for(key: OpKey, cache: str) -> int:
    """Number of copies of the operator to run in sequence.

    Rotated: enough that their weights exceed the private caches. Hot: one for operators with
    weights. Operators without weights take several in either case, to amortise the cost of the
    call.
    """
    nbytes = weight_bytes(key)
    if nbytes < 4096:
        return _FEWEST_COPIES
    if cache == "hot":
        return 1
    return int(np.clip(-(-ROTATED_BYTES // nbytes), 1, _MOST_COPIES))


def call_costs(backend: Backend, settings: Settings, plan: TimingPlan) -> CallCosts:
    """Measure call and tap from two chain lengths, and dispatch from chains with swept caches."""
    short, long, swept = 8, 136, 24
    items = {
        "short": backend.prepare_calls(settings, short),
        "long": backend.prepare_calls(settings, long),
        "swept": backend.prepare_calls(settings, swept, cold=True),
        "sweeps": backend.prepare_calls(settings, swept, cold=True, evict=True),
    }
    timings = {name: timing.samples_s for name, timing in measure(items, plan).items()}
    tap = np.maximum((timings["long"] - timings["short"]) / (long - short), 1e-9)
    dispatch = np.maximum((timings["swept"] - timings["sweeps"]) / swept, tap)
    return CallCosts(np.maximum(timings["short"] - short * tap, 1e-8), dispatch, tap)


def corrected(timing: Timing, copies: int, costs: CallCosts) -> np.ndarray:
    """Seconds per operator and sample; at least one dispatch.

    Noise can put an operator that does nothing (a view) below the cost of a dispatch; since it did
    take one, the dispatch is a lower bound.
    """
    call, dispatch, tap = costs.medians()
    seconds = (timing.samples_s - call - (copies - 1) * tap) / copies + (dispatch - tap)
    return np.maximum(seconds, dispatch)


def cache_state(key: OpKey, cache: str) -> str:
    """The cache state to record: "hot" for operators without weights, even when rotated."""
    return "hot" if cache == "rotated" and weight_bytes(key) < 4096 else cache


def footprint_bytes(key: OpKey, copies: int) -> int:
    """Approximate bytes of a measurement: weights twice (packed), activations, outputs."""
    types: list[TensorType | None] = [*key.operand_types(), *key.outputs]
    activations = sum(t.nbytes or 0 for t in types if t is not None)
    return 2 * copies * weight_bytes(key) + 5 * activations
