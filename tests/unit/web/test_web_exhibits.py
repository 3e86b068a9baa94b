"""Tables and charts that documents declare: on the page of a run, alone, drawn, side by side."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
from dashboard_rows import EVIL, TOKEN, text_of

import lydite as ly
from lydite.exhibits import Curve, Exhibit, found_in
from lydite.report import Section, write_page
from lydite.results import Result
from lydite.store import Database, Run
from lydite.web.render import static_files

DOCUMENT = {
    "schema": "lydite/new_verb/1",
    "machine": {"name": "toy"},
    "confidence": 0.9,
    "runs": [
        {
            "name": "first",
            "verdict": "INVALID",
            "latency_s": {"p99": 0.25},
            "rules": [
                {"rule": "duration", "met": True, "next": ""},
                {"rule": "queries", "met": False, "next": "run longer"},
            ],
        },
        {"name": "second", "verdict": "VALID", "latency_s": {"p99": 0.125}, "rules": []},
    ],
    "sweeps": [
        {"vary": "threads", "n": [4, 1, 2], "seconds": [0.25, 1.0, 0.5], "knee": 2, "a": 1, "b": 4},
        {"vary": "batch", "n": [1], "seconds": [1.0], "knee": None, "a": None, "b": None},
    ],
    "models": {"bert": {"score": 900.0}, "resnet": {"score": 1100.5}},
    "cards": [
        {"card": "x", "model": "bert", "printed": {"latency": 900}},
        {"card": "y", "model": "bert", "printed": {"latency": 800}},
        {"card": "y", "model": "vit", "printed": {"latency": 700}},
    ],
}
EXHIBITS = (
    Exhibit(
        "Verdicts",
        "/runs",
        {"name": "run", "verdict": "verdict", "latency_s.p99": "99 %", "absent": "never there"},
        {"verdict": "VALID"},
    ),
    Exhibit("{name}: {verdict}", "/runs/*/rules", {"rule": "rule", "met": "met"}, {"met": True}),
    Exhibit(
        "Seconds by {vary}",
        "/sweeps/*",
        {"n": "{vary}", "seconds": "time"},
        curve=Curve("n", {"seconds": "points"}, mark="knee", low="a", high="b"),
    ),
    Exhibit("Models", "/models", {"": "model", "score": "score"}, beside="score"),
    Exhibit("Cards", "/cards", {"model": "model"}, across="card", value="printed.latency"),
    Exhibit("Machine", "/machine", {"name": "machine"}, beside="name", label="/machine/name"),
    Exhibit("Nothing", "/gone/*", {"x": "x"}),
)


def declared(**changes):
    listed = [exhibit.document() for exhibit in EXHIBITS]
    return {**DOCUMENT, "exhibits": listed, **changes}


@pytest.fixture
def kept(tmp_path):
    """Two runs of one verb and a hostile one, by name."""
    other = {**declared(), "models": {"bert": {"score": 500.0}, "vit": {"score": 400.0}}}
    other["machine"] = {"name": EVIL}
    broken = declared(exhibits=[None, {"rows": 1}, {**EXHIBITS[0].document(), "columns": "x"}])
    with Database.open(tmp_path / "kept.db") as database:
        runs = {
            name: Run("new_verb", {}, status="done", result=document, started_at=when)
            for name, document, when in (
                ("one", declared(), "2026-01-01T00:00:00Z"),
                ("two", other, "2026-01-02T00:00:00Z"),
                ("broken", broken, "2026-01-03T00:00:00Z"),
            )
        }
        database.load(list(runs.values()))
    return {name: run.id for name, run in runs.items()}


@pytest.fixture
def visit(kept, tmp_path, client_of):
    browser = client_of(str(tmp_path / "kept.db"))
    browser.get("/", params={"token": TOKEN})
    return lambda path, **given: browser.get(path, params=given or None)


def cells(html, caption):
    """Rows of the table with a caption, as texts; the headings first."""
    section = next(s for s in html.split("<section>") if f">{caption}</h2>" in s)
    rows = re.findall(r"<tr>(.*?)</tr>", section, re.S)
    return [
        [unescape(re.sub("<[^>]+>", "", cell)) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)]
        for row in rows
    ]


def test_declared_tables_stand_first_in_their_own_order_and_words(visit, kept):
    html = visit("/run", id=kept["one"]).text
    assert cells(html, "Verdicts") == [
        ["run", "verdict", "99 %"],
        ["first", "INVALID", "250 ms"],
        ["second", "VALID", "125 ms"],
    ]
    assert cells(html, "first: INVALID") == [
        ["rule", "met"],
        ["duration", "yes"],
        ["queries", "no"],
    ]
    assert cells(html, "Models") == [
        ["model", "score"],
        ["bert", "900"],
        ["resnet", "1100.5"],
    ]
    assert cells(html, "Cards") == [
        ["model", "x", "y"],
        ["bert", "900", "800"],
        ["vit", "", "700"],
    ]
    assert html.index("Verdicts") < html.index(">Result<")
    assert "Nothing" not in html
    assert "second: VALID" not in html
    assert re.findall(r'<td class="(\w+)">(?:VALID|INVALID)', html) == ["bad", "good"]


def test_a_chart_is_a_link_away_and_marks_the_knee_with_its_interval(visit, kept):
    page = visit("/run", id=kept["one"]).text
    links = [unescape(link) for link in re.findall(r'href="([^"]+)">Chart of Seconds', page)]
    assert len(links) == 1  # one value of the batch makes no curve
    assert 'class="chart"' not in page
    drawn = visit(links[0]).text
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', drawn, re.S)[1])
    assert (data["x"], data["series"][0]["values"]) == ([1, 2, 4], [1.0, 0.5, 0.25])
    assert (data["yUnit"], data["marks"]) == ("s", [{"x": 2, "low": 1, "high": 4}])
    assert "knee 2, 90 % interval 1 to 4." in text_of(drawn)


def test_runs_of_a_verb_stand_side_by_side(visit, kept):
    html = visit("/beside", command="new_verb").text
    head, runs, *rows = cells(html, "Models: score")
    assert head[0] == "model"
    assert [cell[:8] for cell in runs[1:]] == [kept["two"][:8], kept["one"][:8]]
    assert rows == [["bert", "500", "900"], ["vit", "400", "–"], ["resnet", "–", "1100.5"]]
    only = visit("/beside", command="new_verb", runs=kept["one"][:8]).text
    assert cells(only, "Machine: machine")[0] == ["machine", "toy"]
    assert "<script>alert" not in html
    assert visit("/beside").status_code == 400
    assert "declares" in visit("/beside", command="new_verb", runs=kept["broken"]).text


def test_what_is_not_declared_properly_is_left_out(visit, kept):
    page = visit("/run", id=kept["broken"])
    assert page.status_code == 200
    assert "Verdicts" not in page.text
    assert visit("/run", id=kept["one"], show="9", at="/runs").status_code == 404
    assert visit("/run", id=kept["one"], show="x").status_code == 400


def test_a_long_table_is_paged(tmp_path, client_of):
    exhibit = Exhibit("Trials", "/tried", {"trial": "trial"}).document()
    document = {"tried": [{"trial": n} for n in range(250)], "exhibits": [exhibit]}
    made = Run("tune", {}, status="done", result=document)
    with Database.open(tmp_path / "long.db") as database:
        database.load([made])
    browser = client_of(str(tmp_path / "long.db"))
    browser.get("/", params={"token": TOKEN})
    page = browser.get("/run", params={"id": made.id}).text
    url, seen = unescape(re.search(r'href="([^"]+)">All of 250 rows', page)[1]), []
    while url:
        page = browser.get(url).text
        seen += [row[0] for row in cells(page, "Trials")[1:]]
        following = re.search(r'href="([^"]+)">Next of', page)
        url = unescape(following[1]) if following else None
    assert seen == [str(number) for number in range(250)]


def test_many_tables_are_links_after_the_first(tmp_path, client_of):
    exhibit = Exhibit("{name}", "/runs/*/rules", {"rule": "rule"}).document()
    many = [{"name": f"run {n}", "rules": [{"rule": f"rule {n}"}]} for n in range(300)]
    made = Run("new_verb", {}, status="done", result={"runs": many, "exhibits": [exhibit]})
    with Database.open(tmp_path / "many.db") as database:
        database.load([made])
    browser = client_of(str(tmp_path / "many.db"))
    browser.get("/", params={"token": TOKEN})
    page = browser.get("/run", params={"id": made.id}).text
    assert cells(page, "run 19")[1] == ["rule 19"]
    assert "280 more tables:" in page
    (link,) = re.findall(r'href="([^"]+)">run 299<', page)
    assert cells(browser.get(unescape(link)).text, "run 299")[1] == ["rule 299"]


class Named(Result):
    """A result whose page shows a table."""

    verb = "named"
    exhibits = (Exhibit("Rows", "/rows", {"name": "name"}),)

    def document(self):
        return {"rows": [{"name": "x"}]}


def test_a_result_carries_what_its_class_declares():
    (found,) = found_in(Named().to_dict())
    assert (found.caption, found.rows) == ("Rows", [{"name": "x"}])


def test_what_verbs_declare_is_in_their_documents(tmp_path):
    """Each table of a verb that runs anywhere finds its rows."""
    sweep = tmp_path / "sweep.csv"
    sweep.write_text("threads,seconds\n1,8\n2,4\n4,2\n8,2\n16,2\n")
    results = [
        ly.turning_point(sweep=sweep),
        ly.mlperf_run("lenet5", scenario="server", service="1ms", target_qps=100, latency_limit=9),
        ly.score(on="h100", models="mobilenetv2"),
        ly.score_board("sdu-cards"),
    ]
    for result in results:
        shown = {found.number for found in found_in(json.loads(result.to_json()))}
        wanted = set(range(len(result.exhibits)))
        if result.verb == "score-board":
            wanted.remove(3)  # of the other board
        assert shown == wanted, result.verb


def test_reports_and_pages_have_one_stylesheet(visit, tmp_path):
    served = visit("/static/lydite.css").text
    page = write_page(tmp_path / "p.html", "T", "S", [Section("A", "", ["a"], [["1"]])]).read_text()
    assert served.strip() in page
    assert page.count("<style>") == 1
    ours = [item.name for item in static_files() if item.name.endswith(".css")]
    assert sorted(ours) == ["lydite.css", "uplot-1.6.32.min.css"]
