"""The dashboard's pages over a PostgreSQL server."""

from __future__ import annotations

import pytest
from dashboard_rows import TOKEN, fill

pytest.importorskip("starlette", reason="starlette is not installed: pip install 'lydite[web]'")
pytest.importorskip("httpx2", reason="httpx2 is not installed, which the test client needs")

import sqlalchemy
from starlette.testclient import TestClient

from lydite.api.dashboard import Reader
from lydite.errors import StoreError
from lydite.store import Database
from lydite.web import make_app
from lydite.web.urls import PATHS


@pytest.fixture
def filled(target):
    return fill(target)


@pytest.fixture
def client(filled, target):
    reader = Reader(target)
    app = make_app(reader, token=TOKEN, port=8420)
    browser = TestClient(app, base_url="http://127.0.0.1:8420", follow_redirects=False)
    assert browser.get("/", params={"token": TOKEN}).status_code == 303
    yield browser
    reader.close()


def test_every_page_answers(client, filled):
    chart = {"chart": "1", "x": "cost_usd", "y": "step_s"}
    for page, given in [
        ("runs", {}),
        ("run", {"id": filled.first}),
        ("run", {"id": filled.document, "at": "/designs", **chart}),
        ("measurements", {"run": filled.first}),
        ("measurements", {"device": "cpu", "op_type": "Add", "status": "ok"}),
        ("measurement", {"id": filled.measured, "chart": "1"}),
        ("coverage", {}),
        ("compare", {"a": filled.first, "b": filled.second}),
        ("roofline", {"device": "nvidia-l4", "chart": "1"}),
        ("live", {}),
    ]:
        answer = client.get(PATHS[page], params=given)
        assert answer.status_code == 200, (page, given, answer.text[-500:])


def test_nothing_can_be_written(target, filled):
    reader = Reader(target)
    with pytest.raises(StoreError, match="read-only"), reader.reading() as connection:
        connection.execute(sqlalchemy.text("DELETE FROM runs"))
    reader.close()


def test_coverage_is_that_of_the_rows(client, target, filled):
    with Database.open(target) as database:
        assert database.coverage() == database.coverage(recount=True) != []
