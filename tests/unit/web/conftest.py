"""A browser that has the token, and one that has not."""

import pytest
from dashboard_rows import TOKEN, fill

pytest.importorskip("starlette", reason="starlette is not installed: pip install 'lydite[web]'")
pytest.importorskip("httpx2", reason="httpx2 is not installed, which the test client needs")

from starlette.testclient import TestClient

from lydite.api.dashboard import Reader
from lydite.web import make_app


@pytest.fixture
def filled(tmp_path):
    return fill(str(tmp_path / "filled.db"))


@pytest.fixture
def client_of(request):
    """Makes a client of a database, without the token."""

    def made(path, **given):
        reader = Reader(path)
        request.addfinalizer(reader.close)
        app = make_app(reader, token=TOKEN, port=8420, **given)
        client = TestClient(app, base_url="http://127.0.0.1:8420", follow_redirects=False)
        client.reader = reader
        return client

    return made


@pytest.fixture
def client(filled, client_of):
    browser = client_of(filled.path)
    assert browser.get("/", params={"token": TOKEN}).status_code == 303
    return browser
