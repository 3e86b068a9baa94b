"""Who gets in, what is refused, and that nothing is ever changed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from dashboard_rows import EVIL, TOKEN, fill, text_of
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from lydite.api.dashboard import Reader
from lydite.errors import StoreError
from lydite.store import Database
from lydite.store.schema import SCHEMA_VERSION


def test_the_token_stands_once_in_the_address(filled, client_of):
    client = client_of(filled.path)
    assert client.get("/runs").status_code == 401
    assert client.get("/runs", params={"token": "guess"}).status_code == 403
    assert client.get("/runs", params={"token": ""}).status_code == 403
    answer = client.get("/runs", params={"status": "done", "token": TOKEN})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/runs?status=done"
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("lydite_8420=")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert TOKEN not in cookie
    assert client.get("/runs").status_code == 200


def test_the_redirect_stays_here(filled, client_of):
    client = client_of(filled.path)
    for path in ("//evil.example/", "/\\evil.example", "/%5cevil.example", "/%2f%2fevil.example"):
        answer = client.get(f"http://127.0.0.1:8420{path}", params={"token": TOKEN})
        assert answer.status_code == 303
        assert not answer.headers["location"].startswith(("//", "/\\"))


def test_a_cookie_of_another_port_or_another_token_is_none(filled, client_of):
    client = client_of(filled.path)
    client.get("/", params={"token": TOKEN})
    value = client.cookies["lydite_8420"]
    client.cookies.clear()
    for cookie in (f"lydite_8421={value}", "lydite_8420=", "lydite_8420=é", f"lydite_8420={TOKEN}"):
        answer = client.get("/runs", headers={"cookie": cookie.encode("latin-1")})
        assert answer.status_code == 401, cookie


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:8420", True),
        ("LOCALHOST:8420", True),
        ("[::1]:8420", True),
        ("lab.example.org", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("127.0.0.1:8420@evil.example", False),
        ("evil.example:127.0.0.1", False),
        ("www.lab.example.org", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_hosts(filled, client_of, host, allowed):
    client = client_of(filled.path, allow_hosts=["lab.example.org"])
    client.get("/", params={"token": TOKEN})
    cookie = f"lydite_8420={client.cookies['lydite_8420']}"
    client.cookies.clear()
    answer = client.get("/runs", headers={"host": host, "cookie": cookie})
    assert answer.status_code == (200 if allowed else 400)


@pytest.mark.parametrize("path", ["/runs", "/nope", "/run?id=x", "/static/lydite.css", "/run"])
def test_every_answer_has_the_headers(client, path):
    answer = client.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"


def test_refusals_have_the_headers_too(filled, client_of):
    client = client_of(filled.path)
    for answer in (
        client.get("/runs"),
        client.get("/runs", headers={"host": "evil.example"}),
        client.post("/runs"),
    ):
        assert answer.status_code >= 400
        assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_what_no_page_sends_is_refused(client):
    assert client.post("/runs").status_code == 405
    assert client.delete("/runs").status_code == 405
    assert client.request("GET", "/runs", content=b"x" * 100_000).status_code == 413
    assert client.get("/runs", params={"command": "x" * 5000}).status_code == 414


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/runs?comand=x", "did you mean 'command'?"),
        ("/runs?status=gone", "Allowed: running, done, failed, interrupted"),
        ("/runs?after=x", "is no place in this list"),
        ("/runs?command=a&command=b", "stands twice"),
        ("/runs?command=%00", "holds a character"),
        ("/run", "lacks 'id='"),
        ("/measurements?op_type=Add", "without a device"),
        ("/roofline?device=cpx", "did you mean 'cpu'?"),
        ("/measurements?after=a~b~c", "is no place in this list"),
    ],
)
def test_bad_addresses_say_what_is_wrong(client, path, said):
    answer = client.get(path)
    assert answer.status_code == 400
    assert said in text_of(answer.text)


def test_places_that_a_result_does_not_have(client, filled):
    for at in ("/nope", "designs", "/designs/999", "/designs/-1", "/designs/x", "/step_s/x", "/~2"):
        answer = client.get("/run", params={"id": filled.document, "at": at})
        assert answer.status_code == 404, at
    for given in ({"start": "-1"}, {"start": "x"}, {"start": "9" * 30}, {"x": "no", "chart": "1"}):
        given = {"id": filled.document, "at": "/designs", **given}
        assert client.get("/run", params=given).status_code == 400, given


def test_ids_of_another_kind_lead_there(client, filled):
    answer = client.get("/run", params={"id": filled.measured})
    assert answer.status_code == 404
    assert f'href="/measurement?id={filled.measured}"' in answer.text
    answer = client.get("/measurement", params={"id": filled.first})
    assert answer.status_code == 404
    assert f'href="/run?id={filled.first}"' in answer.text
    assert "It is the id of a device" in client.get("/run?id=cpu").text


def test_a_run_that_was_deleted(client, filled):
    with sqlite3.connect(filled.path) as connection:
        connection.execute("DELETE FROM runs WHERE id = ?", [filled.document])
    for page in (f"/run?id={filled.document}", f"/compare?a={filled.first}&b={filled.document}"):
        answer = client.get(page)
        assert answer.status_code == 404
        assert "was it deleted?" in answer.text
    assert client.get("/runs").status_code == 200


def test_a_database_that_is_gone_and_comes_back(client, filled):
    Path(filled.path).rename(f"{filled.path}.away")
    answer = client.get("/runs")
    assert answer.status_code == 503
    assert "no such database" in answer.text
    fill(filled.path)
    assert client.get("/runs").status_code == 200


def test_a_database_that_became_newer(client, filled):
    with sqlite3.connect(filled.path) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", ["99"])
    answer = client.get("/runs")
    assert answer.status_code == 503
    assert "pip install --upgrade lydite" in answer.text


def test_a_database_that_is_locked(client, filled):
    client.reader.close()
    writer = sqlite3.connect(filled.path, isolation_level=None)
    writer.execute("PRAGMA locking_mode=EXCLUSIVE")
    writer.execute("PRAGMA journal_mode=DELETE")
    writer.execute("BEGIN EXCLUSIVE")
    answer = client.get("/runs")
    writer.close()
    assert answer.status_code == 503
    assert "locked" in answer.text
    assert client.get("/runs").status_code == 200


def test_nothing_can_be_changed(filled):
    reader = Reader(filled.path)
    for statement in ("DELETE FROM runs", "CREATE TABLE x(y)", "UPDATE meta SET value = 'x'"):
        with pytest.raises(StoreError, match="read-only"), reader.reading() as connection:
            connection.execute(text(statement))
    with reader.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA query_only").scalar() == 1
    reader.close()
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        # Without the setting, the way that the file was opened still refuses.
        _without_setting(filled.path)


def _without_setting(path):
    reader = Reader(path)
    try:
        with reader.reading() as connection:
            connection.exec_driver_sql("PRAGMA query_only=OFF")
            connection.exec_driver_sql("DELETE FROM runs")
    except StoreError as error:
        assert isinstance(error.__cause__, DBAPIError)
        raise error.__cause__.orig from None
    finally:
        reader.close()


def test_a_query_has_a_limit(filled):
    reader = Reader(filled.path, limit_s=0.05)
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
    with pytest.raises(StoreError, match=r"longer than 0\.05 s"), reader.reading() as connection:
        connection.execute(text(endless)).all()
    with reader.reading() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    reader.close()


def test_an_older_schema_is_not_touched(tmp_path):
    path = tmp_path / "old.db"
    Database.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = ?", [str(SCHEMA_VERSION - 1)])
    with pytest.raises(StoreError, match="lydite db stats"):
        Reader(str(path))


@pytest.mark.parametrize(
    ("change", "said"),
    [("UPDATE meta SET value = '1'", "older schema"), ("DROP TABLE trials", "lacks the table")],
)
def test_a_schema_that_changes_under_a_server_is_noticed(filled, change, said):
    reader = Reader(filled.path)
    for _ in range(2):
        with reader.reading():
            pass
    with sqlite3.connect(filled.path) as connection:
        connection.execute(change)
    with pytest.raises(StoreError, match=said), reader.reading():
        pass
    reader.close()


def test_no_database(tmp_path):
    with pytest.raises(StoreError, match="no such database"):
        Reader(str(tmp_path / "none.db"))
    assert not (tmp_path / "none.db").exists()


def test_the_evil_name_is_evil():
    assert "<script>" in EVIL
    assert "\x1b" in EVIL
