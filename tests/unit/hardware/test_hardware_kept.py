"""What is kept of the catalog's files, from one start to the next."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lydite.hardware import kept as room
from lydite.hardware import known_devices
from lydite.hardware.chip import known_chips
from lydite.hardware.cluster import known_clusters
from lydite.hardware.device import Cache, Device
from lydite.hardware.kept import kept


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(room, "_folder", lambda: tmp_path / "catalog")
    return tmp_path / "catalog"


class Reader:
    """Reads a file as a value, and counts how often."""

    def __init__(self, value: Any) -> None:
        self.value, self.times = value, 0

    def __call__(self) -> Any:
        self.times += 1
        return self.value


VALUE = (Cache(1, 32768.0, None), ["a", 'b "c"\nd'], {"is": (1, 0.1 + 0.2), "of": [float("inf")]})


def test_a_value_is_read_once_and_rebuilt(folder: Path):
    read = Reader(VALUE)
    for _ in range(3):
        again = kept("one", "text", read)
        assert again == VALUE
        assert repr(again) == repr(VALUE)
    assert read.times == 1
    assert [path.name for path in folder.iterdir()] == ["one.json"]


def test_other_text_or_other_modules_read_anew(folder: Path, monkeypatch: pytest.MonkeyPatch):
    first, second, third = Reader(1), Reader(2), Reader(3)
    assert kept("one", "text", first) == 1
    assert kept("one", "other text", second) == 2
    assert kept("one", "other text", first) == 2
    monkeypatch.setattr(room, "_state", lambda: "changed")
    assert kept("one", "other text", third) == 3
    assert (first.times, second.times, third.times) == (1, 1, 1)
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("at", range(0, 400, 7))
def test_damage_reads_anew(folder: Path, at: int):
    kept("one", "text", Reader(VALUE))
    path = folder / "one.json"
    good = path.read_bytes()
    for bad in (good[: at % len(good)], good[:at] + b"\x00" + good[at + 1 :], b"\xff" + good):
        if bad == good:
            continue
        path.write_bytes(bad)
        read = Reader(VALUE)
        assert kept("one", "text", read) == VALUE
        assert read.times == 1
        assert path.read_bytes() == good


def test_a_folder_that_cannot_be_written_and_foreign_values_are_read_each_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    foreign = Reader({1: "key"})
    assert kept("two", "text", foreign) == kept("two", "text", foreign) == {1: "key"}
    assert foreign.times == 2
    folder.parent.joinpath("file").write_text("")
    monkeypatch.setattr(room, "_folder", lambda: folder.parent / "file" / "catalog")
    read = Reader(VALUE)
    assert kept("one", "text", read) == kept("one", "text", read) == VALUE
    assert read.times == 2


def test_only_classes_of_lydite_are_built(folder: Path):
    kept("one", "text", Reader(VALUE))
    path = folder / "one.json"
    state, _, _ = path.read_text().split("\n", 2)
    body = json.dumps({"is": "subprocess:Popen", "of": {"args": "false"}})
    path.write_text(f"{state}\n{room.sha256(body.encode()).hexdigest()}\n{body}")
    assert kept("one", "text", Reader("read")) == "read"


@pytest.mark.parametrize("known", [known_devices, known_chips, known_clusters])
def test_every_file_of_the_catalogs_is_the_same_when_rebuilt(known: Any):
    for value in known().values():
        again = room._built(json.loads(json.dumps(room._plain(value))))
        assert again == value
        assert repr(again) == repr(value)
        assert type(again) is type(value)
    assert all(type(each) is Device for each in known_devices().values())


@pytest.mark.parametrize(
    "command",
    [
        "predict resnet50 --on h100",
        "chip resnet50",
        "simulate llama2-70b --train --on dgx-h100 --tp 8 --batch 8",
    ],
)
def test_commands_that_ran_before_read_no_yaml(command: str, tmp_path: Path):
    code = f"""
import sys
from lydite.cli import main
sys.argv = ["lydite", *{command.split()!r}]
try:
    main()
except SystemExit as stop:
    assert not stop.code
loaded = [name for name in ("pydantic", "yaml") if name in sys.modules]
print("loaded", *loaded, file=sys.stderr)
"""
    environment = {**os.environ, "LYDITE_DB": str(tmp_path / "lydite.db")}
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        ).stderr
        for _ in range(2)
    ]
    assert said[1].splitlines()[-1] == "loaded"
