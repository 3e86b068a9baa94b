"""Independent calls spread over processes of this machine."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from lydite.errors import InputError, LyditeError, MissingExtra
from lydite.pool import HERE, LocalPool, Pool, open_pool, processes

sys.path.insert(0, str(Path(__file__).parent))
import pool_calls


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    """Spawned processes import the called functions by name."""
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
def test_answers_are_those_of_the_arguments_in_their_order(chunk):
    wanted = [100 + each for each in range(7)]
    assert HERE.ordered(pool_calls.plus, 100, range(7), chunk=chunk) == wanted
    assert HERE.ordered(pool_calls.plus, 100, iter(range(7)), chunk=chunk) == wanted
    assert HERE.ordered(pool_calls.plus, 100, [], chunk=chunk) == []


def test_processes_answer_as_this_one_does():
    answers = list(LocalPool(2).stream(pool_calls.plus, 100, range(40), chunk=3))
    assert sorted(answers) == [(each, 100 + each) for each in range(40)]


def test_a_single_chunk_starts_no_process(tmp_path):
    (tmp_path / "marker").touch()
    (answer,) = LocalPool(2).ordered(pool_calls.killed_once, tmp_path / "marker", [1])
    assert answer == (os.getpid(), 1)


def test_arguments_are_made_as_there_is_room():
    made = []

    def arguments():
        for each in range(50):
            made.append(each)
            yield each

    answers = LocalPool(2).stream(pool_calls.plus, 0, arguments(), chunk=2)
    next(answers)
    answers.close()
    assert len(made) <= 2 * 2 * 2  # twice as many chunks as processes


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_of_a_call_reaches_the_user_whole(jobs):
    with pytest.raises(InputError) as caught:
        LocalPool(jobs).ordered(pool_calls.refuse, "input", range(6))
    assert str(caught.value) == "here: no 3; allowed: 2, 4; take 4"
    with pytest.raises(MissingExtra, match=r"pip install 'lydite\[learn\]'"):
        LocalPool(jobs).ordered(pool_calls.refuse, "extra", range(6))


def test_what_a_killed_process_did_not_finish_is_done_again(tmp_path):
    marker = tmp_path / "killed"
    answers = LocalPool(2).ordered(pool_calls.killed_once, marker, range(12), chunk=2)
    assert marker.exists()
    assert [argument for _, argument in answers] == list(range(12))


def test_a_call_that_always_kills_its_process_is_an_error(monkeypatch):
    monkeypatch.setattr(processes, "MOST_TRIES", 1)
    with pytest.raises(LyditeError, match="processes were killed 2 times"):
        LocalPool(2).ordered(pool_calls.always_killed, None, range(4))


def test_a_script_without_a_guard_is_told_of_it(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import lydite as ly\n"
        "vary = ['pes=2,4,8,16', 'vectors=1,2,4,8,16', 'clock=1 GHz,2 GHz,3 GHz']\n"
        "ly.sweep('lenet5', chip='smv', vary=vary)\n"
    )
    ran = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.returncode != 0
    assert "put what the script does under: if __name__ == '__main__':" in ran.stderr
    assert ran.stderr.count("An attempt has been made") <= 2  # once a process


@pytest.mark.parametrize(
    "error",
    [
        InputError("a", where="b", allowed="c", hint="d"),
        MissingExtra("torch", "torch"),
        LyditeError("x" * 1000),
    ],
)
def test_errors_travel_between_processes(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.document() == error.document()


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(MissingExtra, match=r"'ray' is not installed.*lydite\[ray\]"),
        open_pool("auto"),
    ):
        pass


def test_no_address_is_this_machine():
    with open_pool() as pool:
        assert isinstance(pool, Pool)
        assert isinstance(pool, LocalPool)
