"""`--record`: results that are kept as runs, as `lydite runs` and `lydite ui` show them."""

from __future__ import annotations

import json
import re
import shlex
from html import unescape
from types import SimpleNamespace

import pytest
import typer

import lydite as ly
from lydite import results
from lydite.api import dashboard, measuring
from lydite.api.dashboard import Reader
from lydite.api.record import record
from lydite.api.runs import RunsResult, runs
from lydite.api.schemas import result_types
from lydite.cli.app import app
from lydite.cli.recording import ALWAYS
from lydite.store import Database, Run, seconds_between

SERVED = "serve llama3-8b --on h100 --rate 4 --requests 20 --compare tp1x2,tp2"
CASES = {
    "serve": (SERVED, "/deployments"),
    "sweep": ("chip sweep lenet5 --vary pes=8,16 --vary spad=64KiB,32KiB", "/designs"),
    "search": (
        "simulate gpt2 --train --batch 16 --sequence 64 --devices 4 --search",
        "/best",
    ),
}
"""A command and the rows of its result, by the name of its run."""
QUICK = ("--backend", "replay", "--budget", "0.05")


@pytest.fixture
def browser(request):
    pytest.importorskip("starlette", reason="starlette is not installed")
    pytest.importorskip("httpx2", reason="httpx2 is not installed, which the test client needs")
    from starlette.testclient import TestClient

    from lydite.web import make_app

    def made(path):
        reader = Reader(str(path))
        request.addfinalizer(reader.close)
        app = make_app(reader, token="t", port=8420)
        client = TestClient(app, base_url="http://127.0.0.1:8420")
        client.get("/", params={"token": "t"})
        return client

    return made


@pytest.mark.parametrize("name", CASES)
def test_a_recorded_result_has_its_rows_and_a_chart_in_the_browser(name, lydite, browser, tmp_path):
    (command, rows), target = CASES[name], tmp_path / "kept.db"
    ran = lydite(*shlex.split(command), "--json", "--record", "--db", target)
    assert ran.code == 0, ran.err
    document = json.loads(ran.out)
    listed = json.loads(lydite("runs", "--json", "--db", target).out)["runs"]
    assert [(run["command"], run["status"]) for run in listed] == [
        (document["schema"].split("/")[1], "done")
    ]
    assert listed[0]["result"] == document
    assert f"recorded: run {listed[0]['id'][:8]}" in ran.err
    assert name in lydite("runs", "--db", target).out

    client, given = browser(target), {"id": listed[0]["id"], "at": rows}
    page = client.get("/run", params=given)
    assert page.status_code == 200
    count = len(document[rows[1:]])
    assert count > 1
    assert len(re.findall(rf"{rows}/\d+\"".replace("/", "%2F"), page.text)) == count
    page = client.get("/run", params={**given, "chart": "1"})
    assert page.status_code == 200
    data = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page.text, re.S)
    assert len(json.loads(unescape(data[0]))["x"]) == count


def tables(page):
    """Texts of the cells of each table, row by row, by its caption."""
    found = {}
    for section in page.split("<section>")[1:]:
        caption = re.search(r"<h\d[^>]*>(.*?)</h", section)
        rows = re.findall(r"<tr>(.*?)</tr>", section, re.S)
        if caption:
            found[unescape(caption[1])] = [
                [unescape(re.sub("<[^>]+>", "", c)) for c in re.findall(r"<t[hd].*?</t[hd]>", row)]
                for row in rows
            ]
    return found


def test_a_verdict_is_told_rule_by_rule(lydite, browser, tmp_path):
    target = tmp_path / "kept.db"
    command = "mlperf run lenet5 --scenario server --service 1.2ms --target-qps 500"
    given = "--latency-limit 4 --min-duration 10 --record --db"
    assert lydite(*command.split(), *given.split(), target).code == 0
    (run,) = ly.Session(db=target).runs().runs
    told = tables(browser(target).get("/run", params={"id": run["id"]}).text)
    assert [row[:4] for row in told["Verdicts"]] == [
        ["scenario", "benchmark", "mode", "verdict"],
        ["Server", "lenet5", "performance", "INVALID"],
    ]
    head, *rules = told["lenet5, Server, performance: INVALID"]
    assert head == ["rule", "value", "limit", "met", "next step"]
    by_name = {rule: rest for rule, *rest in rules}
    assert by_name["duration"][1:] == ["at least 10.0 s", "yes", ""]
    assert by_name["queries"][1:] == ["at least 100", "yes", ""]
    # A queue at 60 % load waits longer than 4 ms once in some ten times.
    late = ["at most 4.00 ms", "no", "lower the target QPS (--target-qps)"]
    assert by_name["latency at 99 %"][1:] == late


def test_scores_of_devices_stand_side_by_side(lydite, browser, tmp_path):
    target, scores = tmp_path / "kept.db", {}
    for device in ("h100", "l4"):
        command = ["score", "--models", "mobilenetv2,resnet", "--on", device, "--json"]
        ran = lydite(*command, "--record", "--db", target)
        assert ran.code == 0, ran.err
        scores[device] = json.loads(ran.out)["scores"]["equal"]["models"]["resnet"]["latency"]
    page = browser(target).get("/beside", params={"command": "score"}).text
    head, _, *rows = tables(page)["Scores by model: score"]
    assert head == ["model", "NVIDIA L4", "NVIDIA H100 80GB HBM3"]
    shown = {row[0]: row[1:] for row in rows}
    assert shown["resnet"] == [f"{scores[name]:.5g}" for name in ("l4", "h100")]


def test_a_knee_is_drawn_with_its_interval(lydite, browser, tmp_path):
    sweep, target = tmp_path / "sweep.csv", tmp_path / "kept.db"
    lines = [f"{n},{max(8 / n, 2) * wobble}" for n in (1, 2, 4, 8, 16) for wobble in (1, 1.01)]
    sweep.write_text("threads,seconds\n" + "\n".join(lines))
    ran = lydite("turning-point", "--sweep", sweep, "--record", "--json", "--db", target)
    assert ran.code == 0, ran.err
    (found,) = json.loads(ran.out)["sweeps"]
    (run,) = ly.Session(db=target).runs().runs
    client = browser(target)
    page = client.get("/run", params={"id": run["id"]}).text
    assert tables(page)["Turning points"][1][:4] == ["threads", "4", "4", "4"]
    (link,) = re.findall(r'href="([^"]+)">Chart of Seconds per call by threads', page)
    drawn = client.get(unescape(link)).text
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', drawn, re.S)[1])
    assert data["marks"] == [{"x": 4, "low": found["low"], "high": found["high"]}]
    assert [series["label"] for series in data["series"]] == ["seconds", "fitted"]
    assert "turning point 4, 90 % interval 4 to 4." in drawn


def test_nothing_is_recorded_unless_asked(lydite, tmp_path):
    target = tmp_path / "kept.db"
    assert lydite("coverage", "lenet5", "--db", target).code == 0
    assert not target.exists()


def test_arguments_are_what_the_user_gave(lydite, tmp_path):
    target = tmp_path / "kept.db"
    assert lydite("predict", "lenet5", "--batch", 4, "--record", "--db", target).code == 0
    (run,) = ly.Session(db=target).runs().runs
    assert run["arguments"] == {"model": "lenet5", "batch": 4}


FLAGGED = {
    "aisim",
    "calibrate",
    "chip",
    "collective",
    "coverage",
    "inspect",
    "learn evaluate",
    "learn fit",
    "mlperf audit",
    "mlperf calibrate",
    "mlperf check",
    "mlperf peak",
    "mlperf run",
    "mlperf tune",
    "monitor",
    "ops",
    "place",
    "predict",
    "score",
    "score compare",
    "score verify",
    "serve",
    "simulate",
    "smaug",
    "tune compare",
    "tune expect",
    "turning-point",
    "validate",
}


def test_names_of_verbs_have_hyphens_and_older_ones_are_told_as_now(lydite, tmp_path):
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", verb) for verb in result_types())
    path = tmp_path / "old.db"
    with Database.open(path) as database:
        database.load([Run("tune op", {}, status="done"), Run("score_board", {}, status="done")])
        database.load([Run("tune-op", {}, status="done")])
    listed = json.loads(lydite("runs", "--db", path, "--json").out)["runs"]
    assert sorted(row["command"] for row in listed) == ["score-board", "tune-op", "tune-op"]
    reader = Reader(str(path))
    for command in ("tune-op", "tune op"):
        found = dashboard.runs(reader, command=command).rows
        assert [line.command for line in found] == ["tune-op", "tune-op"]


BY_ITSELF = {"bench", "corun", "demo", "profile", "tune model", "tune op"}
NOT_KEPT = {
    "db",
    "db export",
    "db import",
    "db merge",
    "db query",
    "db stats",
    "doctor",
    "farm",
    "farm drain",
    "farm status",
    "farm worker",
    "learn",
    "mlperf",
    "mlperf build",
    "mlperf explain",
    "mlperf preprocess",
    "mlperf submission",
    "models",
    "runs",
    "tune",
    "tune export",
    "tune import",
    "ui",
    "ui export",
}
"""Commands that list, move or prepare what others answered."""


def every_command(group, name=""):
    for word, command in group.commands.items():
        yield f"{name} {word}".strip(), command
        if hasattr(command, "commands"):
            yield from every_command(command, f"{name} {word}".strip())


def test_a_result_of_every_command_can_be_kept():
    has, says = set(), set()
    for name, command in every_command(typer.main.get_command(app)):
        if any("--record" in parameter.opts for parameter in command.params):
            has.add(name)
            assert any("--db" in parameter.opts for parameter in command.params), name
        if ALWAYS in (command.help or ""):
            says.add(name)
    everything = {name for name, _ in every_command(typer.main.get_command(app))}
    assert (has, says, everything - has - says) == (FLAGGED, BY_ITSELF, NOT_KEPT)


def test_what_a_verb_recorded_is_not_recorded_again(lydite, tmp_path, net, recording):
    target = tmp_path / "kept.db"
    ran = lydite("validate", net, *QUICK, "--record", "--db", target)
    assert ran.code == 0, ran.err
    (run,) = ly.Session(db=target).runs().runs
    assert run["command"] == "validate"
    assert f"recorded: run {run['id'][:8]}" in ran.err


def test_a_run_lasts_as_long_as_its_verb(monkeypatch, tmp_path):
    times = iter([5.0, 12.5])
    monkeypatch.setattr(results, "time", SimpleNamespace(perf_counter=lambda: next(times)))
    session = ly.Session(db=tmp_path / "kept.db")
    kept = record(session, session.models())
    assert kept.run["duration_s"] == pytest.approx(7.5, abs=1e-6)
    (row,) = runs(session).runs
    assert row["duration_s"] == pytest.approx(7.5, abs=1e-6)
    assert "7.50 s" in runs(session).summary()


def test_a_result_that_no_session_made_has_no_duration(tmp_path):
    session = ly.Session(db=tmp_path / "kept.db")
    session.record(RunsResult(()))
    (row,) = session.runs().runs
    assert row["duration_s"] is None


def test_a_clock_that_is_set_back_does_not_make_a_run_shorter(monkeypatch, tmp_path):
    times = iter([100.0, 103.0])
    monkeypatch.setattr(measuring, "time", SimpleNamespace(perf_counter=lambda: next(times)))
    with Database.open(tmp_path / "kept.db") as database:
        with measuring.recorded_run(database, "bench", {}):
            later = "2020-01-01T00:00:00.000000Z"
            monkeypatch.setattr("lydite.store.database.utc_now", lambda: later)
        (run,) = database.runs()
    assert seconds_between(run.started_at, run.finished_at) == pytest.approx(3.0)


def test_db_of_a_command_that_reads_none_needs_record(refused, tmp_path):
    for command in ("chip lenet5", "inspect lenet5"):
        assert "add --record" in refused(*command.split(), "--db", tmp_path / "kept.db")


def test_a_document_that_no_page_would_show_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(dashboard, "MOST_RESULT_BYTES", 1000)
    session = ly.Session(db=tmp_path / "kept.db")
    with pytest.raises(ly.InputError, match="too large for a run"):
        session.record(ly.models())
    assert not (tmp_path / "kept.db").exists()
