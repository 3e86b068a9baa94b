"""Power and area of SMV: against gem5-Aladdin's, and what must hold of any account."""

import csv
import os
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lydite.chip import varied
from lydite.chip.smv import KERNELS, Invocations, SmvOp, schedule, schedule_graph
from lydite.chip.smv.accesses import accesses
from lydite.chip.smv.aladdin import aladdin_results
from lydite.chip.smv.built import Units, units_built, units_of
from lydite.chip.smv.counts import LEVELS, iterations, sampled
from lydite.chip.smv.energy import power_of, scratchpads_cost, units_cost, upsampled_cycles
from lydite.chip.smv.power import COMPONENTS, Power
from lydite.chip.smv.timing import cycles_of
from lydite.chip.tiling import batch_norm, convolution, flat, inner_product, pooling, same_pads
from lydite.errors import InputError
from lydite.graph.formats import read_file
from lydite.hardware.chip import read_chip

SMV = read_chip("smv")
ROOT = Path(__file__).parents[3]
BASE = Path(os.environ.get("LYDITE_REFERENCE_DATA", ROOT.parent / "shared" / "data")) / "smaug"
NETS = {"minerva": "minerva", "lenet5": "lenet5", "elu16": "elu", "vgg16": "vgg"}
READ, WRITE = 4.14883, 3.58904


@cache
def network(name: str) -> tuple[Invocations, dict[str, np.ndarray]]:
    """Our invocations, and the printed columns of the published run."""
    if not BASE.is_dir():
        pytest.skip(f"no reference data in {BASE}: set LYDITE_REFERENCE_DATA")
    with (BASE / "invocations.csv").open() as opened:
        rows = [row for row in csv.DictReader(opened) if row["net"] == name]
    columns = (
        "cycles",
        "upsampled",
        "idle_fu",
        "avg_power",
        "fu_dyn",
        "fu_leak",
        "mem_leak",
        "mem_dyn_cumulative",
        "fu_area",
        "mem_area",
        "mul",
        "add",
        "bit",
        "shift",
        "reg",
    )
    printed = {key: np.array([float(row[key]) for row in rows]) for key in columns}
    plan = schedule_graph(read_file(BASE / "topologies" / f"{NETS[name]}_smv_topo.pbtxt"))
    return plan.invocations, printed


def one(kernel: int, problem) -> Invocations:
    return schedule(SmvOp("it", KERNELS[kernel], problem, ("x", "w"), "y"))


def every() -> list[Invocations]:
    """All kinds of kernels."""
    return [
        one(0, convolution((1, 16, 16, 64), 64, (3, 3), pads=same_pads((3, 3)))),
        one(0, convolution((1, 15, 15, 12), 20, (3, 3), (2, 2), same_pads((3, 3)))),
        one(1, inner_product((2, 784), 100)),
        one(2, pooling((1, 32, 32, 24), (2, 2), (2, 2))),
        one(4, batch_norm((1, 32, 32, 16))),
        one(6, flat(40000)),
        one(12, flat(500)),
    ]


def tutorial() -> tuple[Invocations, Power]:
    """The first layer of SMAUG's tutorial, not sampled."""
    inv = one(0, convolution((1, 28, 28, 1), 32, (3, 3), pads=same_pads((3, 3))))
    inv = replace(inv, activates=inv.sends)
    return inv, power_of(inv, SMV, cycles_of(inv, SMV).total, compat=True)


# --- against gem5-Aladdin ---------------------------------------------------------------------


@pytest.mark.parametrize("name", NETS)
def test_area_and_leakage_follow_from_the_printed_counts(name):
    _, printed = network(name)
    units = Units(*(printed[key] for key in ("mul", "add", "bit", "shift", "reg")))
    leakage, area = units_cost(units, SMV)
    assert leakage == pytest.approx(printed["fu_leak"], rel=1e-5)
    assert area == pytest.approx(printed["fu_area"], rel=1e-5)
    leakage, area = scratchpads_cost(SMV)
    assert leakage == pytest.approx(printed["mem_leak"], rel=1e-5)
    assert area == pytest.approx(printed["mem_area"], rel=1e-5)


@pytest.mark.parametrize("name", NETS)
def test_scratchpad_energy_is_the_printed_counter(name):
    inv, printed = network(name)
    power = power_of(inv, SMV, printed["cycles"], level="high", compat=True)
    assert power.memory == pytest.approx(printed["mem_dyn_cumulative"], rel=1e-4)


@pytest.mark.parametrize("name", NETS)
def test_average_power_of_the_published_runs(name):
    inv, printed = network(name)
    cycles = cycles_of(inv, SMV)
    power = power_of(inv, SMV, cycles.total, level="high", compat=True)
    assert np.abs(power.average / printed["avg_power"] - 1).mean() <= 0.05
    # At the printed cycles only the model of power is left.
    own = power_of(inv, SMV, printed["cycles"], level="high", compat=True)
    assert own.average == pytest.approx(printed["avg_power"], rel=0.01)
    assert np.abs(own.units_dynamic / printed["fu_dyn"] - 1).mean() <= 0.02
    assert own.idle_cycles == pytest.approx(printed["idle_fu"], rel=0.04)


@pytest.mark.parametrize("name", NETS)
def test_functional_units_are_those_printed(name):
    inv, printed = network(name)
    units = units_of(inv, SMV, "high")
    assert (units.adders == printed["add"]).all() and (units.bitwise == printed["bit"]).all()
    assert (units.shifters == printed["shift"]).all()
    assert np.abs(units.multipliers - printed["mul"]).max() <= 1
    assert np.abs(units.registers - printed["reg"]).max() <= 15


def test_sampling_adds_the_cycles_it_added():
    for name in NETS:
        inv, printed = network(name)
        added = upsampled_cycles(inv, SMV, "high")
        assert ((added > 0) == (printed["upsampled"] > 0)).all()
        assert added.sum() == pytest.approx(printed["upsampled"].sum(), rel=0.03, abs=1e-9)


def test_the_tutorials_first_invocation():
    inv, power = tutorial()
    assert power.average[0] == pytest.approx(132.997, rel=0.05)
    assert power.units_dynamic[0] == pytest.approx(102.124, rel=0.05)
    assert power.area_um2[0] == pytest.approx(1.91503e6, rel=0.03)
    counts = [float(column[0]) for column in power.units.columns.values()]
    assert counts[:4] == [37, 138, 12, 21] and counts[4] == pytest.approx(1798, rel=0.01)
    # Its counter to the last digit that is printed: 2.5961 mW over 89,771 ns.
    found = accesses(inv, SMV)
    energy = found.reads()[0] * READ + found.writes()[0] * WRITE
    assert energy == pytest.approx(2.5961 * 89_771, rel=2e-5)
    assert iterations(inv, SMV).multiplies[0] == 451_584


def test_the_block_is_printed_as_smaug_prints_it():
    inv, power = tutorial()
    lines = aladdin_results(power, 0, inv.kernel_names[0]).splitlines()
    rule = ["=" * 31, "Aladdin Results", "=" * 31]
    assert lines[:3] == lines[-3:] == rule
    # The tutorial's block, its labels and what is exact in it.
    assert [line.partition(":")[0].strip() for line in lines[3:-3]] == [
        "Running",
        "Top level function",
        "Cycle",
        "Upsampled Cycle",
        "Avg Power",
        "Idle FU Cycles",
        "Avg FU Power",
        "Avg FU Dynamic Power",
        "Avg FU leakage Power",
        "Avg MEM Power",
        "Avg MEM Dynamic Power",
        "Avg MEM Leakage Power",
        "Total Area",
        "FU Area",
        "MEM Area",
        "Num of Multipliers (32-bit)",
        "Num of Adders (32-bit)",
        "Num of Bit-wise Operators (32-bit)",
        "Num of Shifters (32-bit)",
        "Num of Registers (32-bit)",
    ]
    assert {
        "Running : ./outputs/nnet_fwd",
        "Top level function: smv_conv3d_nhwc_vec_fxp",
        "Upsampled Cycle : 0 cycles",
        "Avg MEM Leakage Power: 18.911 mW",
        "MEM Area: 1.13989e+06 uM^2",
        "Num of Multipliers (32-bit): 37",
        "Num of Bit-wise Operators (32-bit): 12",
    } <= set(lines)


# --- what must hold ---------------------------------------------------------------------------


def test_nothing_is_negative_at_any_level():
    for inv in every():
        for level in LEVELS:
            for compat in (False, True):
                power = power_of(inv, SMV, cycles_of(inv, SMV).total, level=level, compat=compat)
                columns = [getattr(power, name) for name in COMPONENTS]
                columns += [*power.units.columns.values(), power.idle_cycles, power.area_um2]
                assert all((one >= 0).all() for one in columns if one is not None)
                assert (power.average > 0).all() and (power.upsampled_cycles >= 0).all()


def test_the_more_is_sampled_the_less_is_executed():
    for inv in every():
        found = [accesses(inv, SMV, level) for level in LEVELS]
        for more, less in pairwise(found):
            assert (less.reads() <= more.reads()).all() and (less.writes() <= more.writes()).all()
        added = [upsampled_cycles(inv, SMV, level) for level in LEVELS]
        assert (added[0] == 0).all() and (np.diff(added, axis=0) >= 0).all()
        assert (sampled(inv, "no").k_rows == inv.k_rows).all()


def test_lanes_count_only_where_they_are_asked_for():
    for inv in every():
        cycles = cycles_of(inv, SMV).total
        power = power_of(inv, SMV, cycles)
        compat = power_of(inv, SMV, cycles, compat=True)
        each = np.diff(compat.memory * cycles, prepend=0.0)
        assert (power.memory * cycles >= each * (1 - 1e-12)).all()
        assert power.multipliers * cycles == pytest.approx(8 * compat.multipliers * cycles)
        assert compat.cache is None and "dram" not in compat.by_component()


def test_counters_go_on_by_accelerator():
    problem = convolution((1, 16, 16, 128), 300, (3, 3), pads=same_pads((3, 3)))
    op = SmvOp("conv", KERNELS[0], problem, ("x", "w"), "y")
    chip = replace(SMV, accelerators=3)
    inv = schedule(op, accelerators=3)
    cycles = cycles_of(inv, chip).total
    energy = power_of(inv, chip, cycles, compat=True).memory * cycles
    for index in range(3):
        assert (np.diff(energy[inv.accelerator == index]) > 0).all()
    found = accesses(inv, chip)
    whole = (found.reads() * READ + found.writes() * WRITE).sum()
    last = [energy[inv.accelerator == index][-1] for index in range(3)]
    assert sum(last) == pytest.approx(whole)


def test_padding_is_not_read():
    # By hand: 3 x 3 over 4 x 4 with a border of one; of each tap 4, 3 or 4 rows lie inside.
    inv = one(0, convolution((1, 4, 4, 32), 8, (3, 3), pads=same_pads((3, 3))))
    inside, passes, positions, vectors = (3 + 4 + 3) ** 2, 9, 16, 4
    loaded, stored = (4 * 4 * 32 + 8 * 9 * 32) / 8, 4 * 4 * 8 / 8
    found = accesses(inv, SMV)
    assert found.vector_reads[0] == (
        inside * vectors + passes * 8 * vectors + positions * (passes - 1) + stored
    )
    assert found.vector_writes[0] == positions * passes + loaded
    assert found.half_reads[0] == loaded and found.word_writes[0] == 4 * loaded
    # A stride of 2 over 5 x 5: rows -1 0 1 / 1 2 3 / 3 4 5.
    inv = one(0, convolution((1, 5, 5, 32), 8, (3, 3), (2, 2), same_pads((3, 3))))
    assert accesses(inv, SMV).vector_reads[0] == ((2 + 3 + 2) ** 2 * 4 + 9 * 8 * 4 + 9 * 8 + 9)


@pytest.mark.parametrize("name", ["pes", "vectors", "lanes"])
def test_a_larger_array_never_takes_less_area(name):
    chips = [varied(SMV, **{name: size}) for size in (8, 16, 32)]
    areas = [float(units_cost(units_built(chip), chip)[1].item()) for chip in chips]
    assert areas[0] < areas[1] < areas[2]
    # All multipliers are there, however an invocation uses them.
    assert units_built(SMV).multipliers >= SMV.array.macs


def test_memory_behind_the_chip_is_stated_apart():
    inv = every()[0]
    power = power_of(inv, SMV, cycles_of(inv, SMV).total)
    parts = power.by_component()
    moved = (inv.input_load_bytes + inv.weight_load_bytes + inv.store_bytes).sum()
    assert parts["dram"] == pytest.approx(8e-12 * moved * SMV.dram.pj_per_bit[1])
    inside = sum(value for name, value in parts.items() if name not in ("dram", "cache"))
    assert (power.average * 1e-3 * power.seconds).sum() == pytest.approx(inside)
    bare = power_of(inv, replace(SMV, cache=None), power.cycles)
    assert bare.by_component()["cache"] == 0 < parts["cache"]
    halves = [power.by_component(np.arange(len(inv)) % 2 == odd)["memory"] for odd in (0, 1)]
    assert sum(halves) == pytest.approx(parts["memory"])


def test_a_slower_clock_takes_the_units_built_for_it():
    inv = every()[0]
    fast, slow = SMV, replace(SMV, clock_hz=2e8)
    powers = [power_of(inv, chip, cycles_of(inv, SMV).total) for chip in (fast, slow)]
    energies = [power.by_component()["multipliers"] for power in powers]
    # 12.68341 and 8.625412 pJ a multiplication at 1 and 5 ns.
    assert energies[1] / energies[0] == pytest.approx(8.625412 / 12.68341, rel=1e-5)
    assert powers[1].chip_area_um2 < powers[0].chip_area_um2


@pytest.mark.parametrize(
    ("chip", "change", "words"),
    [
        ("smv", {"node_nm": 16}, ("16 nm", "40")),
        ("systolic-128", {}, ("has no SMV",)),
    ],
)
def test_chips_without_tables_are_refused(chip, change, words):
    inv = every()[0]
    with pytest.raises(InputError) as error:
        power_of(inv, replace(read_chip(chip), **change), np.ones(len(inv)))
    assert all(word in str(error.value) for word in words)


def test_other_levels_and_cycles_are_refused():
    inv = every()[0]
    with pytest.raises(InputError, match="very_high"):
        power_of(inv, SMV, np.ones(len(inv)), level="very_hihg", compat=True)
    with pytest.raises(InputError, match="above 0"):
        power_of(inv, SMV, np.zeros(len(inv)))
