"""Cycles of SMV's invocations: against gem5-Aladdin's, and what must hold of any."""

import csv
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lydite.chip.smv import KERNELS, SmvOp, schedule, schedule_graph
from lydite.chip.smv.timing import CONV, FITTED, TERMS, cycles_of, features
from lydite.chip.tiling import convolution, inner_product, same_pads
from lydite.errors import InputError
from lydite.graph.formats import read_file
from lydite.hardware.chip import read_chip

SMV = read_chip("smv")
ROOT = Path(__file__).parents[3]
NETS = {
    "minerva": ("minerva", 529_140),
    "lenet5": ("lenet5", 1_272_717),
    "elu16": ("elu", 9_780_833),
    "vgg16": ("vgg", 23_408_252),
}


def conv(image=(1, 16, 16, 64), channels=64, kernel=(3, 3)):
    problem = convolution(image, channels, kernel, pads=same_pads(kernel))
    return schedule(SmvOp("conv", KERNELS[0], problem, ("x", "w"), "y"))


@pytest.mark.parametrize("net", NETS)
def test_networks_take_as_long_as_in_the_published_runs(net):
    base = Path(os.environ.get("LYDITE_REFERENCE_DATA", ROOT.parent / "shared" / "data"))
    if not (base / "smaug").is_dir():
        pytest.skip(f"no reference data in {base}: set LYDITE_REFERENCE_DATA")
    file, total = NETS[net]
    with (base / "smaug" / "invocations.csv").open() as opened:
        wanted = np.array([float(r["cycles"]) for r in csv.DictReader(opened) if r["net"] == net])
    plan = schedule_graph(read_file(base / "smaug" / "topologies" / f"{file}_smv_topo.pbtxt"))
    cycles = cycles_of(plan.invocations, SMV).total
    ratio = np.abs(cycles / wanted - 1)
    assert cycles.sum() == pytest.approx(total, rel=0.02)
    assert ratio.mean() <= 0.035 and ratio.max() <= 0.085


def test_the_tutorials_first_invocation_takes_what_it_takes():
    # Half of the layer's 32 output channels: 89,771 cycles (SMAUG's tutorial, not sampled).
    inv = conv((1, 28, 28, 1), 32)
    inv = replace(inv, activates=inv.sends)
    assert cycles_of(inv, SMV).total[0] == pytest.approx(89_771, rel=0.03)


def test_a_convolutions_position_takes_four_cycles():
    # Twice as many columns, all else alike: rows x columns more, 4 cycles each, in each pass.
    inv = conv()
    more = replace(inv, out_cols=2 * inv.out_cols)
    passes = inv.ofmap_blocks * inv.k_rows * inv.k_cols * inv.channel_blocks
    gained = cycles_of(more, SMV).exact - cycles_of(inv, SMV).exact
    assert gained == pytest.approx(4 * passes * inv.out_rows * inv.out_cols)


def test_parts_are_never_negative_and_add_up():
    for inv in (
        conv(),
        conv(kernel=(1, 1)),
        schedule(SmvOp("fc", KERNELS[1], inner_product((4, 784), 256), ("x", "w"), "y")),
    ):
        cycles = cycles_of(inv, SMV)
        assert all((part >= 0).all() for part in cycles.parts.values())
        assert sum(cycles.parts.values()) == pytest.approx(cycles.exact)
        assert (cycles.memory <= cycles.exact).all()


def test_features_are_what_cycles_are_linear_in():
    inv = conv()
    columns, known = features(inv, SMV, CONV)
    values = np.array([getattr(FITTED[CONV], name) for name in TERMS])
    # To a thousandth: what DRAM adds to a line bends with the ratio of its two coefficients.
    assert known + columns @ values == pytest.approx(cycles_of(inv, SMV).exact, rel=1e-3)


def test_a_faster_clock_never_takes_longer():
    # Cycles may be more (memory does not speed up with it); seconds may not.
    inv = conv()
    seconds = []
    for clock in (0.5e9, 1e9, 2e9):
        chip = replace(SMV, clock_hz=clock)
        seconds.append(cycles_of(inv, chip).exact / clock)
    assert (np.diff(seconds, axis=0) < 0).all()


def test_another_array_is_refused():
    with pytest.raises(InputError, match="systolic-128: has no SMV"):
        cycles_of(conv(), read_chip("systolic-128"))
