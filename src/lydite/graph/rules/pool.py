"""Pooling: a window's elements for every output, its padding included."""

from __future__ import annotations

import math

from lydite.graph.rules.call import DIVIDE, FUNCTION, SQRT, Call, Cost, Rule


def _window(call: Call) -> int:
    return math.prod(call.integers("kernel_shape"))


def _power_cost(call: Call) -> float:
    """FLOPs per element to raise to the norm's power and add."""
    return {1: 2, 2: 2}.get(call.integer("p", 2), FUNCTION + 1)


def _pool(each: float, last: float = 0) -> Rule:
    def rule(call: Call) -> Cost:
        return Cost((each * _window(call) + last) * call.out_count(), call.bytes_of(0))

    return rule


def _global(each: float, last: float = 0) -> Rule:
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
    """Windows differ from region to region; they cover the map once if the regions tile it."""
    channels_height_width = math.prod(call.shape(0)[1:])
    return Cost(channels_height_width * call.shape(1)[0])


_REQUANTISED = 5  # scale, round, shift, two limits


def _families() -> dict[str, Rule]:
    plain = {
        "MaxPool": _pool(1),
        "AveragePool": _pool(1, DIVIDE),
        "LpPool": _lp,
        "GlobalMaxPool": _global(1),
        "GlobalAveragePool": _global(1, DIVIDE),
        "GlobalLpPool": _global_lp,
    }
    domains = ("", "com.microsoft.nchwc:", "com.ms.internal.nhwc:")
    return {domain + name: rule for domain in domains for name, rule in plain.items()}


_MS = "com.microsoft:"

RULES: dict[str, Rule] = {
    **_families(),
    "MaxUnpool": lambda call: Cost(0, call.bytes_of(0, 1)),
    "MaxRoiPool": _roi,
    _MS + "NhwcMaxPool": _pool(1),
    _MS + "MaxpoolWithMask": _pool(2),
    _MS + "QLinearAveragePool": _pool(2, DIVIDE + _REQUANTISED),
    _MS + "QLinearGlobalAveragePool": _global(2, DIVIDE + _REQUANTISED),
    "com.ms.internal.nhwc:QLinearAveragePool": _pool(2, DIVIDE + _REQUANTISED),
    "com.ms.internal.nhwc:MaxUnpool": lambda call: Cost(0, call.bytes_of(0, 1)),
}
