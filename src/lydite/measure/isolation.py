"""One operator's time: from the start of one call in a graph to the start of the next.

A run of `c` copies costs  T(c) = call + c * op + (c - 1) * tap,  where `call` is what entering the
backend costs and `tap` one dispatch of an operator that does nothing, right after others like it.
In a net, what ran before has swept the private caches, and a dispatch finds its code and its
tables further away: that costs `dispatch`, more than `tap`. So

    op = (T(c) - call - (c - 1) * tap) / c + (dispatch - tap)

is what is kept. All three overheads are measured on the machine (`call_costs`). `op` holds the
operator's own dispatch, so a model is the sum of its operators and one call.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lydite.backends import Backend, Settings
from lydite.measure.timing import Plan, Timing, measure
from lydite.opkey import OpKey, TensorType

ROTATED_BYTES = 16 << 20
"""Copies of the weights span at least this much, which no private cache holds."""
_MOST_COPIES = 32
_FEWEST_COPIES = 8


@dataclass(frozen=True, slots=True)
class CallCosts:
    """Overheads of a backend here, seconds per sample; see the module's docstring."""

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
    """Seconds per operator and sample; at least a dispatch.

    An operator that does nothing (a view) can come out below a dispatch by noise; it did take one,
    so that its time is bounded from below rather than lost.
    """
    call, dispatch, tap = costs.medians()
    seconds = (timing.samples_s - call - (copies - 1) * tap) / copies + (dispatch - tap)
    return np.maximum(seconds, dispatch)


def cache_state(key: OpKey, cache: str) -> str:
    """The cache state to record: an operator without weights counts as hot when rotated."""
    return "hot" if cache == "rotated" and weight_bytes(key) < 4096 else cache


def footprint_bytes(key: OpKey, copies: int) -> int:
    """Approximate memory for measuring in bytes: weights twice (packed), activations, outputs."""
    types: list[TensorType | None] = [*key.operand_types(), *key.outputs]
    activations = sum(t.nbytes or 0 for t in types if t is not None)
    return 2 * copies * weight_bytes(key) + 5 * activations
