"""The dashboard over many measurements: each page, the first one, start, memory and weight.

python benchmarks/dashboard.py [--rows 1000000]
"""

from __future__ import annotations

import argparse
import gzip
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from html import unescape
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import psutil
from _figures import Figure, publish

from lydite.opkey import Operand, OpKey, TensorType
from lydite.report import Levels
from lydite.store import Conditions, Database, Measurement, Run, Software

ROWS = 100_000
SAMPLES = 30
DEVICES = 20
TYPES = 60
ROWS_PER_RUN = 500
BATCH = 50_000
REPEATS = 60
SOFTWARE = Software("onnxruntime", {"onnxruntime": "1.23.2", "python": "3.11.7"})
DESIGNS = 1000
SLICES = 1_000_000 // 64 * 64
PIXELS = 1280


_UNARY = """
Abs Acos Acosh Asin Asinh Atan Atanh Ceil Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid HardSwish
LeakyRelu Log LogSoftmax Mish Neg Reciprocal Relu Round Selu Sigmoid Sign Sin Sinh Softmax Softplus
Softsign Sqrt Tan Tanh
"""
_BINARY = ("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Mean", "Sum")


def operators(count: int) -> list[OpKey]:
    """Operators of many sizes: of types whose work is known, and of some that nobody knows."""
    made: list[OpKey] = []
    unary = _UNARY.split()
    for number in range(count):
        kind, size = number % TYPES, 1 + number // TYPES
        shape = TensorType("float32", (size, 64 << kind % 8))
        if kind == 0:
            right = TensorType("float32", (64, 8 * size))
            inputs = (Operand(shape), Operand(right, const=True))
            made.append(OpKey("MatMul", inputs, (TensorType("float32", (size, 8 * size)),)))
        elif kind <= len(_BINARY):
            made.append(OpKey(_BINARY[kind - 1], (Operand(shape), Operand(shape)), (shape,)))
        else:
            place = kind - 1 - len(_BINARY)
            name = unary[place] if place < len(unary) else f"Own{place}"
            made.append(OpKey(name, (Operand(shape),), (shape,)))
    return made


def fill(path: Path | str, rows: int) -> dict[str, str]:
    """Runs of 500 measurements on 20 devices; ids of some of them."""
    rng = np.random.default_rng(0)
    keys = operators(min(50_000, max(1000, rows // 20)))
    samples = rng.lognormal(-8, 0.05, (1000, SAMPLES))
    designs = [
        {"name": f"design {n}", "step_s": float(a), "cost_usd": float(b), "tensor": n % 8}
        for n, (a, b) in enumerate(rng.lognormal(0, 1, (DESIGNS, 2)))
    ]
    runs = [
        Run("search", {"model": f"m{n}"}, status="done", result={"designs": designs, "step_s": 0.1})
        for n in range(rows // ROWS_PER_RUN)
    ]
    ids: dict[str, str] = {}
    with Database.open(path) as database:
        database.load(runs)
        batch: list[Measurement] = []
        for number in range(rows):
            run = number // ROWS_PER_RUN
            batch.append(
                Measurement(
                    keys[number % ROWS_PER_RUN + ROWS_PER_RUN * (run // 2 % (len(keys) // 500))],
                    f"device-{run % DEVICES:02d}",
                    SOFTWARE,
                    Conditions(),
                    samples[number % 1000],
                    environment={"load_average": number / 1000},
                    run=runs[run].id,
                )
            )
            if len(batch) == BATCH or number == rows - 1:
                database.add(batch)
                ids["measurement"] = batch[0].id
                batch = []
    return {**ids, "first": runs[0].id, "second": runs[1].id, "device": "device-03"}


class Visitor:
    """One reader of a server in a process of its own."""

    def __init__(self, path: Path | str, workers: int = 1) -> None:
        words = [sys.executable, "-m", "lydite", "ui", "--db", str(path), "--port", "0"]
        words += ["--workers", str(workers)]
        start = time.perf_counter()
        self.server = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.server.stdout is not None
        self.address = address = self.server.stdout.readline().strip()
        self.start_s = time.perf_counter() - start
        self.base = address.partition("/?")[0]
        jar = urllib.request.HTTPCookieProcessor(CookieJar())
        self.opener = urllib.request.build_opener(jar, urllib.request.ProxyHandler({}))
        start = time.perf_counter()
        self.opener.open(address).read()
        self.first_s = time.perf_counter() - start

    def get(self, path: str) -> bytes:
        """Body of a page."""
        with self.opener.open(f"{self.base}{path}", timeout=60) as answer:
            return answer.read()

    def first(self, path: str) -> float:
        """Seconds of one request."""
        start = time.perf_counter()
        self.get(path)
        return time.perf_counter() - start

    def weight(self, path: str) -> int:
        """Bytes of a page and all that it loads, each gzipped."""
        page = self.get(path)
        links = re.findall(r'(?:href|src)="(/static/[^"]+)"', page.decode())
        parts = [page, *(self.get(unescape(link)) for link in links)]
        return sum(len(gzip.compress(part)) for part in parts)

    def memory(self) -> int:
        """Resident bytes of the largest process of the server."""
        return max(process.memory_info().rss for process in self._processes())

    def cpu_s(self) -> float:
        """Seconds that the server computed so far."""
        times = [process.cpu_times() for process in self._processes()]
        return sum(each.user + each.system for each in times)

    def _processes(self) -> list[psutil.Process]:
        parent = psutil.Process(self.server.pid)
        return [parent, *parent.children(recursive=True)]

    def close(self) -> None:
        """End the server."""
        self.server.terminate()
        self.server.wait()


def pages(ids: dict[str, str]) -> dict[str, str]:
    """Addresses by what they show."""

    def to(page: str, **given: str) -> str:
        return f"/{page}?{urlencode(given)}" if given else f"/{page}"

    chart = {"chart": "1", "x": "cost_usd", "y": "step_s", "front": "min-min"}
    return {
        "runs": to("runs"),
        "one run": to("run", id=ids["first"]),
        "Pareto plot of 1,000 designs": to("run", id=ids["first"], at="/designs", **chart),
        "measurements of a run": to("measurements", run=ids["first"]),
        "newest measurements": to("measurements"),
        "measurements of a device and type": to(
            "measurements", device=ids["device"], op_type="MatMul"
        ),
        "one measurement": to("measurement", id=ids["measurement"], chart="1"),
        "coverage": to("coverage"),
        "compare": to("compare", a=ids["first"], b=ids["second"]),
        "roofline, 4,000 rows": to("roofline", device=ids["device"], chart="1"),
    }


def timeline() -> Figure:
    """A window of a million slices in 64 rows, over all of it and far inside."""
    rng = np.random.default_rng(0)
    rows = 64
    row = np.arange(SLICES) % rows
    length = rng.integers(1_000, 100_000, SLICES)
    per_row = (length + 500).reshape(-1, rows).cumsum(axis=0)
    end = per_row.ravel()
    nothing = np.zeros(SLICES, np.int64)
    levels = Levels(
        row,
        rng.integers(0, 8, SLICES),
        end - length,
        end,
        rows=[f"row {n}" for n in range(rows)],
        categories=[f"kind {n}" for n in range(8)],
        name=nothing,
        names=["slice"],
    )
    total = levels.makespan_ps
    medians: dict[str, float] = {}
    for zoom in (1, 10, 1000):
        begin = 0 if zoom == 1 else total // 3
        times = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            levels.window(begin, begin + total // zoom, PIXELS)
            times.append(time.perf_counter() - start)
        medians[f"zoom {zoom}"] = float(np.median(times)) * 1e3
    told = {"slices": SLICES, "rows": rows, "pixels": PIXELS, "each_ms": medians}
    return Figure(
        "window of a timeline, slowest zoom", max(medians.values()), "ms", 20, "lower", told
    )


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=ROWS)
    rows = parser.parse_args().rows
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="lydite-ui-") as folder:
        path = Path(folder) / "many.db"
        ids = fill(path, rows)
        held = {"rows": rows, "samples_per_row": SAMPLES, "size_bytes": path.stat().st_size}
        visitor = Visitor(path)
        try:
            figures.append(Figure("start", visitor.start_s, "s", 1, "lower", held))
            first = {"first page": visitor.first_s}
            first |= {name: visitor.first(at) for name, at in pages(ids).items()}
            worst = max(first, key=lambda name: first[name])
            figures.append(
                Figure(
                    "first request of a page after start, slowest page",
                    first[worst] * 1e3,
                    "ms",
                    300,
                    "lower",
                    {**held, "page": worst, "each_ms": {n: s * 1e3 for n, s in first.items()}},
                )
            )
            for name, at in pages(ids).items():
                times = [visitor.first(at) for _ in range(REPEATS)]
                p99 = float(np.quantile(times, 0.99)) * 1e3
                told = {**held, "p50_ms": float(np.median(times)) * 1e3, "repeats": REPEATS}
                figures.append(Figure(f"{name}, p99", p99, "ms", 100, "lower", told))
            weights = {name: visitor.weight(at) for name, at in pages(ids).items()}
            roofline = next(name for name in weights if name.startswith("roofline"))
            heaviest = max((n for n in weights if n != roofline), key=lambda n: weights[n])
            told = {"page": heaviest, "each_bytes": weights}
            figures += [
                Figure("heaviest page, gzipped", weights[heaviest] / 1e3, "kB", 60, "lower", told),
                Figure("roofline, gzipped", weights[roofline] / 1e3, "kB", 200, "lower"),
                Figure("memory of the server", visitor.memory() / 1e6, "MB", 200, "lower", held),
            ]
        finally:
            visitor.close()
    figures.append(timeline())
    publish("dashboard" if rows == ROWS else f"dashboard-{rows}", figures)
    return 0 if all(figure.reached is not False for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
