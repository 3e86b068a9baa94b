"""Energy, power and area of a network on a chip, from its dataflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lydite.chip.energy import Used
from lydite.chip.result import ChipRun

if TYPE_CHECKING:
    from lydite.chip.smv.power import Power

FIGURES = ("seconds", "utilisation", "energy_j", "power_w", "area_mm2")
"""Keys of `figures_of`."""


def figures_of(result: ChipRun) -> dict[str, float]:
    """Time, utilisation, energy, mean power and area of a run, with units in the keys."""
    used = energy_of(result)
    return {
        "seconds": result.seconds,
        "utilisation": result.utilisation,
        "energy_j": used.joules,
        "power_w": used.joules / result.seconds if result.seconds else 0.0,
        "area_mm2": used.area_mm2,
    }


def smv_power(result: ChipRun, *, level: str = "no", compat: bool = False) -> Power:
    """Power of each invocation of a network on SMV; see `lydite.chip.smv.energy.power_of`.

    Raises:
        InputError: the chip has no SMV, or there are no tables of functional units for its node.
    """
    power = result.dataflow.invocation_power
    return power(result.plan, result.chip, level=level, compat=compat)


def energy_of(result: ChipRun) -> Used:
    """Energy by component and layer, and area, from the array's dataflow."""
    return result.dataflow.energy(result.plan, result.chip, result.seconds)
