"""`--record`: results that are kept as runs, as `lydite runs` and `lydite ui` show them."""

from __future__ import annotations

import json
import re
import shlex
from html import unescape

import pytest

import lydite as ly
from lydite.api import dashboard
from lydite.api.dashboard import Reader

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


def test_nothing_is_recorded_unless_asked(lydite, tmp_path):
    target = tmp_path / "kept.db"
    assert lydite("coverage", "lenet5", "--db", target).code == 0
    assert not target.exists()


def test_arguments_are_what_the_user_gave(lydite, tmp_path):
    target = tmp_path / "kept.db"
    assert lydite("predict", "lenet5", "--batch", 4, "--record", "--db", target).code == 0
    (run,) = ly.Session(db=target).runs().runs
    assert run["arguments"] == {"model": "lenet5", "batch": 4}


def test_db_of_a_command_that_reads_none_needs_record(refused, tmp_path):
    for command in ("chip lenet5", "score --board mlperf-v6.0"):
        assert "add --record" in refused(*command.split(), "--db", tmp_path / "kept.db")


def test_a_document_that_no_page_would_show_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(dashboard, "MOST_RESULT_BYTES", 1000)
    session = ly.Session(db=tmp_path / "kept.db")
    with pytest.raises(ly.InputError, match="too large for a run"):
        session.record(ly.models())
    assert not (tmp_path / "kept.db").exists()
