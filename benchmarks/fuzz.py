"""Every reader on spoilt inputs: how many are answered, refused, or end otherwise.

    python benchmarks/fuzz.py [--cases 2000] [--seed 0] [--kind NAME] [--keep FOLDER]

A case takes a small valid input of one kind, changes it at random and gives it to a command in a
child process with limits of memory and CPU time. An answer ends with exit code 0, a refusal with 2
and one line of at most 1,000 characters; both are unclear with a warning or an escape sequence in
them. A traceback, a signal, or a child beyond its limits is a fault. With `--keep` the inputs of
all that is neither answer nor refusal stay. The same seed makes the same cases.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
from _figures import Figure, publish
from _fuzz_changes import changed
from _fuzz_seeds import FILE, FOLDER, KINDS, Kind, write_seed

CASES = 2000
SECONDS = 20
MEMORY_BYTES = 4 << 30
LONGEST_LINE = 1000
OUTCOMES = ("answer", "refusal", "unclear", "traceback", "crash", "time-out")
_PRINTED = "output.txt"


@dataclass(frozen=True, slots=True)
class Case:
    """A case that ran.

    Attributes:
        kind: Kind of the input.
        number: Number of the case, which is its seed too.
        command: Arguments of `lydite`.
        outcome: One of `OUTCOMES`.
        said: The end of what was printed.
        seconds: Elapsed time.
    """

    kind: Kind
    number: int
    command: str
    outcome: str
    said: str
    seconds: float


def run_case(kind: Kind, seed: int, number: int, folder: Path) -> Case:
    """Change an input of this kind in a new `folder`, and run a command on it."""
    rng = np.random.default_rng([seed, number])
    files = write_seed(kind, folder)
    file = files[int(rng.integers(len(files)))]
    file.write_bytes(changed(file.read_bytes(), kind.form, rng))
    command = kind.commands[int(rng.integers(len(kind.commands)))]
    arguments = command.replace(FILE, str(file)).replace(FOLDER, str(folder)).split()
    begin = time.monotonic()
    status = _in_child(arguments, folder)
    seconds = time.monotonic() - begin
    said = (folder / _PRINTED).read_text(errors="replace")
    return Case(kind, number, command, outcome_of(status, said), said[-1500:], seconds)


def _in_child(arguments: list[str], folder: Path) -> int:
    """Run a command in a fork of this process, which has imported what commands need."""
    child = os.fork()
    if child == 0:
        _limited(arguments, folder)
    deadline = time.monotonic() + 3 * SECONDS
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -signal.SIGXCPU


def _limited(arguments: list[str], folder: Path) -> None:
    """In the child: run the command and exit."""
    from lydite.cli import main

    code = 70
    try:
        out = os.open(folder / _PRINTED, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.chdir(folder)
        os.environ["LYDITE_DB"] = str(folder / "child.db")
        used = resource.getrusage(resource.RUSAGE_SELF)
        soft = int(used.ru_utime + used.ru_stime) + SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (soft, soft + 1))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        sys.argv = ["lydite", *arguments]
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def outcome_of(status: int, said: str) -> str:
    """How a child ended: one of `OUTCOMES`."""
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        return "time-out"
    if status < 0:
        return "crash"
    if status not in (0, 2) or "Traceback (most recent call last)" in said:
        return "traceback"
    if "not enough memory" in said:
        return "time-out"
    if "\x1b" in said or "Warning: " in said:
        return "unclear"
    if status == 2:
        lines = [line for line in said.splitlines() if not line.startswith('{"error": ')]
        is_clear = len(lines) == 1 and lines[0].startswith("lydite: ")
        return "refusal" if is_clear and len(lines[0]) <= LONGEST_LINE else "unclear"
    return "answer"


def run(cases: int, seed: int = 0, kinds: str = "", keep: Path | None = None) -> Iterator[Case]:
    """Run cases of all kinds in turn, or of those whose name contains `kinds`."""
    _import_all()
    chosen = [kind for kind in KINDS if kinds in kind.name]
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(cases):
            folder = Path(scratch) / "case"
            case = run_case(chosen[number % len(chosen)], seed, number, folder)
            if keep is not None and case.outcome not in ("answer", "refusal"):
                shutil.copytree(folder, keep / f"{number}", dirs_exist_ok=True)
            yield case


def _import_all() -> None:
    """Import what commands import, so that children do not."""
    import_module("onnx.version_converter")

    from lydite.engine.compiled import load

    for name in ("tables", "queueing", "sharing", "fair"):
        load(name)


def figures(cases: list[Case]) -> list[Figure]:
    """The number of cases of each outcome."""
    counts = Counter(case.outcome for case in cases)
    conditions = {
        "cases": len(cases),
        "kinds": len({case.kind.name for case in cases}),
        "longest_s": round(max(case.seconds for case in cases), 1),
    }
    rows = []
    for outcome in OUTCOMES:
        goal = None if outcome in ("answer", "refusal") else 0.0
        rows.append(Figure(outcome, counts[outcome], "", goal, "lower", conditions))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Every reader on spoilt inputs.")
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", default="")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    done = []
    for case in run(options.cases, options.seed, options.kind, options.keep):
        done.append(case)
        if case.outcome not in ("answer", "refusal") or case.seconds > SECONDS / 2:
            print(f"{case.number} {case.kind.name}: {case.outcome}, {case.seconds:.1f} s")
            print(f"    lydite {case.command}\n    {case.said[-700:]!r}", flush=True)
    by_kind = Counter((case.kind.name, case.outcome) for case in done)
    for kind in KINDS:
        row = {outcome: by_kind[kind.name, outcome] for outcome in OUTCOMES}
        if any(row.values()):
            print(f"{kind.name:<32} {row}")
    if options.cases == CASES and not options.kind:
        publish("fuzz", figures(done))


if __name__ == "__main__":
    main()
