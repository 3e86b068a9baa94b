"""A few spoilt inputs of every kind: each is answered or refused (see benchmarks/fuzz.py)."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
CASES = 42


@pytest.fixture(scope="module")
def benchmarks():
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module
    sys.path.remove(str(FOLDER))


def test_every_spoilt_input_is_answered_or_refused():
    """In a process of its own, which forks a child for each case."""
    code = (
        "import fuzz\n"
        f"for case in fuzz.run({CASES}, seed=7):\n"
        "    print(case.outcome, case.number, case.command, ascii(case.said[-300:]), sep='|')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=FOLDER, check=True
    )
    lines = done.stdout.splitlines()
    outcomes = Counter(line.partition("|")[0] for line in lines)
    others = [line for line in lines if line.partition("|")[0] not in ("answer", "refusal")]
    assert sum(outcomes.values()) == CASES
    assert others == []
    assert outcomes["answer"] > CASES / 10
    assert outcomes["refusal"] > CASES / 4


def test_the_same_seed_makes_the_same_change(benchmarks):
    changes = benchmarks("_fuzz_changes")
    for form in ("bytes", "text", "csv", "json", "yaml"):
        made = {changes.changed(b'{"a": 1}', form, np.random.default_rng(3)) for _ in range(3)}
        assert len(made) == 1


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("raise KeyError('x')", "traceback"),
        ("import os; os.kill(os.getpid(), 11)", "crash"),
        ("print('lydite: no'); raise SystemExit(2)", "refusal"),
        ("print('lydite: no'); print('lydite: more'); raise SystemExit(2)", "unclear"),
        ("print('\\x1b[31m')", "unclear"),
        ("print('fine')", "answer"),
    ],
)
def test_how_a_child_ended(benchmarks, tmp_path, code, outcome):
    fuzz = benchmarks("fuzz")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert fuzz.outcome_of(done.returncode, done.stdout + done.stderr) == outcome
