"""Measurements in memory, and of a database that is not opened, answer as the database does."""

from __future__ import annotations

import subprocess
import sys

import pytest
from store_samples import key_of, measured

from lydite.store import Conditions, Database, DeviceRecord, Software, Table, Unopened
from lydite.store.unopened import device_names

ROWS = [
    measured(n, device=device, software=Software(backend, {backend: version}), **more)
    for n, device, backend, version, more in (
        (1, "a", "onnxruntime", "1", {}),
        (1, "a", "onnxruntime", "2", {"measured_at": "2030-01-01T00:00:00Z"}),
        (1, "a", "torch", "2", {"conditions": Conditions(threads=2)}),
        (2, "a", "torch", "2", {"conditions": Conditions(scope="in_graph", cache="cold")}),
        (2, "b", "torch", "2", {"status": "timeout", "samples_s": []}),
        (3, "a", "vllm", "0.9", {"source": "imported:somewhere"}),
        (4, "a", "vllm", "0.9", {"source": "imported:somewhere"}),
        (4, "a", "sglang", "0.9", {"source": "imported:somewhere else"}),
    )
]
KEYS = [key_of(n) for n in range(1, 6)]
VLLM = Software("vllm", {"vllm": "0.9"})
QUESTIONS = {
    "a device": lambda r: r.device("a"),
    "no device": lambda r: r.device("c"),
    "lookup": lambda r: r.lookup(KEYS, device="a"),
    "lookup on another": lambda r: r.lookup(KEYS, device="b", status=None),
    "lookup by backend": lambda r: r.lookup(KEYS, device="a", backend="onnxruntime"),
    "lookup by threads": lambda r: r.lookup(KEYS, device="a", threads=2),
    "lookup of all": lambda r: r.lookup(KEYS, device="a", scope=None, status=None),
    "lookup in the cold": lambda r: r.lookup(KEYS, device="a", scope=None, cache="cold"),
    "rows of a type": lambda r: r.rows_for(
        [(KEYS[0].domain, KEYS[0].op_type)], device="a", backend="onnxruntime"
    ),
    "rows of no type": lambda r: r.rows_for([("", "Nothing")], device="a"),
    "foreign softwares": lambda r: r.foreign_softwares("a"),
    "no foreign softwares": lambda r: r.foreign_softwares("b"),
    "foreign times": lambda r: sorted(
        r.foreign_times(
            VLLM, device="a", begins=[(KEYS[0].domain, KEYS[0].op_type, KEYS[3].text[:-3])]
        )
    ),
    "query": lambda r: list(r.query(device="a", status="ok", backend="vllm")),
    "query with a limit": lambda r: len(list(r.query(device="a", limit=2))),
    "query by source": lambda r: list(r.query(device="a", source="imported:somewhere else")),
}


def _sorted(answer: object) -> object:
    """Rows of one moment have no order of their own."""
    if isinstance(answer, dict):
        return {name: _sorted(rows) for name, rows in answer.items()}
    if isinstance(answer, list) and answer and hasattr(answer[0], "id"):
        return sorted(row.id for row in answer)
    return answer


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("readings") / "rows.db"
    with Database.open(path) as database:
        database.add(ROWS)
        database.add_device("a", {"cores": 2})
    return path


@pytest.mark.parametrize("question", QUESTIONS)
def test_all_answer_alike(file, question):
    ask = QUESTIONS[question]
    with Database.open(file) as database:
        table = Table([*ROWS, DeviceRecord("a", {"cores": 2})])
        answers = [_sorted(ask(each)) for each in (database, table, Unopened(file, lambda: table))]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0] or question.startswith(("no ", "rows of no"))


def test_newer_rows_come_first():
    newest, older = Table(ROWS).lookup(KEYS, device="a", backend="onnxruntime")[KEYS[0].digest]
    assert newest.measured_at > older.measured_at


def _refuse():
    raise AssertionError("opened")


def test_a_database_without_rows_of_the_device_is_not_opened(file, tmp_path):
    for readings in (Unopened(file, _refuse), Unopened(tmp_path / "missing.db", _refuse)):
        assert readings.device("c") is None
        assert readings.lookup(KEYS, device="c") == {}
        assert readings.rows_for([("", "Conv")], device="c") == []
        assert readings.foreign_softwares("c") == []
        assert readings.foreign_times(VLLM, device="c", begins=[("", "Conv", "")]) == []
        assert list(readings.query(device="c")) == []
    assert not (tmp_path / "missing.db").exists()
    for ask in (lambda r: r.device("a"), lambda r: list(r.query())):
        with pytest.raises(AssertionError, match="opened"):
            ask(Unopened(file, _refuse))


def test_what_cannot_be_read_at_a_glance_is_opened(tmp_path):
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"no database" * 100)
    (tmp_path / "dangling.db").symlink_to(tmp_path / "nothing" / "x.db")
    for target in (damaged, tmp_path, "postgresql://host/x", tmp_path / "dangling.db", "a\0b"):
        assert device_names(target) is None


def test_a_file_that_may_not_be_looked_at_is_not_taken_for_missing(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    assert device_names(tmp_path / "x.db") == set()
    monkeypatch.setattr("lydite.store.unopened.os.lstat", refuse)
    assert device_names(tmp_path / "x.db") is None


def test_a_prediction_without_rows_needs_no_sqlalchemy(tmp_path):
    code = (
        "import sys, lydite\n"
        "assert lydite.Session(db=sys.argv[1]).predict('lenet5', on='h100').seconds > 0\n"
        "sys.exit('sqlalchemy' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.db")], check=False)
    assert ran.returncode == 0
