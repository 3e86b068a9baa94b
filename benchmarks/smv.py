"""SMV: cycles, power and area of 912 invocations of gem5-Aladdin, each network left out in turn.

The rows are read through LYDITE_REFERENCE_DATA (smaug/invocations.csv: minerva, lenet5, elu16 and
vgg16, sampled at level high). For each network the constants are fitted to the other three, to
relative errors, none below 0. Not fitted again, and chosen with all rows in view: the forms, the
convolution's 4 cycles a position, its store lines, pooling's lines and its constant of 350 cycles,
the product's 11 cycles a block, and the rules for counts of units and registers.
"""

from __future__ import annotations

import csv
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
from _figures import Figure, publish
from scipy.optimize import nnls

from lydite.chip.smv import KERNELS, Invocations, SmvOp, schedule, schedule_graph
from lydite.chip.smv.built import Units
from lydite.chip.smv.counts import Iterations, iterations, kinds_of
from lydite.chip.smv.energy import Costs, power_of, priced, units_cost
from lydite.chip.smv.schedule import _known
from lydite.chip.smv.timing import (
    CONV,
    CONV_CYCLES,
    FITTED,
    LINE,
    NORM,
    POOL,
    PRODUCT,
    TERMS,
    Coefficients,
    cycles_of,
    features,
)
from lydite.chip.tiling import convolution, same_pads
from lydite.chip.units import unit
from lydite.graph.formats import read_file
from lydite.graph.graph import Graph
from lydite.hardware.chip import SmvArray, read_chip
from lydite.models import build_model

DATA = Path(os.environ.get("LYDITE_REFERENCE_DATA", "../shared/data")) / "smaug"
NETS = {"minerva": "minerva", "lenet5": "lenet5", "elu16": "elu", "vgg16": "vgg"}
CHIP = read_chip("smv")
KINDS = (CONV, PRODUCT, POOL)
FREE = {
    CONV: ("input_line", "weight_line", "outer", "row", "activation", "constant"),
    PRODUCT: ("input_line", "weight_line", "store_line", "constant"),
    POOL: ("row",),
}
ENERGY_FREE = {
    CONV: ("load", "store", "step", "row", "constant"),
    PRODUCT: ("step", "constant"),
    POOL: ("step", "constant"),
}
BUSY_FREE = {
    CONV: ("load", "store", "position", "row", "constant"),
    PRODUCT: ("position", "constant"),
    POOL: ("step", "constant"),
}
REPEATS = 5
SEED = {"cycles": 89771, "power": 132.997, "area": 1.91503e6}


@dataclass(frozen=True, eq=False)
class Net:
    """A network's invocations and what gem5-Aladdin printed of them.

    Attributes:
        invocations: ours, in the same order.
        rows: its rows; `of` gives a column.
        kinds: of kernel.
        done: iterations executed.
    """

    invocations: Invocations
    rows: Sequence[Mapping[str, str]]
    kinds: np.ndarray
    done: Iterations

    def of(self, name: str) -> np.ndarray:
        """A column of the rows."""
        return np.array([float(row[name]) for row in self.rows])


def read_nets() -> dict[str, Net]:
    """All four."""
    with (DATA / "invocations.csv").open() as opened:
        rows = list(csv.DictReader(opened))
    found = {}
    for name, stem in NETS.items():
        plan = schedule_graph(read_file(DATA / "topologies" / f"{stem}_smv_topo.pbtxt"))
        inv, mine = plan.invocations, [row for row in rows if row["net"] == name]
        assert inv.kernel_names == [row["kernel"] for row in mine]
        found[name] = Net(inv, mine, kinds_of(inv), iterations(inv, CHIP, "high"))
    return found


# --- fits -------------------------------------------------------------------------------------


def fitted(columns: np.ndarray, known: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Coefficients, none below 0, with which `known + columns @ x` is nearest to `goal`."""
    return nnls(columns / goal[:, None], (goal - known) / goal)[0]


def design(net: Net, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Columns of the free coefficients of a kind's cycles, and the cycles known without them."""
    columns, known = features(net.invocations, CHIP, kind)
    stores = net.invocations.store_bytes[net.kinds == kind]
    lines = np.ceil(stores / CHIP.interface.line_bytes)[:, None]
    names, columns = (*TERMS, "store_line"), np.concatenate([columns, lines], axis=1)
    known = known - FITTED[kind].store_line * lines[:, 0]
    values = np.array([0 if name in FREE[kind] else getattr(FITTED[kind], name) for name in names])
    return columns[:, [names.index(name) for name in FREE[kind]]], known + columns @ values


def skipped(net: Net) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The cycles that sampling added for a convolution's other passes: more equations of its loops.

    Returns:
        As `design`: columns, known cycles, and the cycles printed.
    """
    columns, _ = design(net, CONV)
    inv, mine = net.invocations, net.kinds == CONV
    passes = (inv.ofmap_blocks * inv.k_rows * inv.k_cols * inv.channel_blocks)[mine]
    others = 1 - 1 / passes
    loops = [FREE[CONV].index(name) for name in ("outer", "row")]
    kept = np.zeros_like(columns)
    kept[:, loops] = columns[:, loops] * others[:, None]
    known = CONV_CYCLES * (passes - 1) * (inv.out_rows * inv.out_cols)[mine]
    assert isinstance(CHIP.array, SmvArray)
    known += (passes - 1) * CHIP.array.pes * CHIP.array.vectors  # each pass reads its kernels
    return kept, known, net.of("upsampled")[mine]


def fit_cycles(nets: Sequence[Net]) -> dict[str, Coefficients]:
    """Cycles of all kinds of kernels that these networks have."""
    found = dict(FITTED)
    for kind in KINDS:
        with_rows = [net for net in nets if (net.kinds == kind).any()]
        parts = [(*design(net, kind), net.of("cycles")[net.kinds == kind]) for net in with_rows]
        weights = [goal for *_, goal in parts]
        if kind == CONV:
            parts += [skipped(net) for net in with_rows]
            weights *= 2
        columns, known, goal = (np.concatenate(each) for each in zip(*parts, strict=True))
        scale = np.concatenate(weights)
        best = nnls(columns / scale[:, None], (goal - known) / scale)[0]
        found[kind] = replace(FITTED[kind], **dict(zip(FREE[kind], best.tolist(), strict=True)))
    return found


def fit_costs(
    nets: Sequence[Net],
    goals: Sequence[np.ndarray],
    multiplier: float,
    free: Mapping[str, Sequence[str]],
) -> dict[str, Costs]:
    """`ENERGY_PJ` or `BUSY_CYCLES`: loads and stores from convolutions, the rest by kind."""
    found: dict[str, Costs] = {}
    base = Costs(0.0, 0.0, 0.0)
    for kind in KINDS:
        columns, known, wanted = [], [], []
        for net, goal in zip(nets, goals, strict=True):
            mine = net.kinds == kind
            same = np.full(len(mine), kind)
            each = [
                priced(net.done, same, {kind: replace(Costs(0, 0, 0), **{name: 1.0})})[mine]
                for name in free[kind]
            ]
            columns.append(np.stack(each, axis=1))
            fixed = priced(net.done, same, {kind: base}) + multiplier * net.done.multiplies
            known.append(fixed[mine])
            wanted.append(goal[mine])
        best = fitted(*(np.concatenate(each) for each in (columns, known, wanted)))
        found[kind] = replace(base, **dict(zip(free[kind], best.tolist(), strict=True)))
        base = Costs(found[CONV].load, found[CONV].store, 0.0)
    return {**found, NORM: found[POOL], LINE: found[POOL]}


# --- figures ----------------------------------------------------------------------------------


def errors(made: np.ndarray, goal: np.ndarray) -> tuple[float, float]:
    """Mean and worst relative error."""
    ratio = np.abs(made / goal - 1)
    return float(ratio.mean()), float(ratio.max())


def energies(net: Net) -> np.ndarray:
    """Dynamic energy of the functional units, pJ."""
    return net.of("fu_dyn") * net.of("cycles")


def busy(net: Net) -> np.ndarray:
    """Cycles in which a functional unit works."""
    return net.of("cycles") - net.of("idle_fu")


MUL_PJ = unit("mul", 1.0).energy_pj


def held_out(nets: Mapping[str, Net], left: str) -> list[Figure]:
    """One network by constants of the others."""
    net, others = nets[left], [net for name, net in nets.items() if name != left]
    constants = fit_cycles(others)
    made, goal = cycles_of(net.invocations, CHIP, constants).total, net.of("cycles")
    mean, worst = errors(made, goal)
    held: dict[str, object] = {"rows": len(goal), "cycles": float(goal.sum())}
    held |= {
        f"mean_error_{kind}": errors(made[net.kinds == kind], goal[net.kinds == kind])[0]
        for kind in KINDS
        if (net.kinds == kind).any()
    }
    power = power_of(net.invocations, CHIP, made, level="high", compat=True)
    costs = fit_costs(others, [energies(one) for one in others], MUL_PJ, ENERGY_FREE)
    dynamic = priced(net.done, net.kinds, costs) + MUL_PJ * net.done.multiplies
    average = power.average - power.units_dynamic + dynamic / made
    idle = goal - priced(
        net.done, net.kinds, fit_costs(others, [busy(one) for one in others], 0.0, BUSY_FREE)
    )
    watts, worst_watts = errors(average, net.of("avg_power"))
    unit_mean, unit_worst = errors(dynamic, energies(net))
    whole = abs(made.sum() / goal.sum() - 1)
    more = {
        "worst": worst_watts,
        "units_dynamic_mean": unit_mean,
        "units_dynamic_worst": unit_worst,
        "idle_cycles_mean": errors(idle, net.of("idle_fu"))[0],
    }
    return [
        Figure(
            f"{left} left out: cycles of the network, error", whole, "share", 0.02, "lower", held
        ),
        Figure(f"{left} left out: cycles, mean error", mean, "share", 0.035, "lower", held),
        Figure(f"{left} left out: cycles, worst error", worst, "share", 0.085, "lower", held),
        Figure(f"{left} left out: average power, mean error", watts, "share", 0.05, "lower", more),
    ]


def counted(nets: Mapping[str, Net]) -> list[Figure]:
    """Area and leakage, from printed counts of units and from our own."""
    given = own = 0.0
    equal = dict.fromkeys(Units.__dataclass_fields__, 0)
    registers: list[np.ndarray] = []
    rows = sum(len(net.rows) for net in nets.values())
    for net in nets.values():
        power = power_of(net.invocations, CHIP, net.of("cycles"), level="high", compat=True)
        printed = Units(*(net.of(name) for name in ("mul", "add", "bit", "shift", "reg")))
        leakage, area = units_cost(printed, CHIP)
        pairs = (
            (leakage, "fu_leak"),
            (area, "fu_area"),
            (power.memory_leakage, "mem_leak"),
            (power.memory_area_um2, "mem_area"),
        )
        given = max(given, *(errors(made, net.of(name))[1] for made, name in pairs))
        own = max(own, errors(power.area_um2, net.of("fu_area") + net.of("mem_area"))[1])
        for name, column in power.units.columns.items():
            equal[name] += int((column == printed.columns[name]).sum())
        registers.append(np.abs(power.units.registers / printed.registers - 1))
    held: dict[str, object] = {f"equal_{name}": n for name, n in equal.items()}
    held |= {"rows": rows, "registers_mean_error": float(np.concatenate(registers).mean())}
    return [
        Figure(
            "area and leakage from printed counts of units, worst error",
            given,
            "share",
            1e-5,
            "lower",
            {"rows": rows},
        ),
        Figure("area from our counts of units, worst error", own, "share", None, "lower", held),
    ]


def on_all(nets: Mapping[str, Net]) -> list[Figure]:
    """The package's constants on all rows, and how far they are from a fit to all."""
    every = list(nets.values())
    made = np.concatenate([cycles_of(net.invocations, CHIP).total for net in every])
    goal = np.concatenate([net.of("cycles") for net in every])
    again = fit_cycles(every)
    fits = {
        "cycles": {
            kind: {name: getattr(again[kind], name) for name in FREE[kind]} for kind in KINDS
        },
        "energy_pj": _told(fit_costs(every, [energies(n) for n in every], MUL_PJ, ENERGY_FREE)),
        "busy_cycles": _told(fit_costs(every, [busy(n) for n in every], 0.0, BUSY_FREE)),
    }
    refit = np.concatenate([cycles_of(net.invocations, CHIP, again).exact for net in every])
    powers = [
        power_of(
            net.invocations, CHIP, cycles_of(net.invocations, CHIP).total, level="high", compat=True
        )
        for net in every
    ]
    average = np.concatenate([power.average for power in powers])
    mean, worst = errors(average, np.concatenate([net.of("avg_power") for net in every]))
    return [
        Figure(
            "constants of the package: cycles, mean error",
            errors(made, goal)[0],
            "share",
            None,
            "lower",
            {"worst": errors(made, goal)[1], **fits},
        ),
        Figure(
            "constants of the package: cycles beside a fit to all rows, worst",
            errors(made, refit)[1],
            "share",
            None,
            "lower",
        ),
        Figure(
            "constants of the package: average power, mean error",
            mean,
            "share",
            0.05,
            "lower",
            {"worst": worst},
        ),
    ]


def _told(costs: Mapping[str, Costs]) -> dict[str, dict[str, float]]:
    names = Costs.__dataclass_fields__
    return {kind: {name: getattr(costs[kind], name) for name in names} for kind in KINDS}


def seed() -> list[Figure]:
    """The first invocation of SMAUG's tutorial, not sampled: half of a layer's output channels."""
    problem = convolution((1, 28, 28, 1), 32, (3, 3), pads=same_pads((3, 3)))
    inv = schedule(SmvOp("conv", KERNELS[0], problem, ("x", "w"), "y"))
    inv = replace(inv, activates=inv.sends)
    cycles = cycles_of(inv, CHIP).total
    power = power_of(inv, CHIP, cycles, compat=True)
    made = {"cycles": cycles[0], "power": power.average[0], "area": power.area_um2[0]}
    goals = {"cycles": 0.03, "power": 0.05, "area": 0.03}
    return [
        Figure(
            f"SMAUG's tutorial, unsampled: {name}, error",
            abs(float(made[name]) / goal - 1),
            "share",
            goals[name],
            "lower",
            {"ours": float(made[name]), "printed": goal},
        )
        for name, goal in SEED.items()
    ]


def timed() -> Figure:
    """CPU time of CIFAR-10's VGG, from the graph to power."""
    graph, took = build_model("cifar10-vgg"), []
    for _ in range(REPEATS + 1):
        took.append(_once(graph))
    what = "cifar10-vgg on smv: tiling, schedule, cycles, power, CPU"
    return Figure(what, 1e3 * median(took[1:]), "ms", 1000.0, "lower")


def _once(graph: Graph) -> float:
    _known.cache_clear()
    start = time.process_time()
    inv = schedule_graph(graph).invocations
    power_of(inv, CHIP, cycles_of(inv, CHIP).total)
    return time.process_time() - start


def main() -> int:
    figures = [*seed(), timed()]
    if (DATA / "invocations.csv").exists():
        nets = read_nets()
        left = [figure for name in nets for figure in held_out(nets, name)]
        figures = [*left, *on_all(nets), *counted(nets), *figures]
    else:
        print(f"no rows of SMAUG: {DATA} is not there (LYDITE_REFERENCE_DATA)")
    publish("smv", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
