"""Kernels: compiled once for their types, kept as machine code, loaded without numba."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numba import njit

from lydite.engine import compiler
from lydite.engine.kernels import jit
from lydite.engine.kernels.jit import called, inlined, kernel, special
from lydite.engine.machine_code import Code, read, write


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(jit, "folder", lambda *_: tmp_path)


@inlined
def inlined_half(items, at, more):
    return (items[at] + more) // 2


@called
def called_half(items, at, more):
    return (items[at] + more) // 2


@special
def more(number):
    return number + 2**40


class Pair(NamedTuple):
    numbers: np.ndarray
    weights: np.ndarray


@kernel
def total_inlined(items):
    whole = inlined_half(items, 0, 1)  # two literals
    for i in range(len(items)):  # int64 and a literal, int32 and int32
        whole += inlined_half(items, i, 1) + inlined_half(items, items[0], items[i])
    return whole


@kernel
def total_called(items):
    whole = called_half(items, 0, 1)
    for i in range(len(items)):
        whole += called_half(items, i, 1) + called_half(items, items[0], items[i])
    return whole


@kernel
def widened(narrow):
    return more(narrow[0]) + more(2**41)


@kernel
def weighted(pair, scale, negative, out):
    for i in range(len(pair.numbers)):
        out[i] = pair.numbers[i] * pair.weights[i] * scale
    if negative:
        out *= -1
    return out[0]


@kernel
def ends(table):
    return table[0, 0], table[len(table) - 1, table.shape[1] - 1], len(table)


@pytest.mark.parametrize("total", [total_inlined, total_called])
def test_a_kernel_answers_as_its_function_in_python(total):
    items = np.array([1, 2, 7], np.int32)
    expected = 1 + sum((x + 1) // 2 + (2 + x) // 2 for x in (1, 2, 7))
    assert total(items) == total.function(items) == expected


@pytest.mark.parametrize("kind", [inlined_half, called_half])
def test_a_helper_is_compiled_once_for_integers_of_any_width(kind, monkeypatch):
    made = []
    monkeypatch.setattr(
        compiler, "_dispatcher", lambda *given: made.append(dispatcher(*given)) or made[-1]
    )
    total = total_inlined if kind is inlined_half else total_called
    compiler.machine_code(total.function, [np.array([1], np.int32)])
    (helper,) = made
    assert len(helper.overloads) == 1


dispatcher = compiler._dispatcher


def test_a_number_beyond_32_bits_is_not_cut_short():
    assert widened(np.array([5], np.int32)) == 5 + 2**40 + 2**41 + 2**40


def test_tuples_floats_and_flags_are_passed():
    out = np.empty(2)
    pair = Pair(np.array([3, 4]), np.array([0.5, 2.0]))
    assert weighted(pair, 10.0, True, out) == -15.0
    assert out.tolist() == [-15.0, -80.0]


def test_several_numbers_are_returned():
    assert ends(np.arange(12).reshape(3, 4)) == (0, 11, 3)
    assert ends(np.arange(12).reshape(4, 3)[:, :2]) == (0, 10, 4)  # not contiguous


def test_another_type_is_compiled_apart(tmp_path):
    for dtype in (np.int32, np.int64, np.int32):
        total_inlined.forget()
        assert total_inlined(np.array([1, 2], dtype)) == total_inlined.function([1, 2])
    assert len(list(tmp_path.glob("*.kernel"))) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[:-1],
        lambda whole: whole[:20],
        lambda whole: b"",
        lambda whole: whole[:-9] + b"x" + whole[-8:],
        lambda whole: b"[]\n" + whole,
        lambda whole: b"\xff" * 100,
    ],
)
def test_damaged_machine_code_is_made_anew(tmp_path, damage):
    total_inlined.forget()
    items = np.array([1, 2, 7], np.int32)
    expected = total_inlined(items)
    (file,) = tmp_path.glob("*.kernel")
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert read(file) is None
    total_inlined.forget()
    assert total_inlined(items) == expected
    assert read(file) is not None


def test_a_folder_that_cannot_be_written_costs_only_the_next_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(jit, "folder", lambda *_: tmp_path / "file" / "below")
    total_called.forget()
    assert total_called(np.array([0], np.int64)) == total_called.function([0])


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", refuse)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path / "a.kernel", Code("f", 0, "i", b"code"))
    assert list(tmp_path.iterdir()) == []


def test_what_needs_numba_at_run_time_is_refused():
    def grows(count):
        return len(np.empty(count))

    with pytest.raises(Exception, match="Only accept returning of array"):
        compiler.machine_code(grows, [3])


def test_known_machine_code_is_loaded_without_numba():
    code = (
        "import sys\n"
        "from lydite.engine import Servers, Tasks, simulate\n"
        "assert simulate(Tasks.of([3, 4], [0, 0]), Servers.of(1)).makespan_ps == 7\n"
        "sys.exit('numba' in sys.modules)"
    )
    ran = [subprocess.run([sys.executable, "-c", code], check=False) for _ in range(2)]
    assert ran[1].returncode == 0


@kernel
def weighed(table, more):
    total = more
    for row in range(table.shape[0]):
        for column in range(table.shape[1]):
            total += (1 + row + 10 * column) * table[row, column]
    return total


def _by_hand(table, more):
    rows, columns = table.shape
    return more + sum(
        (1 + r + 10 * c) * int(table[r, c]) for r in range(rows) for c in range(columns)
    )


def test_a_kernel_made_for_one_of_a_kind_serves_all_of_that_kind():
    weighed.forget()
    table = np.arange(40).reshape(4, 10)
    tables = [np.asfortranarray(table), table[:, ::2], table[::2], table.T, table[::-1, ::-1]]
    for more in (np.int32(7), 2**40, np.int64(2**40)):
        for each in tables:
            assert weighed(each, more) == _by_hand(each, int(more))
    assert len(weighed._callers) == 1


@kernel
def first_of(records):
    return records[0].a


def test_unpickled_types_do_not_pile_up():
    kept = [np.ones(1, np.dtype([("a", np.int64)])) for _ in range(600)]
    assert {first_of(records) for records in kept} == {1}
    assert len(first_of._callers) == 1
    assert len(first_of._entries) <= 256


def _modules_of_kernels() -> list[Path]:
    sources = Path(compiler.__file__).parents[1].rglob("*.py")
    return [file for file in sources if "kernels.jit import" in file.read_text()]


@pytest.mark.parametrize("file", _modules_of_kernels(), ids=lambda file: file.stem)
def test_kernels_count_no_index_from_the_end(file):
    # Machine code reads before the array there.
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Subscript):
            places = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            bounds = [
                bound
                for place in places
                for bound in (
                    [place.lower, place.upper] if isinstance(place, ast.Slice) else [place]
                )
            ]
            for bound in bounds:
                is_below = isinstance(bound, ast.UnaryOp) and isinstance(bound.op, ast.USub)
                assert not is_below, f"{file.name}:{node.lineno}: {ast.unparse(node)}"


def test_only_kernels_have_indices_as_they_are():
    @njit
    def last(items):
        return items[-1]

    items = np.array([3, 4, 5])
    assert sum_of(items) == 12
    assert last(items) == 5


@kernel
def sum_of(items):
    total = 0
    for at in range(len(items)):
        total += items[at]
    return total
