"""SMV at other sizes than SMAUG's, and what its processor does around the invocations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lydite.chip import run_chip, varied
from lydite.chip.smv import smv_constraints
from lydite.chip.smv.timing import cycles_of
from lydite.errors import InputError
from lydite.graph import Builder
from lydite.hardware.chip import parse_chip, read_chip
from lydite.models import build_model

SMV = read_chip("smv")


@pytest.mark.parametrize(("pes", "vectors"), [(8, 4), (8, 1), (4, 1), (4, 2), (16, 4)])
def test_a_pass_reads_as_many_kernels_as_the_array_holds(pes, vectors):
    """Cycles of one pass more: its kernels, and the same rows of positions whatever the size."""
    chip = varied(SMV, pes=pes, vectors=vectors)
    g = Builder("conv", dtype="float16")
    graph = g.build(g.conv(g.input("x", (1, 64, 8, 8)), 64, 3, pad=1, bias=False))
    plan = run_chip(graph, chip, soc=False).plan
    inv = plan.invocations
    more = replace(inv, ofmap_blocks=inv.ofmap_blocks + 1)
    added = cycles_of(more, chip).loops - cycles_of(inv, chip).loops
    passes = inv.k_rows * inv.k_cols * inv.channel_blocks
    rows = inv.out_rows * (4 * inv.out_cols + 13.366)
    np.testing.assert_allclose(added, passes * (rows + pes * vectors + 1.56))


def test_small_arrays_can_be_said():
    text = "name: small\ntitle: small\nclock: 1 GHz\ndtype: float16\nscratchpads:\n"
    text += "".join(f"  {name}: {{size: 64 KiB}}\n" for name in ("inputs", "weights", "results"))
    text += "dram: {kind: lpddr4-3200}\nnode_nm: 40\nsources: {'': a test}\n"
    text += "array: {kind: smv, pes: 4, vectors: 2, lanes: 8}\n"
    graph = build_model("lenet5")
    small, usual = (run_chip(graph, chip) for chip in (parse_chip(text, "small.yaml"), SMV))
    assert small.macs == usual.macs
    assert small.plan.cycles > 1.3 * usual.plan.cycles  # with a quarter of the multipliers
    with pytest.raises(InputError, match=r"pes 3; allowed: 1, 2, 4 or a multiple of 8"):
        smv_constraints(pes=3)


def minerva(**cpu: float):
    return run_chip(build_model("minerva"), replace(SMV, cpu=replace(SMV.cpu, **cpu)))


def test_the_processor_of_the_published_run_of_minerva():
    """901 us in all, 529 of them in 25 invocations, 193 after the last one."""
    found = minerva()
    assert found.seconds == pytest.approx(901e-6, rel=0.01)
    assert found.soc is not None
    assert found.soc.seconds_by_category()["finish"] == pytest.approx(193e-6, rel=0.01)
    assert minerva(clock_hz=2e9).seconds < found.seconds - 0.4 * (901e-6 - 529e-6)


def test_a_tensor_in_one_tile_is_not_copied():
    g = Builder("conv", dtype="float16")
    x = g.input("x", (1, 32, 8, 8))
    graph = g.build(g.conv(x, 32, 1, bias=False))
    (layer,) = run_chip(graph, SMV).plan.layers
    assert layer.prepare_bytes == layer.finish_bytes == 0


def test_tiles_are_copied_in_contiguous_runs():
    """Rows of 32 x 32 x 64 in fp16, 128 KiB: whole rows are one run, so each tile is one."""
    g = Builder("conv", dtype="float16")
    graph = g.build(g.conv(g.input("x", (1, 64, 32, 32)), 64, 3, pad=1, bias=False))
    (layer,) = run_chip(graph, SMV).plan.layers
    assert layer.prepare_bytes >= 2 * 64 * 32 * 32  # halos are copied twice
    assert layer.finish_bytes == 2 * 64 * 32 * 32
    tiles = layer.finish_bytes / (2 * 16384)
    assert tiles <= layer.finish_runs <= 32 * 32 * tiles
