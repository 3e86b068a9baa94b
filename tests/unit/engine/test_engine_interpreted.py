"""Kernels that Python runs itself: the answer of the machine code, for as long as that is quick."""

import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from test_engine_reference import agree, systems

from lydite.engine import compiled, interpreted
from lydite.engine.interpreted import Patience
from lydite.engine.kernels import jit
from lydite.engine.kernels.jit import Kernel, inlined, kernel
from lydite.engine.kernels.processor import nearest, pick, prefetch

_by_machine = Kernel._interpreted


def _always(self, *arguments):
    (value,), _ = interpreted.run(self.function, arguments, 10**9)
    return value


@given(systems(flows=True, fifo=False, slow=True))
def test_the_engine_interpreted_agrees_with_a_plain_one(system):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Kernel, "__call__", _always)
        agree(system)


RECORD = np.dtype([("at", np.int32), ("is_new", np.bool_), ("parts", np.float64, 2)], align=True)


class World(NamedTuple):
    records: np.ndarray
    numbers: np.ndarray
    grid: np.ndarray


@inlined
def swap(w, one, other):
    w.records[one], w.grid[0, one] = w.records[other], w.grid[1, other]


@kernel
def stir(w, factor):
    prefetch(w.records, 0)
    for row in range(len(w.records)):
        record = w.records[row]
        record.is_new = not record.is_new
        record.at += 2 * row
        record.parts[1] = nearest(record.parts[0] * factor)
    part = w.numbers[2:5]
    for at in range(len(part)):
        part[at] = pick(part[at] > 3, -1, part[at])
    lower = w.grid[1]
    lower[0] = w.numbers[2] + w.grid.shape[1]
    swap(w, 0, 1)
    return len(w.records), len(w.grid)


def _world():
    rng = np.random.default_rng(3)
    records = np.zeros(4, RECORD)
    records["at"] = [5, 6, 7, 8]
    records["parts"] = rng.random((4, 2)) * 9
    return World(records, np.arange(6), rng.random((2, 3)))


def test_records_grids_and_slices_are_changed_in_place_as_by_machine_code(monkeypatch, tmp_path):
    monkeypatch.setattr(jit, "folder", lambda *_: tmp_path)
    made, found = _world(), _world()
    (value,), _ = interpreted.run(stir.function, (made, np.float64(2.0)), 1000)
    stir.forget()
    assert value == stir(found, 2.0) == (4, 2)
    for one, other in zip(made, found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert made.grid[0, 0] == _world().grid[1, 1]
    assert made.records["is_new"].all()


@inlined
def add(items, at):
    items[at] += 1


@kernel
def counting(items, times):
    for _ in range(times):
        add(items, 0)
    return items[0]


@kernel
def dividing(items, by):
    items[0] = 7.0
    items[1] = items[1] / by
    return items[1]


def test_what_takes_too_long_leaves_the_arrays_as_they_were():
    items = np.zeros(3, np.int64)
    assert interpreted.run(counting.function, (items, 11), 10) == ([], 10)
    assert items.tolist() == [0, 0, 0]
    assert interpreted.run(counting.function, (items, 10), 10) == ([10], 10)
    assert interpreted.run(counting.function, (np.zeros(11, np.int64), 1), 10) == ([], 0)


def test_where_numbers_of_python_differ_the_machine_code_answers(monkeypatch, tmp_path):
    monkeypatch.setattr(jit, "folder", lambda *_: tmp_path)
    monkeypatch.setattr(jit, "seconds_of", lambda _: 1.0)
    dividing.forget()
    items = np.array([1.0, 1.0])
    assert interpreted.run(dividing.function, (items, 0.0), 10)[0] == []
    assert items.tolist() == [1.0, 1.0]
    assert dividing(items, 0.0) == np.inf


def test_what_was_interpreted_for_long_enough_is_compiled(monkeypatch, tmp_path):
    monkeypatch.setattr(jit, "folder", lambda *_: tmp_path)
    monkeypatch.setattr(jit, "seconds_of", lambda _: 1e-4)  # 100 helpers, 50 in one process
    monkeypatch.setattr(Kernel, "_interpreted", _by_machine)
    items, files = np.zeros(1, np.int64), []
    for _ in range(6):
        counting.forget()
        counting._patience = None  # another process
        counting(items, 30)
        files.append(len(list(tmp_path.glob("*.kernel"))))
    assert items[0] == 180
    assert files == [0, 0, 0, 1, 1, 1]
    assert (tmp_path / f"{__name__}.counting.calls").read_text() == "100"


def test_one_process_interprets_for_half_of_the_time(tmp_path):
    patience, items = Patience(tmp_path / "a" / "tally", 1e-4), np.zeros(1, np.int64)
    answers = [patience.run(counting.function, (items, 30)) for _ in range(3)]
    assert answers == [[30], [], []]
    assert (tmp_path / "a" / "tally").read_text() == "50"


@pytest.mark.parametrize("damage", [b"", b"many", b"\xff\xfe", b"-5", b"9" * 5000])
def test_a_damaged_tally_is_no_failure(tmp_path, damage):
    (tmp_path / "tally").write_bytes(damage)
    items = np.zeros(1, np.int64)
    assert Patience(tmp_path / "tally", 1e-4).run(counting.function, (items, 3)) in ([3], [])


def test_a_folder_that_cannot_be_written_is_no_failure(tmp_path):
    (tmp_path / "file").touch()
    patience = Patience(tmp_path / "file" / "tally", 1e-4)
    assert patience.run(counting.function, (np.zeros(1, np.int64), 3)) == [3]


def test_a_small_first_simulation_needs_no_compiler(tmp_path):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from lydite.engine import Servers, Tasks, simulate\n"
        "from lydite.engine.kernels import jit\n"
        "jit.folder = lambda *_: Path(sys.argv[1])\n"
        "assert simulate(Tasks.of([3, 4], [0, 0]), Servers.of(1)).makespan_ps == 7\n"
        "sys.exit('numba' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=False, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert not list(tmp_path.glob("*.kernel"))


def test_who_compiles_says_so_once(monkeypatch):
    said = []
    monkeypatch.setattr(compiled, "_announced", set())
    compiled.load("tables", said.append)
    for _ in range(2):
        compiled.announce("lydite.engine.kernels.tables")
    assert said == ["compiling the engine: tables (once, ~1 s)"]
    monkeypatch.setattr(compiled, "_announced", set())
    compiled.hush()
    compiled.announce("lydite.engine.kernels.tables")
    assert len(said) == 1
    assert compiled.seconds_of("lydite.engine.kernels.layout") == 0
