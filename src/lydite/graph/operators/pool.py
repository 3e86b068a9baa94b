"""Pooling: the elements of a window for every output, padding included."""

from __future__ import annotations

import math

from lydite.graph.operators import split
from lydite.graph.operators.call import DIVIDE, FUNCTION, SQRT, Call, Cost, WorkRule
from lydite.graph.operators.decompositions import fused, quantised
from lydite.graph.operators.gradients import norm as gradients
from lydite.graph.operators.missing import QUANTISED, WHOLE, runtimes, usual
from lydite.graph.operators.operator import Family, Operator, Saving
from lydite.graph.operators.typing.contrib import channels_last, standard


def _window(call: Call) -> int:
    return math.prod(call.integers("kernel_shape"))


def _power_cost(call: Call) -> float:
    """FLOPs per element to raise it to the power of the norm and add it."""
    return {1: 2, 2: 2}.get(call.integer("p", 2), FUNCTION + 1)


def _pool(each: float, last: float = 0) -> WorkRule:
    def rule(call: Call) -> Cost:
        return Cost((each * _window(call) + last) * call.out_count(), call.bytes_of(0))

    return rule


def _global(each: float, last: float = 0) -> WorkRule:
    def rule(call: Call) -> Cost:
        return Cost(each * call.count(0) + last * call.out_count(), call.bytes_of(0))

    return rule


def _lp(call: Call) -> Cost:
    root = SQRT if call.integer("p", 2) == 2 else FUNCTION
    return Cost((_power_cost(call) * _window(call) + root) * call.out_count())


def _global_lp(call: Call) -> Cost:
    root = SQRT if call.integer("p", 2) == 2 else FUNCTION
    return Cost(_power_cost(call) * call.count(0) + root * call.out_count())


def _roi(call: Call) -> Cost:
    """Regions have windows of different sizes; they cover the map once if the regions tile it."""
    channels_height_width = math.prod(call.shape(0)[1:])
    return Cost(channels_height_width * call.shape(1)[0])


_REQUANTISED = 5  # scale, round, shift, two clamps


_PLAIN = {
    "MaxPool": (_pool(1), {"gradient": gradients.max_pool, "saving": Saving("MaxPool", "", 2)}),
    "AveragePool": (_pool(1, DIVIDE), {"gradient": gradients.average_pool}),
    "LpPool": (_lp, {}),
    "GlobalMaxPool": (_global(1), {"gradient": gradients.global_max}),
    "GlobalAveragePool": (_global(1, DIVIDE), {"gradient": gradients.global_average}),
    "GlobalLpPool": (_global_lp, {}),
}
_MS, _NCHWC, _NHWC = "com.microsoft:", "com.microsoft.nchwc:", "com.ms.internal.nhwc:"
_standard = Family("pool", usual(split=split.windows))
_runtime = Family("pool", runtimes(split=split.windows))

OPERATORS: tuple[Operator, ...] = (
    *(_standard.row(name, work, **facets) for name, (work, facets) in _PLAIN.items()),
    *(
        _runtime.row(
            _NCHWC + name,
            work,
            types=standard(name, [0]),
            decomposition=fused.pooled(name),
        )
        for name, (work, _) in _PLAIN.items()
    ),
    *(
        _runtime.row(
            _NHWC + name,
            work,
            types=channels_last(name, [0]),
            decomposition=fused.channels_last(name, keep=fused.POOL),
        )
        for name, (work, _) in _PLAIN.items()
    ),
    _standard.row("MaxUnpool", lambda call: Cost(0, call.bytes_of(0, 1))),
    _standard.row("MaxRoiPool", _roi, split=WHOLE),
    _runtime.row(
        _MS + "NhwcMaxPool",
        _pool(1),
        types=channels_last("MaxPool", [0]),
        decomposition=fused.channels_last("MaxPool", keep=fused.POOL),
    ),
    _runtime.row(_MS + "MaxpoolWithMask", _pool(2)),
    _runtime.row(
        _MS + "QLinearAveragePool",
        _pool(2, DIVIDE + _REQUANTISED),
        types=standard("AveragePool", [0], dtype_of=0),
        gradient=QUANTISED,
        decomposition=quantised.around(
            quantised.function("AveragePool", keep=(*fused.POOL, "count_include_pad")), 1
        ),
    ),
    _runtime.row(
        _MS + "QLinearGlobalAveragePool",
        _global(2, DIVIDE + _REQUANTISED),
        types=standard("GlobalAveragePool", [0], dtype_of=0),
        gradient=QUANTISED,
        decomposition=quantised.around(quantised.function("GlobalAveragePool"), 1),
    ),
    _runtime.row(_NHWC + "QLinearAveragePool", _pool(2, DIVIDE + _REQUANTISED)),
    _runtime.row(_NHWC + "MaxUnpool", lambda call: Cost(0, call.bytes_of(0, 1))),
)
