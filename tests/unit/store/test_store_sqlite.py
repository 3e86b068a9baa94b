"""The contract on SQLite, and what only a file can suffer."""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from store_contract import StoreContract, kill_a_writer
from store_samples import measured

from lydite.errors import MissingExtra, StoreError
from lydite.store import Database, Run


class TestSqlite(StoreContract):
    @pytest.fixture
    def target(self, tmp_path):
        return tmp_path / "folder with #, ? and %" / "lydite.db"


@pytest.fixture
def filled(tmp_path) -> Path:
    path = tmp_path / "filled.db"
    with Database.open(path) as database:
        database.load([Run("profile"), *(measured(size) for size in range(200))])
    return path


def test_default_place(tmp_path, monkeypatch):
    monkeypatch.delenv("LYDITE_DB", raising=False)
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_, **__: tmp_path / "data")
    with Database.open() as database:
        assert database.where == str(tmp_path / "data" / "lydite.db")
    monkeypatch.setenv("LYDITE_DB", str(tmp_path / "named.db"))
    with Database.open() as database:
        assert database.where == str(tmp_path / "named.db")
    with Database.open(f"sqlite:///{tmp_path}/url.db") as database:
        assert database.where == f"{tmp_path}/url.db"


def test_write_ahead_log(filled):
    with sqlite3.connect(filled) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


@pytest.mark.parametrize(
    "url", ["mysql://me:secret@host/db", "sqlite://", "postgresql://h:secret/"]
)
def test_urls_that_are_none(url):
    with pytest.raises(StoreError) as caught:
        Database.open(url)
    assert "allowed: a file name, or postgresql://" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_no_server():
    pytest.importorskip("psycopg")
    with pytest.raises(StoreError, match="cannot reach the server") as caught:
        Database.open("postgresql://me:secret@127.0.0.1:1/lydite")
    assert "secret" not in str(caught.value)


def test_no_driver(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"lydite\[postgres\]"):
        Database.open("postgresql://127.0.0.1/lydite")


def test_a_folder(tmp_path):
    with pytest.raises(StoreError, match="is a folder"):
        Database.open(tmp_path)


def test_inside_a_file(filled):
    with pytest.raises(StoreError, match="cannot be opened"):
        Database.open(filled / "inside.db")


@pytest.mark.parametrize("path", ["a\0b", "x" * 300], ids=["nul", "long"])
def test_impossible_names(tmp_path, path):
    with pytest.raises(StoreError):
        Database.open(str(tmp_path / path))


def test_nothing_there(tmp_path):
    with pytest.raises(StoreError, match="no such database"):
        Database.open(tmp_path / "none.db", read_only=True)
    assert not list(tmp_path.iterdir())


def test_an_empty_file_becomes_a_database(tmp_path):
    path = tmp_path / "empty.db"
    path.touch()
    with pytest.raises(StoreError, match="no such database"):
        Database.open(path, read_only=True)
    with Database.open(path) as database:
        assert database.add([measured(1)]) == 1


@pytest.mark.parametrize("content", [b"a line of text\n" * 100, b"\0" * 5000, b"SQLite format 3\0"])
def test_not_a_database(tmp_path, content):
    path = tmp_path / "other.db"
    path.write_bytes(content)
    with pytest.raises(StoreError):
        Database.open(path)
    assert path.read_bytes() == content


def test_another_programs_database(tmp_path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE meta (name TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="is not a Lydite database"):
        Database.open(path, read_only=True)
    assert path.read_bytes() == before


@settings(
    max_examples=60,
    suppress_health_check=[
        *settings.default.suppress_health_check,
        HealthCheck.function_scoped_fixture,
    ],
)
@example(places=[3270], value=128, cut=None)  # in a name, so that SQLite's message is not UTF-8
@given(
    places=st.lists(st.integers(0, 10**6), min_size=1, max_size=30),
    value=st.integers(0, 255),
    cut=st.none() | st.integers(0, 10**6),
)
def test_a_damaged_file_gives_one_clear_error(filled, places, value, cut):
    data = bytearray(filled.read_bytes())
    for place in places:
        data[place % len(data)] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.db"
        path.write_bytes(data if cut is None else data[: cut % len(data)])
        try:
            with Database.open(path) as database:
                list(database.dump())
                database.stats()
                database.lookup([measured(1).key], device="cpu-a")
                database.add([measured(1000)])
        except StoreError as error:
            assert str(path) in str(error)


def test_disk_full(filled, monkeypatch):
    from lydite.store import connect

    raw = connect._raw

    def small(*arguments):
        connection = raw(*arguments)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages + 2}")
        return connection

    monkeypatch.setattr(connect, "_raw", small)
    with Database.open(filled) as database:
        with pytest.raises(StoreError, match=r"disk is full.*nothing was changed"):
            database.add(measured(size, 2e-3) for size in range(5000))
        assert database.stats()["measurements"] == 200
    monkeypatch.undo()
    with Database.open(filled) as database:
        assert database.add([measured(1000)]) == 1
        assert database.stats()["measurements"] == 201


def test_sound_after_a_kill(tmp_path):
    path = tmp_path / "killed.db"
    kill_a_writer(path)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


@pytest.fixture
def unprivileged(filled):
    """A copy that belongs to root, seen by a user who is not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        path = Path(folder) / "theirs.db"
        path.write_bytes(filled.read_bytes())
        path.chmod(0o444)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield path
        finally:
            if root:
                os.seteuid(0)
            Path(folder).chmod(0o755)


def test_a_file_that_may_not_be_written(unprivileged):
    with pytest.raises(StoreError, match=r"read-only|cannot be opened"):
        Database.open(unprivileged)


def test_reading_where_nothing_may_be_written(unprivileged):
    with Database.open(unprivileged, read_only=True) as database:
        assert database.stats()["measurements"] == 200
        with pytest.raises(StoreError, match="read-only"):
            database.add([measured(1000)])


def test_in_memory():
    with Database.in_memory() as one, Database.in_memory() as other:
        assert one.add([measured(1)]) == 1
        assert other.stats()["measurements"] == 0
        assert list(one.query()) == [measured(1)]
