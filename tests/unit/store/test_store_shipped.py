"""Databases that come with the package."""

from __future__ import annotations

import os

import pytest
from store_samples import key_of, measured

from lydite.errors import InputError
from lydite.store import Database, export_file, open_shipped, shipped, shipped_devices


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "shipped"
    folder.mkdir()
    monkeypatch.setattr(shipped, "_folder", lambda: folder)
    return folder


def test_what_the_package_has_can_be_opened():
    for name in shipped_devices():
        database = open_shipped(name)
        assert database is not None
        found = database.device(name)
        assert found is not None
        assert found.name == name


def test_found_by_name(folder):
    name = "Xeon(R) 8481C / 2 cores @ 2.0 GHz"
    with Database.in_memory() as database:
        database.add([measured(1, device=name)])
        export_file(database, folder / "plain.jsonl.gz")
        export_file(database, folder / "Xeon%28R%29 8481C %2F 2 cores %40 2.0 GHz.jsonl.gz")
    (folder / "README.md").touch()
    assert shipped_devices() == [name, "plain"]
    found = open_shipped(name)
    assert found is not None
    assert found.lookup([key_of(1)], device=name)[key_of(1).digest] == [measured(1, device=name)]


def test_unknown(folder):
    assert open_shipped("h100") is None
    folder.rmdir()
    assert shipped_devices() == []


def test_damaged(folder):
    (folder / "h100.jsonl.gz").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"h100\.jsonl\.gz"):
        open_shipped("h100")


def test_a_changed_file_is_read_anew(folder):
    def write(*numbers: int) -> None:
        with Database.in_memory() as database:
            database.add([measured(number, device="h100") for number in numbers])
            export_file(database, folder / "h100.jsonl.gz")

    def count() -> int:
        found = open_shipped("h100")
        assert found is not None
        return len(list(found.query()))

    write(1)
    assert [count(), count()] == [1, 1]
    os.utime(folder / "h100.jsonl.gz", ns=(0, 0))
    write(1, 2)
    assert count() == 2
