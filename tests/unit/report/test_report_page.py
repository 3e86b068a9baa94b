"""What people look at: one page that needs nothing else, its plots, and traces."""

from __future__ import annotations

import html
import re
import sys
from itertools import pairwise

import pytest
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

from lydite.errors import LyditeError, MissingExtra
from lydite.estimate import Point
from lydite.hardware import Device
from lydite.report import Section, Slice, write_page, write_trace
from lydite.report.plots import predicted_against_measured, roofline, time_by_type

CPU = Device("toy", "Toy", "cpu", "x", {"float32": 8e11}, 1e9, 4e10, units=4)
EVIL = "<script>alert('x')</script> & \"co\""
POINTS = [
    Point("a", 0.011, 0.010, 0.009, 0.013),
    Point("b", 0.1, 0.2, 0.09, 0.15),
]
DOTS = [
    ("net", "Conv c1", 50.0, 6e10, 1e-3),
    ("net", "Relu r1", 0.125, 2e9, 1e-4),
    ("net", "Flatten f", 0.0, 0.0, 1e-6),
    ("other", "Gemm g", 2000.0, 1e11, 1e-3),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    sections = [
        Section("Table " + EVIL, EVIL, [EVIL, "b"], [[EVIL, "1"], ["plain", "2"]]),
        Section("First", plot=predicted_against_measured(POINTS)),
        Section("Second", plot=roofline(CPU, 1, DOTS)),
        Section("Machine", pre=EVIL),
    ]
    path = tmp_path_factory.mktemp("report") / "deep" / "report.html"
    assert write_page(path, "Title " + EVIL, EVIL, sections) == path
    return path.read_text()


def tags(page):
    """The tags outside of scripts."""
    return re.findall(r"<[a-zA-Z][^>]*>", re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL))


def test_nothing_is_fetched_from_anywhere(page):
    assert not re.search(r"<script[^>]*\ssrc\s*=", page)
    assert not re.search(r"<(link|iframe|img|object|embed)\b", " ".join(tags(page)))
    assert not any(re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", tag) for tag in tags(page))
    assert "@import" not in page[: page.index("</style>")]


def test_the_page_is_whole_and_runs_no_script(page):
    assert page.startswith("<!doctype html>")
    assert page.split()[-2:] == ["</body>", "</html>"]
    assert "<script" not in page.lower()
    assert not re.search(r"\son\w+\s*=", " ".join(tags(page)))
    assert page.count('<figure class="plot">') == 2
    assert [re.sub("<.*?>", "", h) for h in re.findall(r"<h2.*?</h2>", page)][1:] == [
        "First",
        "Second",
        "Machine",
    ]


def test_tables_scroll_in_boxes_of_their_own(page):
    boxes = re.findall(r'<div class="scroll" role="region"[^>]*>\s*<table>', page)
    assert page.count("<table>") == len(boxes) == 1
    assert re.search(r"\.scroll\{[^}]*overflow-x:auto", page)


def test_names_are_escaped(page):
    assert EVIL not in page
    assert html.unescape(page).count(EVIL) >= 6


def test_cells_stand_in_rows(page):
    table = page[page.index("<table>") : page.index("</table>")]
    assert table.count("<tr>") == 3
    assert '<th scope="row">plain</th><td class="n ">2</td>' in table
    assert f'<th scope="row">{html.escape(EVIL)[:8]}' in table


def test_a_page_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LyditeError, match="cannot write"):
        write_page(tmp_path / "file" / "report.html", "t", "s", [])


def test_roofline_has_the_roof_and_a_trace_for_each_model():
    plot = roofline(CPU, 2, DOTS)
    roof, net, other = plot.series
    assert roof.name == "roof: 400 GFLOP/s, 20.0 GB/s"
    assert max(roof.y) == pytest.approx(4e11)
    assert min(roof.y) == pytest.approx(min(roof.x) * 2e10)
    assert roof.x[1] == pytest.approx(4e11 / 2e10)
    assert (net.name, other.name) == ("net", "other")
    assert list(net.x) == [50.0, 0.125]  # what does no work has no place on it
    assert list(net.y) == [6e10, 2e9]
    assert net.hover[0] == "Conv c1: 1.00 ms, 60.0 GFLOP/s, 50.00 FLOP/B"
    assert min(roof.x) < 0.125
    assert max(roof.x) > 2000
    assert plot.x.is_log
    assert plot.y.is_log


def test_all_of_a_gpu_is_the_roof():
    gpu = Device("gpu", "G", "gpu", "x", {"float32": 8e11}, 1e9, 4e10, units=4)
    assert roofline(gpu, 1, DOTS).series[0].name == "roof: 800 GFLOP/s, 40.0 GB/s"


def test_time_by_type_stacks_and_sums_up():
    times = {
        "one": {f"T{n}": (n + 1) * 1e-3 for n in range(12)},
        "two": {"T11": 5e-3, "Only": 1e-4},
    }
    plot = time_by_type(times)
    assert list(plot.rows) == list(times)
    assert len(plot.series) == 10
    assert plot.series[0].name == "T11"
    assert list(plot.series[0].span) == pytest.approx([12.0, 5.0])
    assert plot.series[-1].name == "other"
    for before, after in pairwise(plot.series):
        assert list(after.start) == pytest.approx(list(before.start + before.span))
    for row, model in enumerate(times):
        total = sum(bars.span[row] for bars in plot.series)
        assert total == pytest.approx(1e3 * sum(times[model].values()))


def test_predicted_against_measured_has_intervals():
    diagonal, models = predicted_against_measured(POINTS).series
    assert list(diagonal.x) == list(diagonal.y)
    assert list(models.x) == pytest.approx([10, 200])
    assert list(models.y) == pytest.approx([11, 100])
    assert list(models.low) == pytest.approx([9, 90])
    assert list(models.high) == pytest.approx([13, 150])
    assert list(models.labels) == ["a", "b"]
    assert models.hover[1] == "b: -50.0 %"


SLICES = [
    Slice("resnet50", "conv_1", 0.001, 2e-3, {"source": "measured"}),
    Slice("bert", "gemm <&>", 0.0, 1e-6, {"source": "measured", "key": "x"}),
    Slice("resnet50", "view", 0.003, 0.0, {}),
]


def test_a_trace_holds_tracks_and_pairs(tmp_path):
    trace = Trace()
    path = write_trace(tmp_path / "t.pftrace", SLICES, process="demo")
    trace.ParseFromString(path.read_bytes())
    tracks = {
        p.track_descriptor.uuid: p.track_descriptor
        for p in trace.packet
        if p.HasField("track_descriptor")
    }
    names = {uuid: track.name for uuid, track in tracks.items()}
    (root,) = [uuid for uuid, name in names.items() if name == "demo"]
    assert sorted(names.values()) == ["bert", "demo", "resnet50"]
    assert all(t.parent_uuid == root for uuid, t in tracks.items() if uuid != root)

    events = [p for p in trace.packet if p.HasField("track_event")]
    open_slices, found = {}, []
    for packet in events:
        event, track = packet.track_event, packet.track_event.track_uuid
        if event.type == TrackEvent.TYPE_SLICE_BEGIN:
            assert track not in open_slices
            notes = {note.name: note.string_value for note in event.debug_annotations}
            open_slices[track] = (event.name, packet.timestamp, notes)
        else:
            assert event.type == TrackEvent.TYPE_SLICE_END
            name, start, notes = open_slices.pop(track)
            found.append((names[track], name, start, packet.timestamp - start, notes))
    assert not open_slices
    assert sorted(found) == [
        ("bert", "gemm <&>", 0, 1000, {"source": "measured", "key": "x"}),
        ("resnet50", "conv_1", 1_000_000, 2_000_000, {"source": "measured"}),
        ("resnet50", "view", 3_000_000, 1, {}),
    ]


def test_traces_without_perfetto(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "perfetto.trace_builder.proto_builder", None)
    with pytest.raises(MissingExtra, match=r"'perfetto' is not installed.*lydite\[report\]"):
        write_trace(tmp_path / "t", SLICES, process="demo")
