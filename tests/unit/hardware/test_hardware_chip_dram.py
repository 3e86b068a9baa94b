"""DRAM's table: what streams get of the pins, and where the figures come from."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.errors import InputError
from lydite.hardware.chip import DRAMS, dram_named
from lydite.hardware.chip.gem5_drams import INTERFACES, geometry

ROWS = st.sampled_from(list(DRAMS.values()))
SIZES = st.integers(1, 1 << 16)


@given(ROWS, SIZES)
def test_a_stream_never_gets_more_than_the_pins(dram, size):
    assert 0 < dram.stream_bytes_per_s(size) < dram.pins_bytes_per_s


@given(ROWS, SIZES, SIZES)
def test_larger_requests_are_never_slower(dram, one, other):
    small, large = sorted((one, other))
    assert dram.stream_bytes_per_s(small) <= dram.stream_bytes_per_s(large)


@given(ROWS, SIZES)
def test_refreshes_more_often_are_never_faster(dram, size):
    busier = replace(dram, t_refi_s=dram.t_refi_s / 2)
    assert busier.stream_bytes_per_s(size) < dram.stream_bytes_per_s(size)


def test_a_line_of_32_bytes_wastes_half_of_lpddr4s_burst():
    lpddr4 = dram_named("LPDDR4-3200")
    half = lpddr4.stream_bytes_per_s(32)
    assert half == pytest.approx(lpddr4.stream_bytes_per_s(64) / 2)
    assert half == pytest.approx(lpddr4.pins_bytes_per_s / 2, rel=0.05)
    # 6.4 GB/s are gem5's peak for such lines; its DMA was seen to get 4096 B in 976 ns.
    assert 4096 / 976e-9 < half < 6.4e9
    assert lpddr4.bytes_per_burst_wasted == 32


def test_hbm_wastes_nothing_of_a_line():
    hbm = dram_named("hbm2")
    assert hbm.stream_bytes_per_s(32) == hbm.stream_bytes_per_s(4096)
    assert hbm.bytes_per_burst_wasted == 0


@pytest.mark.parametrize(
    ("name", "pins", "bits", "rate_per_pin"),
    [
        ("lpddr4-3200", 12.8e9, 2 * 16, 3.2e9),
        ("ddr4-2400", 19.2e9, 64, 2.4e9),
        ("ddr5-4800", 38.4e9, 2 * 32, 4.8e9),
        ("hbm2", 256e9, 1024, 2e9),
        ("hbm2e", 460.8e9, 1024, 3.6e9),
        ("hbm3", 819.2e9, 1024, 6.4e9),
    ],
)
def test_pins_are_width_times_rate(name, pins, bits, rate_per_pin):
    assert DRAMS[name].pins_bytes_per_s == pytest.approx(pins)
    assert bits * rate_per_pin / 8 == pytest.approx(pins)


def test_rows_bound_the_rate_where_activations_are_slow():
    dram = replace(dram_named("ddr4-2400"), row_bytes=64, t_faw_s=40e-9, t_rrd_s=5e-9)
    rows = 64 / 10e-9 * (1 - dram.t_rfc_s / dram.t_refi_s)  # four activations in 40 ns
    assert dram.stream_bytes_per_s(64) == pytest.approx(rows)


@pytest.mark.parametrize("dram", DRAMS.values(), ids=lambda dram: dram.name)
def test_every_row_has_sources_and_an_ordered_range_of_energy(dram):
    low, likely, high = dram.pj_per_bit
    assert 0 < low <= likely <= high
    assert dram.source
    assert dram.energy_source
    assert dram.t_rrd_s <= dram.t_faw_s
    assert dram.t_rfc_s < dram.t_refi_s


def test_the_nearest_name_is_told():
    with pytest.raises(InputError, match=r"unknown dram 'hbm4'; .* did you mean 'hbm3'"):
        dram_named("hbm4")


# Peaks as the parts' data sheets state them, of one channel.
PEAKS = {
    "DDR3_1600_8x8": 12.8e9,
    "DDR3_2133_8x8": 17.064e9,
    "DDR4_2400_8x8": 19.2e9,
    "DDR5_4400_4x8": 17.6e9,
    "DDR5_6400_4x8": 25.6e9,
    "LPDDR2_S4_1066_1x32": 4.264e9,
    "LPDDR3_1600_1x32": 6.4e9,
    "LPDDR4_3200_2x16": 12.8e9,
    "HBM_1000_4H_1x128": 16e9,
    "HBM_2000_4H_1x64": 16e9,
}


@pytest.mark.parametrize("name", PEAKS)
def test_a_name_of_gem5_states_the_peak(name):
    assert dram_named(name).pins_bytes_per_s == pytest.approx(PEAKS[name])
    assert dram_named(name.lower()) == dram_named(name)


@pytest.mark.parametrize("interface", INTERFACES, ids=lambda i: i.name)
def test_a_burst_takes_gem5s_t_burst(interface):
    """gem5 states tBURST apart from the name: both must say the same rate, rounded."""
    burst = interface.beats * interface.width_bits / 8
    assert burst / interface.peak_bytes_per_s * 1e9 == pytest.approx(interface.burst_ns, rel=2e-3)


def test_an_unknown_interface_gets_the_nearest():
    with pytest.raises(InputError, match=r"unknown dram 'DDR4_2400_8x'; .* mean 'DDR4_2400_8x8'"):
        dram_named("DDR4_2400_8x")
    with pytest.raises(InputError, match="'DDR4' states no rate and width"):
        geometry("DDR4")
