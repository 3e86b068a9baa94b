"""Chips as estimators: operator times, so that clusters and scores accept chips as devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lydite.chip.run import run_chip
from lydite.errors import LyditeError
from lydite.estimate.base import Estimate
from lydite.graph import OpKey
from lydite.graph.keys import graph_of_key
from lydite.hardware import Device
from lydite.hardware.chip import Chip

UNSURE = 1.3
"""A simulated operator is assumed to be right within this factor (SMV's invocations agree with
gem5-Aladdin within 8 %; the other arrays have no measurements to compare with).
"""


class ChipEstimator:
    """Simulates each operator alone on the chip: array, transfers and memory, without launch.

    Args:
        chip: Chip to simulate.
    """

    name = "simulated"

    def __init__(self, chip: Chip) -> None:
        free = replace(chip.cpu, launch_cycles=0, operator_cycles=0, begin_cycles=0, end_cycles=0)
        self._chip = replace(chip, cpu=free)
        self._known: dict[str, Estimate | None] = {}

    def estimate(self, keys: Sequence[OpKey], device: Device) -> list[Estimate | None]:
        """Seconds of each operator; None where sizes are not fixed or the work is unknown."""
        del device
        return [self._one(key) for key in keys]

    def _one(self, key: OpKey) -> Estimate | None:
        if key.digest not in self._known:
            self._known[key.digest] = self._played(key)
        return self._known[key.digest]

    def _played(self, key: OpKey) -> Estimate | None:
        try:
            result = run_chip(graph_of_key(key), self._chip, fuse=False)
        except LyditeError:
            return None
        seconds = max(result.seconds, 1 / self._chip.clock_hz)
        where = ", ".join(dict.fromkeys(cost.on for cost in result.plan.costs))
        return Estimate(
            seconds,
            seconds / UNSURE,
            seconds * UNSURE,
            "simulated",
            f"{self._chip.name}: {where}",
            shared=("simulated", None),
        )
