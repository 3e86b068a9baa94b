"""The page of a step in a real browser: it draws, complains of nothing and asks nobody."""

from __future__ import annotations

import pytest
from browser import BROWSER, PHONE_PX, shown

from lydite.cluster import filled, simulate_step
from lydite.estimate.roofline import Roofline
from lydite.hardware.cluster import read_cluster
from lydite.models import build_model
from lydite.report.step import write_step_page
from lydite.report.step_plots import bars_of
from lydite.units import format_percent, format_seconds


@pytest.mark.skipif(not BROWSER, reason="no Chromium on this machine")
def test_the_page_in_a_browser(tmp_path):
    cluster = read_cluster("dgx-a100", 4)
    plan = filled(4, pp=2, tp=2, batch=4)
    graph = build_model("gpt2", phase="forward", sequence=64)
    result = simulate_step(graph, cluster, plan, Roofline())
    path = tmp_path / "step.html"
    write_step_page(result, path)
    found = shown(path)

    assert found["complaints"] == []
    assert found["asked"] == []
    assert found["narrow_px"] <= PHONE_PX  # nothing scrolls sideways but tables and plots
    bars = bars_of(result)
    assert found["bars"][0] == len(bars.names)
    assert found["lines"] == plan.pp + 1  # memory of each stage, and the capacity
    assert {"forward", "tensor", "pipeline", "bubble", "stage 1"} <= set(found["legend"])
    for fact in (
        format_seconds(result.seconds),
        format_percent(result.mfu),
        "modelled",
        "Critical path",
        "Assumptions",
        "stage 1 compute",
    ):
        assert fact in found["text"], fact
