"""SMV as a dataflow: SMAUG's tiles and invocations, with cycles fitted to gem5-Aladdin."""

from __future__ import annotations

import numpy as np

from lydite.chip.dataflow import ArrayDescription, Dataflow
from lydite.chip.energy import Used, phy_mm2, standby_w
from lydite.chip.plan import ChipPlan
from lydite.chip.smv.array import smv_array
from lydite.chip.smv.built import units_built
from lydite.chip.smv.energy import power_of, scratchpads_cost, units_cost
from lydite.chip.smv.invocations import Invocations
from lydite.chip.smv.layers import smv_plan
from lydite.chip.smv.power import Power
from lydite.chip.tilings import TilingPolicy
from lydite.chip.units import ALADDIN_NM
from lydite.graph import Graph
from lydite.hardware.chip import Chip, SmvArray

SCOPE = (
    "functional units, registers, scratchpads, cache and DRAM; without processor and bus. "
    "gem5-Aladdin's tables at 40 nm and CACTI's bank, every lane counted"
)


class SmvDataflow(Dataflow):
    """Networks on SMAUG's vector engine."""

    parameters = SmvArray
    takes_fused = False

    def plan(self, graph: Graph, chip: Chip, tiling: TilingPolicy) -> ChipPlan:
        """Map with SMAUG's tiles and invocations, or with cheaper tiles if there is a price."""
        return smv_plan(graph, chip, tiling.price)

    def describe(self, chip: Chip) -> ArrayDescription:
        """Processing elements, vectors and lanes."""
        array = smv_array(chip)
        return ArrayDescription(
            f"SMV: {array.pes} PEs of {array.vectors} vectors of {array.lanes} lanes",
            "fitted to gem5-Aladdin's published runs: loops, and transfers line by line",
        )

    def energy(self, plan: ChipPlan, chip: Chip, seconds: float) -> Used:
        """Energy from Aladdin's functional units if the node has them, else from its table."""
        if not self.has_invocation_power(chip):
            return super().energy(plan, chip, seconds)
        return _energy(plan, self.invocation_power(plan, chip), chip, seconds)

    def has_invocation_power(self, chip: Chip) -> bool:
        """Whether the chip's node has tables of functional units."""
        return chip.node_nm == ALADDIN_NM

    def invocation_power(
        self, plan: ChipPlan, chip: Chip, *, level: str = "no", compat: bool = False
    ) -> Power:
        """Power of each invocation; see `lydite.chip.smv.energy.power_of`."""
        invocations, cycles = plan.invocations, plan.invocation_cycles
        assert isinstance(invocations, Invocations) and cycles is not None
        return power_of(invocations, chip, cycles, level=level, compat=compat)


def _energy(plan: ChipPlan, power: Power, chip: Chip, seconds: float) -> Used:
    """Energy of functional units, scratchpads, cache and DRAM, from the invocations' use."""
    runs = plan.runs[plan.jobs.layer]
    parts = dict(power.by_component(runs=runs))
    running = parts.pop("unit_leakage", 0.0) + parts.pop("memory_leakage", 0.0)
    own = (power.seconds * runs).sum()
    parts["leakage"] = running / own * seconds * chip.accelerators if own else 0.0
    names = {
        "multipliers": "arrays",
        "others": "registers and adders",
        "memory": "scratchpads",
        "cache": "cache",
        "dram": "DRAM",
    }
    beyond = (each for each in (power.cache, power.dram) if each is not None)
    milliwatts = power.units_dynamic + power.memory + sum(beyond, np.zeros(1))
    layers = np.bincount(plan.jobs.layer, milliwatts * 1e-3 * power.seconds * runs, len(plan.costs))
    areas = {
        "arrays": float(units_cost(units_built(chip), chip)[1][0]),
        "scratchpads": scratchpads_cost(chip)[1],
    }
    whole = {name: 1e-6 * area * chip.accelerators for name, area in areas.items()}
    whole["DRAM PHYs"] = phy_mm2(chip)
    energies = {names.get(name, name): joules for name, joules in parts.items()}
    energies["DRAM standby"] = standby_w(chip) * seconds
    return Used(energies, tuple(layers.tolist()), whole, SCOPE)


SMV_DATAFLOW = SmvDataflow()
