"""Files out and in again: nothing lost, nothing half, and every fault named with its line."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_contract import environments, measurements, same
from store_samples import key_of, measured

from lydite.errors import InputError, LyditeError, MissingExtra
from lydite.store import Database, DeviceRecord, Measurement, Run, export_file, import_file

SUFFIXES = [".jsonl", ".jsonl.gz", ".parquet"]
SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.fixture
def database():
    with Database.in_memory() as database:
        yield database


def fill(database: Database) -> None:
    run = database.start_run("profile", {"models": ["resnet50"]})
    database.start_run("bench", {"quick": True})
    database.finish_run(run, "done", {"measured": 2})
    database.add_device("cpu-a", {"cores": 2})
    failed = measured(3, samples_s=np.array([]), status="crash", error="signal 11\nof ä")
    database.add([measured(1, run=run), measured(2, energy_j=0.25, environment={"a": 1}), failed])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_there_and_back(database, tmp_path, suffix):
    fill(database)
    path = tmp_path / "new folder" / f"all{suffix}"
    assert export_file(database, path) == 3
    with Database.in_memory() as other:
        assert import_file(other, path)["measurements"] == 3
        assert set(import_file(other, path).values()) == {0}
        assert list(other.dump()) == list(database.dump())
        again = tmp_path / f"again{suffix}"
        export_file(other, again)
        assert again.read_bytes() == path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o644
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=25, suppress_health_check=SLOW)
@given(items=st.lists(measurements(), max_size=3), spec=environments)
def test_nothing_is_lost(tmp_path, suffix, items, spec):
    path = tmp_path / f"some{suffix}"
    with Database.in_memory() as database, Database.in_memory() as other:
        database.load([DeviceRecord("cpu-a", spec), *items])
        export_file(database, path)
        import_file(other, path)
        found = list(other.dump())
        for one, two in zip(found, database.dump(), strict=True):
            assert same(one, two) if isinstance(two, Measurement) else one == two


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_selection(database, tmp_path, suffix):
    fill(database)
    path = tmp_path / f"one{suffix}"
    assert export_file(database, path, status="crash") == 1
    assert export_file(database, path, device="none") == 0
    with Database.in_memory() as other:
        assert set(import_file(other, path).values()) == {0}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_older_file_stays_when_writing_fails(database, tmp_path, suffix, monkeypatch):
    fill(database)
    path = tmp_path / f"old{suffix}"
    path.write_bytes(b"old")

    def failing(**_):
        yield from Database.dump(database)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(database, "dump", failing)
    with pytest.raises(LyditeError, match=r"No space left on device.*nothing was changed"):
        export_file(database, path)
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_such_folder_or_file(database, tmp_path, suffix):
    (tmp_path / "file").touch()
    with pytest.raises(LyditeError, match="cannot write"):
        export_file(database, tmp_path / "file" / f"x{suffix}")
    with pytest.raises(InputError, match="cannot be read"):
        import_file(database, tmp_path / f"none{suffix}")
    with pytest.raises(InputError, match="cannot be read"):
        (tmp_path / f"folder{suffix}").mkdir()
        import_file(database, tmp_path / f"folder{suffix}")


def test_other_suffixes(database, tmp_path):
    for call in (export_file, import_file):
        with pytest.raises(InputError, match=r"allowed: \.jsonl, \.jsonl\.gz, \.parquet"):
            call(database, tmp_path / "table.csv")


def test_no_pyarrow(database, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for call in (export_file, import_file):
        with pytest.raises(MissingExtra, match=r"lydite\[parquet\]"):
            call(database, tmp_path / "table.parquet")


@pytest.fixture
def lines(database, tmp_path) -> list[dict]:
    """A good file, line by line: header, device, and two measurements."""
    database.add([measured(1), measured(2)])
    export_file(database, tmp_path / "good.jsonl")
    return [json.loads(line) for line in (tmp_path / "good.jsonl").read_text().splitlines()]


def attempt(folder: Path, text: str | bytes) -> str:
    """What an import says, once it is sure that it kept nothing."""
    path = folder / "bad.jsonl"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with Database.in_memory() as database:
        with pytest.raises(InputError) as caught:
            import_file(database, path)
        assert database.stats()["measurements"] == 0
        assert list(database.dump()) == []
    return str(caught.value).removeprefix(str(path))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"samples_s": [-1.0]}, "negative"),
        ({"samples_s": []}, "must have samples"),
        ({"samples_s": [True]}, "must be a list of numbers"),
        ({"samples_s": ["1"]}, "must be a list of numbers"),
        ({"samples_s": 1}, "must be a list of numbers"),
        ({"samples_s": [10**400]}, "out of range"),
        ({"samples_s": [float("nan")]}, "non-finite"),
        ({"threads": 0}, "threads is 0"),
        ({"cache": ["hot"]}, "cache is"),
        ({"status": "fine"}, "status is 'fine'; allowed: ok, crash"),
        ({"versions": {"a": 1}}, "versions"),
        ({"versions": None}, "versions"),
        ({"backend": 1}, "key and backend"),
        ({"key": "{}"}, "not an operator key"),
        ({"key": {}}, "key and backend"),
        ({"key": '{"op":1,"domain":"","version":1,"attrs":{},"inputs":[],"outputs":[]}'}, "key"),
        ({"key": "[" * 100_000}, "not an operator key"),
        ({"device": ""}, "device is ''"),
        ({"run": "nowhere"}, "neither the file nor the database has"),
        ({"extra": 1}, "unknown fields extra"),
        ({"kind": "opinion"}, "allowed: run, device, measurement"),
        ({"kind": ["run"]}, "allowed: run, device, measurement"),
        ({"kind": "run"}, "lacks"),
        ({"kind": "device"}, "lacks"),
    ],
)
def test_the_line_that_is_wrong(lines, tmp_path, change, said):
    lines[3] |= change
    message = attempt(tmp_path, "\n".join(map(json.dumps, lines)))
    assert message.startswith(":4: ")
    assert said in message


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"kind": ', "is not JSON"),
        ("[1]", "not a JSON object"),
        ("[" * 100_000, "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        ("1" * 5000, "is not JSON"),
    ],
    ids=["cut", "list", "deep", "bytes", "digits"],
)
def test_a_line_that_is_no_record(lines, tmp_path, line, said):
    raw = line if isinstance(line, bytes) else line.encode()
    good = "\n".join(map(json.dumps, lines)).encode()
    message = attempt(tmp_path, good + b"\n\n" + raw)
    assert message.startswith(":6: ")
    assert said in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("hello\n", ":1: is not JSON"),
        ('{"kind": "run"}\n', ":1: is not a Lydite export"),
        ('{"kind": "lydite", "version": 2}\n', ":1: has format version 2; allowed: 1 to 1"),
        ('{"kind": "lydite"}\n', ":1: has format version None"),
    ],
)
def test_another_file(tmp_path, text, said):
    assert said in attempt(tmp_path, text)


def test_a_truncated_archive(database, tmp_path):
    database.add(measured(size) for size in range(100))
    path = tmp_path / "all.jsonl.gz"
    export_file(database, path)
    whole = path.read_bytes()
    for part in (whole[: len(whole) // 2], b"no archive", whole[:-4] + b"\0\0\0\0", b""):
        path.write_bytes(part)
        with Database.in_memory() as other:
            with pytest.raises(InputError, match=r"all\.jsonl\.gz"):
                import_file(other, path)
            assert list(other.dump()) == []


def mutate(data: bytes, places: list[int], value: int, cut: int | None) -> bytes:
    mutated = bytearray(data)
    for place in places:
        mutated[place % len(mutated)] = value
    return bytes(mutated if cut is None else mutated[: cut % len(mutated)])


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=60, suppress_health_check=SLOW)
@given(
    places=st.lists(st.integers(0, 10**5), min_size=1, max_size=4),
    value=st.integers(0, 255),
    cut=st.none() | st.integers(0, 10**5),
)
def test_mutated_files_give_one_clear_error(exported, suffix, places, value, cut):
    path = exported.with_name(f"mutated{suffix}")
    whole = exported.with_name(f"all{suffix}").read_bytes()
    path.write_bytes(mutate(whole, places, value, cut))
    with Database.in_memory() as database:
        try:
            import_file(database, path)
        except InputError as error:
            assert str(path) in str(error)
            assert list(database.dump()) == []


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    with Database.in_memory() as database:
        fill(database)
        for suffix in SUFFIXES:
            export_file(database, folder / f"all{suffix}")
    return folder / "all"


def test_the_same_records_give_the_same_bytes(database, tmp_path):
    run = Run("profile")
    database.load([run, measured(1, run=run.id), measured(2)])
    with Database.in_memory() as other:
        other.load([run, measured(2)])
        other.add([measured(1, run=run.id)])
        for number, each in enumerate((database, other)):
            export_file(each, tmp_path / f"{number}.jsonl.gz")
    assert (tmp_path / "0.jsonl.gz").read_bytes() == (tmp_path / "1.jsonl.gz").read_bytes()
    assert gzip.decompress((tmp_path / "0.jsonl.gz").read_bytes()).count(b"\n") == 5


def test_parquet_for_a_data_frame(database, tmp_path):
    from pyarrow import parquet

    fill(database)
    export_file(database, tmp_path / "all.parquet")
    table = parquet.read_table(tmp_path / "all.parquet").to_pydict()
    assert table["op_type"] == ["Relu"] * 3
    assert sorted(table["median_s"], key=str) == [1e-3, 1e-3, None]
    assert set(table["key"]) == {key_of(size).text for size in (1, 2, 3)}
