"""Faults of machines and of other people's files, as users meet them."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys

import pytest

from lydite.api import Session
from lydite.api.measuring import PROCESS, this_process, was_killed
from lydite.errors import InputError, LyditeError, StoreError, shortened, unknown_name
from lydite.store import Database


def test_an_error_under_json_is_json(lydite):
    ran = lydite("inspect", "nothing.onnx", "--json")
    assert ran.code == 2
    assert json.loads(ran.out) == {"error": {"what": "no such file", "where": "nothing.onnx"}}
    assert ran.err == "lydite: nothing.onnx: no such file\n"


def test_control_characters_are_shown_and_not_sent(lydite, tmp_path):
    path = tmp_path / "bad\x1b[2J.onnx"
    ran = lydite("inspect", path)
    assert "\\x1b[2J" in ran.err
    assert "\x1b" not in ran.err


def test_long_fields_are_cut():
    error = unknown_name("field", "x" * 5000, ["other"])
    assert len(str(error)) < 200
    assert len(str(LyditeError("y" * 10**6, where="z" * 10**6))) < 1500
    assert shortened("abcdefghijklm", 11) == "abc ... klm"


def test_a_line_without_end_is_refused(refused, tmp_path, monkeypatch):
    from lydite.store import jsonlines

    monkeypatch.setattr(jsonlines, "MOST_LINE_BYTES", 1000)
    path = tmp_path / "rows.jsonl.gz"
    with gzip.open(path, "wb") as file:
        file.write(b"a" * 100_000)
    assert refused("db", "import", path) == (
        f"{path}:1: the line is too long for a record; allowed: 1000 bytes at most"
    )


@pytest.mark.parametrize("text", ["[" * 5000, "a: " + "{b: " * 500, "- " * 300 + "x"])
def test_deep_yaml_is_refused(refused, tmp_path, text):
    path = tmp_path / "deep.yaml"
    path.write_text(text)
    assert "fields more than 100 deep" in refused("simulate", "lenet5", "--on", path)


def test_a_run_whose_process_is_gone_was_killed(tmp_path):
    target = tmp_path / "runs.db"
    code = (
        "import os, sys; from lydite.api.measuring import recorded_run\n"
        "from lydite.store import Database\n"
        "with Database.open(sys.argv[1]) as db, recorded_run(db, 'profile', {'models': ['a']}):\n"
        "    os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(target)], check=False, timeout=120)
    with Database.open(target) as database:
        database.start_run("bench", {PROCESS: this_process()})
        database.start_run("bench", {PROCESS: {**this_process(), "host": "another"}})
    session = Session(str(target))
    rows = {(row["command"], row["status"]) for row in session.runs().runs}
    assert rows == {("profile", "killed"), ("bench", "running")}
    assert session.runs().runs[-1]["arguments"] == {"models": ["a"]}


def test_another_process_of_the_same_number_is_not_ours():
    assert not was_killed(this_process())
    assert was_killed({**this_process(), "started_s": 1.0})
    assert not was_killed(None)


def test_an_ambiguous_run_is_refused(tmp_path):
    target = tmp_path / "runs.db"
    with Database.open(target) as database:
        for _ in range(40):
            database.start_run("bench", {})
    session = Session(str(target))
    with pytest.raises(InputError, match=r"begins .* runs"):
        session.run("")
    identity = str(session.runs().runs[3]["id"])
    assert session.run(identity).run["id"] == identity


@pytest.mark.parametrize("verb", [("db", "query"), ("db", "stats"), ("runs",)])
def test_a_database_that_is_not_there_is_not_made(refused, tmp_path, verb):
    path = tmp_path / "typo.db"
    assert "no such database" in refused(*verb, "--db", path)
    assert not path.exists()


def test_a_home_that_cannot_be_written_does_not_stop_predictions(monkeypatch, capsys, tmp_path):
    from lydite.api import session as module

    module._say_without.cache_clear()
    blocked = tmp_path / "file"
    blocked.write_text("")  # a file where the folder should be: not even root can write there
    monkeypatch.delenv("LYDITE_DB", raising=False)
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_args, **_rest: blocked / "lydite")
    session = Session()
    assert session.predict("lenet5", on="h100").seconds > 0
    assert session.simulate("lenet5", devices=2).seconds > 0
    assert capsys.readouterr().err == ""  # there are no measurements to be missed


def test_a_named_database_that_is_not_there_is_said_once(capsys, tmp_path):
    session = Session(db=tmp_path / "typo.db")
    for _ in range(2):
        assert session.predict("lenet5", on="h100").seconds > 0
    said = capsys.readouterr().err
    assert said.count("goes on without the database of measurements (there is no file") == 1
    assert "typo.db" in said


def test_a_damaged_database_of_ones_own_does_not_stop_predictions(monkeypatch, capsys, tmp_path):
    from lydite.api import session as module

    module._say_without.cache_clear()
    (tmp_path / "lydite.db").write_text("no database")
    monkeypatch.delenv("LYDITE_DB", raising=False)
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_args, **_rest: tmp_path)
    session = Session()
    assert session.predict("lenet5", on="h100").seconds > 0
    assert session.simulate("lenet5", devices=2).seconds > 0
    assert capsys.readouterr().err.count("goes on without the database") == 1
    with pytest.raises(StoreError, match="is not a database"):
        Session(db=tmp_path / "lydite.db").predict("lenet5", on="h100")


def test_memory_needs_a_unit(refused):
    line = refused("profile", "lenet5", "--memory", "8")
    assert line == "--memory: '8' has no unit; allowed: such as '8 GiB'"


def test_what_does_not_fit_is_said_first(lydite):
    ran = lydite("predict", "llama3-70b", "--on", "h100", "--phase", "decode", "--json")
    document = json.loads(ran.out)
    assert document["fits"] is False
    assert document["needed_bytes"] > 141e9
    first = lydite("predict", "llama3-70b", "--on", "h100", "--phase", "decode").out.splitlines()[0]
    assert first.startswith("does not fit: needs 13")
    assert json.loads(lydite("predict", "lenet5", "--on", "h100", "--json").out)["fits"] is True
