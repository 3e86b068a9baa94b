"""Timelines of a folder: listed, drawn window by window, and nothing outside the folder."""

from __future__ import annotations

import numpy as np
import pytest
from dashboard_rows import EVIL, TOKEN, text_of

from lydite.errors import InputError
from lydite.report import Slice, write_trace

SLICES = [
    Slice("gpu 0", "MatMul", 0.0, 3e-6, {"kind": "compute"}),
    Slice("gpu 0", EVIL, 5e-6, 5e-6, {"kind": "exchange"}),
    Slice(EVIL, "Add", 2e-6, 1e-6, {"kind": "compute"}),
]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "traces"
    write_trace(folder / "step.npz", SLICES, process="p")
    (folder / "broken.npz").write_text("hello")
    (tmp_path / "secret.npz").write_text("secret")
    return folder


@pytest.fixture
def client(filled, client_of, folder):
    browser = client_of(filled.path, timelines=folder)
    browser.get("/", params={"token": TOKEN})
    return browser


def test_the_list_and_the_table(client):
    page = client.get("/timelines")
    assert "step.npz" in page.text
    page = client.get("/timeline", params={"name": "step.npz"})
    assert "<script>alert" not in page.text
    text = text_of(page.text)
    assert "gpu 0 8.00 us 80.0 % 2" in text
    assert "1.00 us 10.0 % 1" in text
    given = {"name": "step.npz", "begin": "1000000", "end": "6000000", "chart": "1"}
    text = text_of(client.get("/timeline", params=given).text)
    assert "gpu 0 3.00 us 60.0 % 1" in text


def test_bars_are_shares_and_categories(client):
    answer = client.get("/timeline/bars", params={"name": "step.npz", "pixels": "10"})
    share = np.frombuffer(answer.content[:80], "<f4").reshape(2, 10)
    category = np.frombuffer(answer.content[80:], "<i2").reshape(2, 10)
    assert share.tolist() == [[1, 1, 1, 0, 0, 1, 1, 1, 1, 1], [0, 0, 1, *[0] * 7]]
    assert category[0].tolist() == [0, 0, 0, -1, -1, 1, 1, 1, 1, 1]


def test_a_slice_by_its_place(client):
    given = {"name": "step.npz", "row": "0", "time": "5500000"}
    found = client.get("/timeline/slice", params=given).json()
    assert found == {"name": EVIL, "category": "exchange", "start": "5.00 us", "length": "5.00 us"}
    given["time"] = "4000000"
    assert client.get("/timeline/slice", params=given).json() == {}


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"name": "../secret.npz"}, 404),
        ({"name": "none.npz"}, 404),
        ({"name": "broken.npz"}, 400),
        ({"name": "step.npz", "begin": "9", "end": "3"}, 400),
        ({"name": "step.npz", "begin": "x"}, 400),
        ({"name": "step.npz", "end": "9" * 16}, 400),
        ({}, 400),
    ],
)
def test_windows_and_names_that_are_refused(client, given, status):
    for path in ("/timeline", "/timeline/bars"):
        answer = client.get(path, params=given)
        assert answer.status_code == status
    many = {"name": "step.npz", "pixels": "99999"}
    assert client.get("/timeline/bars", params=many).status_code == 400


def test_the_trace_of_perfetto_lies_beside(client, folder):
    assert client.get("/timeline/trace", params={"name": "step.npz"}).status_code == 404
    (folder / "step.pftrace").write_bytes(b"trace")
    answer = client.get("/timeline/trace", params={"name": "step.npz"})
    assert answer.content == b"trace"
    assert "attachment" in answer.headers["content-disposition"]
    assert "Perfetto" in client.get("/timeline", params={"name": "step.npz"}).text


def test_without_a_folder_there_is_no_page(filled, client_of, tmp_path):
    browser = client_of(filled.path)
    browser.get("/", params={"token": TOKEN})
    assert "Timelines" not in browser.get("/runs").text
    assert browser.get("/timelines").status_code == 404
    with pytest.raises(InputError, match="is not a folder"):
        client_of(filled.path, timelines=tmp_path / "none")
