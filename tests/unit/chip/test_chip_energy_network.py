"""Energy and area of networks on chips: anchors, and what can only go one way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lydite.chip import run_chip
from lydite.chip.energy import area_of
from lydite.chip.figures import energy_of
from lydite.chip.sweep import designed
from lydite.chip.technology import OVERHEAD, Technology
from lydite.hardware.chip import dram_named, known_chips, read_chip
from lydite.models import build_model

SMV, SYSTOLIC = read_chip("smv"), read_chip("systolic-128")


@pytest.mark.parametrize(
    ("node", "dtype", "pj"),
    [(45.0, "int8", 0.23), (45.0, "float32", 4.6), (7.0, "int8", 0.077), (7.0, "bfloat16", 0.32)],
)
def test_anchors_of_multiply_adds(node, dtype, pj):
    """Horowitz, ISSCC 2014; Jouppi et al., ISCA 2021."""
    assert Technology(node).mac_joules(dtype) == pytest.approx(OVERHEAD * pj * 1e-12)


@pytest.mark.parametrize(("node", "kib", "pj"), [(45.0, 8, 10), (45.0, 1024, 100), (7.0, 32, 8.5)])
def test_anchors_of_scratchpads(node, kib, pj):
    assert Technology(node).sram_joules_per_byte(kib * 1024) == pytest.approx(pj / 8 * 1e-12)


def test_smaller_nodes_and_arrays_take_less():
    for dtype in ("int8", "float16", "bfloat16", "float32"):
        energies = [Technology(nm).mac_joules(dtype) for nm in (45, 28, 16, 7)]
        assert energies == sorted(energies, reverse=True)
    sizes = [Technology(16).sram_joules_per_byte(kib * 1024) for kib in (8, 32, 256, 1024, 8192)]
    assert sizes == sorted(sizes)


def test_a_bank_of_eight_kib_at_forty_nanometres():
    """56 of them: 1.13989e6 um2 and 18.911 mW, as gem5-Aladdin prints of SMV."""
    node = Technology(40)
    assert node.sram_area_mm2(56 * 8192) == pytest.approx(1.13989, rel=1e-5)
    assert node.leakage_w(56 * 8192, 0, "float16") == pytest.approx(18.911e-3, rel=1e-4)


@pytest.mark.parametrize("chip", known_chips().values(), ids=lambda chip: chip.name)
def test_energy_is_positive_and_adds_up(chip):
    used = energy_of(run_chip(build_model("lenet5"), chip))
    assert all(value >= 0 for value in used.by_component_j.values())
    assert used.joules == pytest.approx(sum(used.by_component_j.values()))
    always = used.by_component_j["leakage"] + used.by_component_j["DRAM standby"]
    assert sum(used.by_layer_j) == pytest.approx(used.joules - always)
    assert used.area_mm2 > 0


def test_what_moves_more_takes_more():
    small, large = (
        energy_of(run_chip(build_model("resnet18", batch=b), SYSTOLIC)).joules for b in (1, 4)
    )
    assert 2 * small < large < 5 * small
    costly = replace(SYSTOLIC, dram=replace(SYSTOLIC.dram, pj_per_bit=(30, 39, 50)))
    assert energy_of(run_chip(build_model("resnet18"), costly)).joules > small


def test_area_grows_with_what_is_there():
    base = sum(area_of(SMV).values())
    for change in ({"pes": 16}, {"spad": 131072}, {"accelerators": 2}):
        assert sum(area_of(designed(SMV, change)).values()) > base


def test_bandwidth_costs_area_and_power():
    """A stack of HBM2E takes 10.45 mm2 of the chip; standing by, DRAM takes power all the time."""
    chip = replace(read_chip("systolic-128"), dram=dram_named("hbm2e"))
    wide = replace(chip, dram=chip.dram.scaled(2))
    graph = build_model("lenet5")
    used, more = (energy_of(run_chip(graph, each)) for each in (chip, wide))
    assert used.area_by_component_mm2["DRAM PHYs"] == pytest.approx(10.45)
    assert more.area_by_component_mm2["DRAM PHYs"] == pytest.approx(20.9)
    seconds = run_chip(graph, chip).seconds
    power = 0.1 * 8 * 460.8e9 * 3.9e-12
    assert used.by_component_j["DRAM standby"] == pytest.approx(power * seconds)


def test_a_bandwidth_between_scales_channels_and_activations():
    """Short requests from more streams than banks are limited by activations, not by pins."""
    dram = dram_named("ddr4-2400")
    twice = designed(
        read_chip("systolic-128"), {"dram": "ddr4-2400", "dram-bandwidth": 38.4e9}
    ).dram
    assert (twice.channels, twice.pins_bytes_per_s, twice.bytes) == (2, 38.4e9, dram.bytes)
    for streams in (1, 16, 64):
        rate = twice.stream_bytes_per_s(64, 2 * streams)
        assert rate == pytest.approx(2 * dram.stream_bytes_per_s(64, streams))
