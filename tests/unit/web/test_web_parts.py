"""What the pages are computed from: intervals, fronts, documents, charts."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from starlette.requests import Request

from lydite.api.dashboard import NoSuchRecord, number_pairs
from lydite.api.dashboard.compare import ratio_interval
from lydite.report.render import rows_html
from lydite.report.view import Cell, shown
from lydite.web import document
from lydite.web.body import Body
from lydite.web.chart import FRONTS, Chart, Series, pareto


@pytest.mark.parametrize(("first", "second"), [(10, 10), (15, 30), (30, 30)])
def test_the_interval_covers_the_true_ratio(first, second):
    """Of 2,000 pairs of log-normal samples with a true ratio of 1.1, 95 % at least nearly."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(2000):
        ones, others = rng.lognormal(0, 0.2, first), 1.1 * rng.lognormal(0, 0.2, second)
        low, high, _ = ratio_interval(ones, others)
        inside += low <= 1.1 <= high
    assert 0.93 <= inside / 2000 <= 0.99


def test_p_and_the_interval_agree():
    rng = np.random.default_rng(1)
    for _ in range(200):
        low, high, p = ratio_interval(rng.lognormal(0, 0.1, 12), rng.lognormal(0.08, 0.1, 12))
        assert (p < 0.05) == (not low <= 1 <= high)


def test_no_interval_without_samples_or_spread():
    four, twenty = np.arange(1.0, 5), np.arange(1.0, 21)
    assert ratio_interval(four, twenty) == (None, None, None)
    assert ratio_interval(np.ones(20), np.ones(20)) == (None, None, None)
    assert ratio_interval(np.zeros(20), twenty) == (None, None, None)


points = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=30)


@given(points, st.sampled_from([front for front in FRONTS if front]))
def test_the_front_is_what_no_other_beats(pairs, front):
    x, y = np.array(pairs, float).T
    signs = [1 if word == "min" else -1 for word in front.split("-")]
    better = [(signs[0] * a, signs[1] * b) for a, b in pairs]
    expected = [not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in better) for p in better]
    assert pareto(x, y, front).tolist() == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=25,
)


@given(json_values)
def test_any_document_becomes_components_whose_links_lead_on(value):
    links = []
    document.blocks_of(value, "", lambda pointer, start: links.append(pointer) or "x", title="t")
    for pointer in links:
        document.at(value, pointer)


def test_a_value_has_the_unit_of_the_key_that_it_stands_within():
    found = {"ttft_s": {"p99": 0.032}, "throughput": {"tokens_per_s": 1200.0, "requests": 4}}
    blocks = document.blocks_of(found, "", lambda pointer, start: pointer, title="figures")
    told = {name: cell.text for block in blocks for name, cell in block.rows}
    assert told == {"p99": "32.0 ms", "tokens_per_s": "1.20 k/s", "requests": "4"}
    (table,) = document.blocks_of([found], "", lambda pointer, start: pointer, title="rows")
    assert table.rows[0][1].text == "32.0 ms"


def test_places_as_in_rfc_6901():
    """The examples of section 5."""
    value = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "m~n": 8, " ": 7}
    expected = {"": value, "/foo": ["bar", "baz"], "/foo/0": "bar", "/": 0, "/a~1b": 1}
    expected |= {"/c%d": 2, "/m~0n": 8, "/ ": 7}
    for pointer, part in expected.items():
        assert document.at(value, pointer) == part
    for pointer in ("/nope", "/foo/2", "/foo/-", "foo"):
        with pytest.raises(NoSuchRecord):
            document.at(value, pointer)


def test_numbers_of_two_documents():
    first = {"a": 1, "b": [{"c": 2.0}, {"c": 3.0}], "d": True, "e": "x", "same": 5}
    second = {"a": 2, "b": [{"c": 2.5}], "d": False, "e": 1, "same": 5}
    assert number_pairs(first, second) == [("a", 1, 2), ("b[0].c", 2.0, 2.5)]


def test_numbers_that_lie_too_deep_are_left_out():
    def nested(depth, number):
        return number if depth == 0 else {"a": nested(depth - 1, number)}

    assert [len(number_pairs(nested(n, 1), nested(n, 2))) for n in (1, 12, 13, 14)] == [1, 1, 0, 0]


def test_a_page_is_compressed_once_and_only_if_it_is_large():
    large, small = Body.of("ä" * 1000), Body.of("small")
    assert gzip.decompress(large.gzipped).decode() == "ä" * 1000
    assert (small.plain, small.gzipped) == (b"small", None)
    for accepted, body in ((b"gzip, br", large.gzipped), (b"br", large.plain)):
        request = Request({"type": "http", "headers": [(b"accept-encoding", accepted)]})
        assert large.answer(request).body == body


def test_rows_are_escaped_and_markup_stays():
    cells = [Cell("<a>\x1b", "/x?a=1&b=2"), Cell("1 ms", value="0.001", is_number=True, tone="bad")]
    assert rows_html([cells, [Cell(Markup("<b>"))], [Cell("<b>")]]) == (
        '<tr><th scope="row"><a href="/x?a=1&amp;b=2">&lt;a&gt;\\x1b</a></th>'
        '<td class="n bad"><data value="0.001">1 ms</data></td></tr>\n'
        '<tr><th scope="row"><b></th></tr>\n<tr><th scope="row">&lt;b&gt;</th></tr>\n'
    )


def test_chart_data_cannot_end_its_element():
    chart = Chart("c", "x", "y", [1.0], [Series("</script><!--", [1.0])], labels=["&<>"])
    text = str(chart.data())
    assert not set("<>&") & set(text)
    assert json.loads(text)["series"][0]["label"] == "</script><!--"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("step_s", 0.0125, "12.5 ms"),
        ("difference_s", -2e-6, "-2.00 us"),
        ("memory_bytes", 2**21, "2.00 MiB"),
        ("energy_j", 1.5, "1.50 J"),
        ("tokens_per_s", 1500.0, "1.50 k/s"),
        ("bytes_per_s", 9e11, "900 GB/s"),
        ("count", 1234567, "1,234,567"),
        ("share", 0.123456789, "0.12346"),
        ("unknown", None, "–"),
        ("fits", True, "yes"),
        ("infinite_s", float("inf"), "–"),
    ],
)
def test_values_are_shown_with_their_unit(name, value, text):
    assert shown(name, value).text == text
