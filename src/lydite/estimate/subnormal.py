"""Operators whose weights are subnormal, named: on processors they take many times as long."""

from __future__ import annotations

from collections.abc import Iterable

from lydite.estimate.prediction import PredictedNode
from lydite.units import format_percent


def subnormal_note(nodes: Iterable[PredictedNode]) -> str:
    """What operators with subnormal weights cost and what helps, in a sentence; "" without any."""
    every = list(nodes)
    slow = [node for node in every if node.key is not None and node.key.subnormal]
    if not slow:
        return ""
    what = (
        f"{len(slow)} operator{'s have' if len(slow) > 1 else ' has'} weights of which a part is "
        "subnormal (under 1.2e-38), which processors are up to 100 times slower with"
    )
    if any(node.estimate is None or node.estimate.source != "measured" for node in slow):
        return f"{what}; lydite profile measures that, estimates assume ordinary weights"
    total = sum(node.estimate.seconds for node in every if node.estimate)
    share = sum(node.estimate.seconds for node in slow if node.estimate) / total
    return f"{what}: {format_percent(share)} of the time; set such weights to 0 in the file"
