"""The page of a chip in a real browser: it draws, complains of nothing and asks nobody."""

from __future__ import annotations

import pytest
from browser import BROWSER, PHONE_PX, shown

from lydite.chip import run_chip, varied
from lydite.hardware.chip import read_chip
from lydite.models import build_model
from lydite.report.chip import write_chip_page
from lydite.report.chip_plots import chip_bars
from lydite.units import format_percent, format_seconds


@pytest.mark.skipif(not BROWSER, reason="no Chromium on this machine")
def test_the_page_in_a_browser(tmp_path):
    chip = varied(read_chip("smv"), accelerators=2)
    result = run_chip(build_model("lenet5"), chip)
    path = write_chip_page(result, tmp_path / "chip.html")
    found = shown(path)

    assert found["complaints"] == []
    assert found["asked"] == []
    assert found["narrow_px"] <= PHONE_PX  # nothing scrolls sideways but tables and plots
    layers, roofline, timeline = found["bars"]
    parts = [cycles for layer in result.stalls() for cycles in layer.values() if cycles > 0]
    assert layers == len(parts)  # no two layers of LeNet-5 are alike
    assert roofline == 0
    assert timeline == len(chip_bars(result).names)
    assert found["lines"] == 1  # the roof
    assert {"flush", "load", "launch", "layers"} <= set(found["legend"])
    for fact in (
        format_seconds(result.seconds),
        format_percent(result.utilisation),
        "simulated",
        "Operators on the processor",
        "Assumptions",
        "accelerator 1",
        "LPDDR4_3200_2x16",
    ):
        assert fact in found["text"], fact
