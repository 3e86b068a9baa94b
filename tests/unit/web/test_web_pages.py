"""Every page, over a database that holds something of everything."""

from __future__ import annotations

import json
import re
from html import unescape

import numpy as np
import pytest
from dashboard_rows import EVIL, rows, text_of

from lydite.store import Database
from lydite.web.pages import PAGES
from lydite.web.urls import PATHS


def addresses(filled):
    """Every page at least once, those with hostile names and charts too."""
    chart = {"chart": "1", "x": "cost_usd", "y": "step_s", "front": "min-min", "log": "xy"}
    return [
        ("runs", {}),
        ("runs", {"status": "done", "command": "profile"}),
        ("run", {"id": filled.first}),
        ("run", {"id": filled.document}),
        ("run", {"id": filled.document, "at": "/designs", **chart}),
        ("run", {"id": filled.document, "at": f"/{EVIL.replace('/', '~1')}"}),
        ("run", {"id": filled.evil}),
        ("run", {"id": filled.going_on}),
        ("measurements", {}),
        ("measurements", {"run": filled.first}),
        ("measurements", {"device": EVIL}),
        ("measurements", {"device": "cpu", "op_type": "Add", "status": "ok"}),
        ("measurement", {"id": filled.measured, "chart": "1"}),
        ("measurement", {"id": filled.failed}),
        ("coverage", {}),
        ("compare", {}),
        ("compare", {"a": filled.first, "b": filled.second}),
        ("compare", {"a": filled.first, "b": filled.document}),
        ("run", {"id": filled.declared}),
        ("run", {"id": filled.declared, "show": "1", "at": "/sweeps/0", "chart": "1"}),
        ("beside", {"command": "another_verb"}),
        ("beside", {"command": "profile"}),
        ("roofline", {}),
        ("roofline", {"device": "nvidia-l4", "chart": "1"}),
        ("roofline", {"device": EVIL}),
        ("live", {}),
    ]


def test_every_page_answers_and_escapes_what_others_wrote(client, filled):
    seen = set()
    for page, given in addresses(filled):
        answer = client.get(PATHS[page], params=given)
        assert answer.status_code == 200, (page, given, text_of(answer.text))
        assert "<script>alert" not in answer.text
        for character in "\x1b\u202e":
            assert character not in unescape(answer.text)
        assert answer.text.count("<h1>") == 1
        assert 'style="' not in answer.text
        assert not re.search(r"\son\w+=", re.sub(r'"[^"]*"', '""', answer.text))
        assert not re.search(r"<script(?! src=| type=\"application/json\")", answer.text)
        seen.add(page)
    assert seen == set(PAGES)


def test_every_link_of_every_page_leads_somewhere(client, filled):
    todo = [f"{PATHS[page]}" for page, _ in addresses(filled)] + ["/"]
    todo += [str(client.build_request("GET", PATHS[p], params=g).url) for p, g in addresses(filled)]
    followed = {}
    while todo and len(followed) < 250:
        url = todo.pop(0)
        if url in followed:
            continue
        answer = client.get(url, follow_redirects=True)
        followed[url] = answer.status_code
        if "html" in answer.headers["content-type"] and answer.status_code == 200:
            found = re.findall(r'(?:href|src)="([^"#]+)"', answer.text)
            todo += [unescape(link) for link in found]
    bad = {url: status for url, status in followed.items() if status != 200}
    assert set(bad.values()) <= {400}  # a run or a measurement without its id
    assert all("?" not in url for url in bad), bad


def test_runs_are_paged_by_key_newest_first(client, filled):
    with Database.open(filled.path) as database:
        ids = [database.start_run("tune", {"n": number}) for number in range(230)]
    url, seen = "/runs?command=tune", []
    while url:
        page = client.get(url).text
        seen += re.findall(r'href="/run\?id=([0-9a-f-]+)"', page)
        older = re.search(r'href="([^"]+)">Older', page)
        url = unescape(older[1]) if older else None
    assert seen == ids[::-1]


@pytest.mark.parametrize("given", [{"run": "first"}, {"device": "cpu"}, {}])
def test_measurements_are_paged_without_loss_or_repetition(client, filled, given):
    given = {name: getattr(filled, value, value) for name, value in given.items()}
    with Database.open(filled.path) as database:
        expected = sorted(item.id for item in database.query(**given))
    url, seen = client.build_request("GET", "/measurements", params=given).url, []
    while url:
        page = client.get(url).text
        seen += re.findall(r'href="/measurement\?id=([0-9a-f]+)"', page)
        following = re.search(r'href="([^"]+)">Next', page)
        url = unescape(following[1]) if following else None
    assert sorted(seen) == expected


def test_a_verb_that_nobody_knows_has_a_page(client, filled):
    page = text_of(client.get("/run", params={"id": filled.document}).text)
    assert "12.5 ms" in page
    assert "design 49" in page
    assert "design 50" not in page
    later = {"id": filled.document, "at": "/designs", "start": "100"}
    page = text_of(client.get("/run", params=later).text)
    assert "design 119" in page
    assert "design 99 " not in page
    deep = {"id": filled.document, "at": "/plan/deep/deeper/deepest/bottom"}
    assert "value" in text_of(client.get("/run", params=deep).text)


def test_a_chart_holds_the_rows_and_their_pareto_front(client, filled):
    given = {"id": filled.document, "at": "/designs", "chart": "1"}
    given |= {"x": "cost_usd", "y": "step_s", "front": "max-min"}
    page = client.get("/run", params=given).text
    data = re.search(r'<script type="application/json">(.*?)</script>', page, re.S)
    chart = json.loads(data[1])
    assert len(chart["x"]) == 120
    assert chart["x"] == sorted(chart["x"])
    front = [value for value in chart["series"][1]["values"] if value is not None]
    assert front == [0.01]  # design 0 is the dearest and the fastest
    assert "design 0" in chart["labels"][-1]


def test_a_measurement_shows_all_that_was_recorded(client, filled):
    page = text_of(client.get("/measurement", params={"id": filled.measured}).text)
    for part in ("float32[64,8]", "1.23.2", "0.5", "hot", "isolated", "clock_hz"):
        assert part in page
    with Database.open(filled.path) as database:
        item = next(item for item in database.query() if item.id == filled.measured)
    assert page.count(" us") >= len(item.samples_s)


def test_coverage_counts_operators_and_failures(client):
    page = text_of(client.get("/coverage").text)
    assert "Add 0 (1 failed) 77 67" in page
    assert "434 measurements of 3 devices and 3 operator types" in page


def test_two_runs_differ_by_what_was_put_in(client, filled):
    page = text_of(client.get("/compare", params={"a": filled.first, "b": filled.second}).text)
    assert re.search(r"B takes 1\.(19|20)\d times as long as A over 200 operators", page)
    assert "200 significantly slower" in page
    assert "only in A 30" in page
    assert "a_s 1.00 s 2.00 s 2" in page


def test_a_run_compared_with_itself_does_not_differ(client, filled):
    page = text_of(client.get("/compare", params={"a": filled.first, "b": filled.first}).text)
    assert "B takes 1.000 times" in page
    assert "0 significantly faster, 0 significantly slower" in page


def test_the_roofline_has_the_roof_of_the_catalog(client):
    given = {"device": "nvidia-l4", "chart": "1", "dtype": "float32"}
    page = client.get("/roofline", params=given).text
    data = re.search(r'<script type="application/json">(.*?)</script>', page, re.S)
    chart = json.loads(data[1])
    roof = chart["series"][1]["values"]
    # 300 GB/s of NVIDIA's data sheet; additions lie far left of the corner.
    assert np.allclose(roof, 300e9 * np.array(chart["x"]), rtol=1e-4)
    # One addition reads 4 + 4 bytes and writes 4 an element.
    assert np.isclose(max(chart["x"]), 1 / 12, rtol=1e-4)


def test_files_of_the_package_may_be_kept(client):
    page = client.get("/live").text
    for link in re.findall(r'(?:href|src)="(/static/[^"]+)"', page):
        answer = client.get(unescape(link))
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/%2e%2e/app.py").status_code == 404


def test_the_pages_weigh_little(client, filled):
    import gzip

    def weight(path):
        return len(gzip.compress(client.get(path).content))

    for page, given in addresses(filled):
        url = str(client.build_request("GET", PATHS[page], params=given).url)
        html = client.get(url).text
        links = re.findall(r'(?:href|src)="(/static/[^"]+)"', html)
        total = weight(url) + sum(weight(unescape(link)) for link in links)
        assert total <= (200_000 if page == "roofline" else 60_000), (page, total)


def test_events_begin_where_the_page_ends(client, filled):
    """No row is lost or doubled between the page, the stream, and the stream after a pause."""
    page = client.get("/run", params={"id": filled.going_on}).text
    held = re.findall(r'href="/measurement\?id=([0-9a-f]+)"', page)
    stream = unescape(re.search(r'hx-sse:connect="([^"]+)"', page)[1])
    with Database.open(filled.path) as database:
        database.add(rows(filled.going_on, "cpu", 2.0, 4, 7))
        expected = {item.id for item in database.query(run=filled.going_on)}
        database.finish_run(filled.going_on, "done", {})
    told = client.get(stream).text
    sent = re.findall(r"/measurement\?id=([0-9a-f]+)", told)
    assert len(held) == 3
    assert sorted(held + sent) == sorted(expected)
    assert told.rstrip().endswith("event: end\ndata: end")
    last = re.findall(r"^id: (.*)$", told, re.M)[-1]
    again = client.get(stream, headers={"last-event-id": last}).text
    assert "/measurement?" not in again
    assert "The run is done" in again


def test_the_stream_of_a_run_that_is_gone_ends(client):
    told = client.get("/run/events", params={"id": "gone"}).text
    assert "Stopped:" in told
    assert told.endswith("event: end\ndata: end\n\n")


def test_scripts_of_live_pages_are_not_deferred(client, filled):
    """A deferred htmx starts at once, at times before the extension that it needs is there."""
    text = client.get(PATHS["run"], params={"id": filled.going_on}).text
    scripts = re.findall(r"<script src=\"[^\"]*(?:htmx|hx-sse)[^>]*>", text)
    assert len(scripts) == 2
    assert not any("defer" in script or "async" in script for script in scripts)
