"""The page and the picture of a scorecard: they draw, and their numbers are the document's."""

from __future__ import annotations

import copy
import json

import pytest
from browser import BROWSER, PHONE_PX, shown

import lydite as ly
from lydite.measure.telemetry import Trace
from lydite.report.score_plots import score_bars, telemetry_plots
from lydite.report.text.score import score_text, table_rows

SET = """name: own
title: Two nets
models:
  first: {title: First net, parts: [{model: mobilenetv2, image_size: 64}]}
  second: {title: Second net, parts: [{model: resnet18, image_size: 64}]}
"""


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A result against itself as the baseline, watched by a replayed counter of 50 W."""
    folder = tmp_path_factory.mktemp("score")
    (folder / "own.yaml").write_text(SET)
    brief = {
        "minimum_time": 0.05,
        "iterations": 4,
        "rounds": 3,
        "if_busy": "warn",
        "interval": 0.02,
        "threads": 1,
    }
    own = folder / "own.yaml"
    first = ly.score(set=own, out=folder / "first", **brief)
    file = first.write(folder / "first")[0]
    result = ly.score(set=own, out=folder / "out", baseline=str(file), **brief)
    result.write(folder / "out")
    return result, folder / "out"


def test_the_files_hold_the_documents_figures(scored):
    result, folder = scored
    document = json.loads((folder / "result.json").read_text())
    assert document == json.loads(result.to_json())
    board = document["scores"]["equal"]
    table = (folder / "result.csv").read_text()
    assert f"{board['models']['first']['latency']}" in table
    device = document["environment"]["device"]
    own = (folder / f"benchmark_{device}_.csv").read_text().splitlines()
    assert own[0].startswith("Model,Params (M),FLOPs (G),FPS,Latency (ms)")
    assert len(own) == 3
    row = table_rows(document)[0]
    assert own[1].split(",")[4] == f"{row['latency_s'] * 1e3:.2f}"
    assert (folder / "scorecard.png").read_bytes().startswith(b"\x89PNG")
    assert f"{board['device']['latency']['score']:.0f}" in score_text(document)


def test_the_picture_has_no_text_over_text(scored):
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    _, folder = scored
    with image.open(folder / "scorecard.png") as picture:
        assert picture.width == 1200
        assert 300 < picture.height < 800
        assert len(picture.getcolors(1 << 24)) > 20


@pytest.mark.skipif(not BROWSER, reason="no Chromium on this machine")
def test_a_page_of_a_scorecard(scored):
    result, folder = scored
    document = result.to_dict()
    told = shown(folder / "report.html")
    assert told["complaints"] == []
    assert told["asked"] == []
    assert told["narrow_px"] <= PHONE_PX
    score = document["scores"]["equal"]["device"]["latency"]["score"]
    assert f"{score:.0f} (" in told["text"]
    for row in table_rows(document):
        assert row["title"] in told["text"]
        assert f"{row['latency_score']:.0f}" in told["text"]
    bars = score_bars(document)
    assert told["bars"][0] == sum(len(each.row) for each in bars.series)
    assert len((folder / "report.html").read_bytes()) < 1.5e6


def test_other_results_stand_beside_the_device(scored):
    result, _ = scored
    other = copy.deepcopy(result.to_dict())
    other["environment"]["device"] = "Other card"
    bars = score_bars(result.to_dict(), [other])
    assert [each.name for each in bars.series][1] == "Other card"
    assert len(bars.rows) == 2 * 3 + 1


def test_charts_show_each_phase(scored):
    result, folder = scored
    trace = Trace.read(next(folder.glob("telemetry-*.jsonl")))
    plots = list(telemetry_plots(result.to_dict()["rows"][0], [trace], "cpu:0"))
    assert any("utilisation" in plot.title for plot in plots)
    assert {line.name for plot in plots for line in plot.series} >= {"load", "timed"}
