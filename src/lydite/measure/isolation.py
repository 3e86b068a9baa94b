"""One operator's time: from the start of one call in a graph to the start of the next.

A run of `c` copies costs  T(c) = call + c * op + (c - 1) * tap,  where `call` is what entering the
backend costs and `tap` one dispatch of an operator that does nothing, right after others like it.
Within a network, operators of many types follow each other, so that a dispatch finds its code and
branches less well predicted: it costs `dispatch`, more than `tap`. The stored time is therefore

    op = (T(c) - call - (c - 1) * tap) / c + (dispatch - tap)

All three overheads are measured on the machine (`call_costs`). `op` holds the operator's own
dispatch, so a model is the sum of its operators and one call.
"""

from __future__ import annotations

import numpy as np

from lydite.backends import Backend, Settings
from lydite.backends.base import Chain
from lydite.backends.isolate import LARGE_BYTES, overwritten_input
from lydite.estimate.measured import SMALLEST_SPAN_BYTES
from lydite.graph import SMALL_WEIGHT_BYTES
from lydite.measure.timing import Timing, TimingPlan, measure
from lydite.opkey import OpKey
from lydite.records import dataclass

ROTATED_BYTES = 16 << 20
"""Bytes of weights between two uses of one, where the network does not say how many there are."""
_TURNS_OF_LARGE, _MOST_TURNS = 4, 16
_SMALL_INPUT_BYTES = 4096
_MOST_COPIES = 128
_FEWEST_COPIES = 8


@dataclass(frozen=True, slots=True)
class CallCosts:
    """Overheads of a backend on this machine, seconds per sample; see the module's docstring.

    Attributes:
        call_s: A call into the backend.
        dispatch_s: A dispatch among operators of many types.
        tap_s: A dispatch among operators of one type.
    """

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


def input_bytes(key: OpKey) -> int:
    """Bytes of the operator's inputs other than weights and what it overwrites, each once."""
    skipped = overwritten_input(key)
    read = (o for place, o in enumerate(key.inputs) if place != skipped and not o.const)
    return sum(o.type.nbytes or 0 for o in read if o.type is not None)


@dataclass(frozen=True, slots=True)
class Layout:
    """How the copies of an operator are laid out in memory.

    Attributes:
        copies: Number of calls in sequence, each with its own weights.
        turns: Number of buffers that their inputs alternate between.
        span_bytes: Bytes between two uses of the weights; where there are next to none, of the
            inputs.
    """

    copies: int
    turns: int
    span_bytes: int


def layout_for(key: OpKey, cache: str, span_bytes: int = 0) -> Layout:
    """The layout that leaves a number of bytes between two uses of what the operator reads.

    Operators with weights take as many copies that their weights come nearest to the span, as a
    ratio; the others as many buffers of inputs. Operators without weights take several copies in
    any case, to amortise the cost of the call.

    Args:
        key: Operator.
        cache: "rotated": the weights fill the span; "hot": one copy of them, one buffer; "cold":
            a single call.
        span_bytes: Bytes between two uses; 0 where the network does not say: `ROTATED_BYTES` for
            weights, and large inputs take turns, as no network could keep them in its caches.
    """
    weights, inputs = weight_bytes(key), input_bytes(key)
    if cache == "cold":
        return Layout(1, 1, weights)
    turns = _TURNS_OF_LARGE if inputs >= LARGE_BYTES else 1
    if weights >= SMALL_WEIGHT_BYTES:
        wanted = span_bytes or ROTATED_BYTES
        copies = min(_nearest(wanted, weights), _MOST_COPIES) if cache != "hot" else 1
        return Layout(copies, turns, copies * weights)
    if span_bytes > SMALLEST_SPAN_BYTES and inputs > _SMALL_INPUT_BYTES and cache != "hot":
        turns = max(turns, int(np.clip(round(span_bytes / inputs), 1, _MOST_TURNS)))
    return Layout(max(_FEWEST_COPIES, turns), turns, turns * inputs)


def _nearest(wanted: int, each: int) -> int:
    """How many times `each` come nearest to what is wanted, as a ratio; at least once.

    Rounded up, a product that has nearly all weights of a net would take two copies, which may not
    fit into a cache that holds the net: 59 us of one that takes 27 us there.
    """
    fewer = max(1, wanted // each)
    return fewer if wanted**2 <= fewer * (fewer + 1) * each**2 else fewer + 1


_CHAINS = (12, 252)
"""Operators of the two chains whose difference is the cost of a dispatch; whole dozens of types."""


def call_costs(backend: Backend, settings: Settings, plan: TimingPlan) -> CallCosts:
    """Measure call, tap and dispatch, each from two lengths of a chain of tiny operators.

    Copies of one type give the call and the tap, a dozen types in turn give the dispatch. The
    difference of 240 operators is many times the noise of a call, so that the dispatch is known
    to some nanoseconds.
    """
    short, long = _CHAINS
    chains: tuple[tuple[str, int, Chain], ...] = (
        ("short", short, "same"),
        ("long", long, "same"),
        ("mixed short", short, "mixed"),
        ("mixed long", long, "mixed"),
    )
    items = {name: backend.prepare_calls(settings, count, kind) for name, count, kind in chains}
    try:
        timings = {name: timing.samples_s for name, timing in measure(items, plan).items()}
    finally:
        for item in items.values():
            item.close()
    count = long - short
    tap = np.maximum((timings["long"] - timings["short"]) / count, 1e-9)
    dispatch = np.maximum((timings["mixed long"] - timings["mixed short"]) / count, tap)
    call = np.maximum(timings["short"] - short * tap, 1e-8)
    return CallCosts(call, dispatch, tap)


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
    return "hot" if cache == "rotated" and weight_bytes(key) < SMALL_WEIGHT_BYTES else cache


def footprint_bytes(key: OpKey, layout: Layout) -> int:
    """Approximate bytes of a measurement: weights twice (packed), inputs, outputs."""
    outputs = sum(t.nbytes or 0 for t in key.outputs if t is not None)
    activations = (layout.turns + 1) * input_bytes(key) + 8 * outputs
    return 2 * layout.copies * weight_bytes(key) + activations
