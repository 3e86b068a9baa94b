"""The process of one run: it loads the engine, measures a pilot, and lets LoadGen loose.

It reads one request as JSON from standard input, and answers with JSON lines: progress, and at
last what came out. `lydite.mlperf.harness` starts it and watches.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, field
from pathlib import Path
from typing import Any

import numpy as np

from lydite.children import die_with_parent
from lydite.errors import LyditeError
from lydite.mlperf.adapter import find_adapter
from lydite.mlperf.batching import Batching
from lydite.mlperf.dataset import DataSet, read
from lydite.mlperf.engine import Loaded, read_spec
from lydite.mlperf.loadgen import Issue, check_memory, completer, token_tellers
from lydite.mlperf.loadgen import run as run_loadgen
from lydite.mlperf.schedule import QUERY_BYTES, offline_samples
from lydite.mlperf.sut import Engine, SystemUnderTest
from lydite.mlperf.token_sut import Generating, Piloted, Sleeping, TokenEngine, TokenSystem
from lydite.mlperf.tokens import TOKENS, TokenService
from lydite.records import dataclass

PROGRESS_S = 0.5
_PILOT_S = 1.0
SERVICE = "service.npy"
"""Batch size, nanoseconds, and nanoseconds that a worker was late (it completed the batch before,
or had to wake up), of every batch, for a replay: int64[batches, 3]."""
ISSUED = "issued.npy"
"""When each query was issued to waiting workers, on a clock of its own: int64[queries]."""


@dataclass(frozen=True)
class Request:
    """What the process is to run.

    Attributes:
        engine: Folder of the engine; "null" for one that does nothing.
        data: Folder of the prepared data set; "" to draw samples.
        drawn: Number of samples to draw, and the seed.
        issue: What LoadGen is told.
        batching: Most samples in a batch, delay in nanoseconds, workers.
        threads: Number of threads per worker.
        answer: What of the outputs is said: "first", "largest" or "nothing"; of tokens their
            element type.
        pilot: Setting of the expected rate or latency that the pilot fills in; "" for none.
        folder: Folder of the logs.
        memory_bytes: Most bytes that LoadGen's queries may take.
        devices: Devices of the engines, each of which gets all workers; empty for the engine's own.
        tokens: What answers in tokens: the file of a table of times to sleep, or an adapter as
            "package.module:NAME"; "" for an engine.
    """

    engine: str
    data: str
    drawn: tuple[int, int]
    issue: Issue
    batching: tuple[int, int, int]
    threads: int
    answer: str
    pilot: str
    folder: str
    memory_bytes: int = field(default=4 << 30)
    devices: tuple[str, ...] = ()
    tokens: str = ""

    def to_json(self) -> str:
        """The request as one line."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Request:
        """The inverse of `to_json`."""
        record = json.loads(text)
        record["issue"] = Issue(**record["issue"])
        for name in ("drawn", "batching", "devices"):
            record[name] = tuple(record[name])
        return Request(**record)


class Null:
    """An engine that does nothing, to see what the harness itself costs."""

    def run(self, indices: Sequence[int]) -> None:
        """Nothing."""


Tell = Callable[[dict[str, Any]], None]


def serve(request: Request, tell: Tell) -> dict[str, Any]:
    """Make the run; what came out of it."""
    if request.tokens:
        return _serve_tokens(request, tell)
    devices = request.devices or ("",)
    most, delay_ns, workers = request.batching
    batching = Batching(most, delay_ns, workers * len(devices))
    engines = [_engine(request, device) for device in devices for _ in range(workers)]
    try:
        issue = request.issue
        if request.pilot:
            tell({"at": "pilot"})
            issue = _with_hint(request, engines[0], batching, tell)
        inline = issue.scenario != "Server"
        if not inline:  # batches of all sizes come up; the others hardly ever see but the largest
            tell({"at": "warm-up"})
            for engine in engines:
                _warm_up(engine)
        sut = SystemUnderTest(engines, batching, completer(), inline=inline)
        _run(request, issue, sut, tell)
    finally:
        for engine in engines:
            if isinstance(engine, Loaded):
                engine.close()
    batches = np.frombuffer(sut.batches, np.int64).reshape(-1, 3)
    np.save(Path(request.folder) / SERVICE, batches, allow_pickle=False)
    issued = np.array(sut.issued, np.int64)
    np.save(Path(request.folder) / ISSUED, issued, allow_pickle=False)
    return _outcome(sut, issue)


def _warm_up(engine: Engine) -> None:
    if isinstance(engine, Loaded):
        with contextlib.suppress(LyditeError):  # it fails again in the run, which reports it
            engine.warm_up()


def _serve_tokens(request: Request, tell: Tell) -> dict[str, Any]:
    engine, issue = _token_engine(request), request.issue
    places = request.batching[2]
    if request.pilot:
        tell({"at": "pilot"})
        issue = _with_hint(request, Piloted(engine), Batching(workers=places), tell)
    sut = TokenSystem([engine] * places, *token_tellers(), request.answer)
    _run(request, issue, sut, tell)
    np.save(Path(request.folder) / TOKENS, sut.record, allow_pickle=False)
    return _outcome(sut, issue)


def _run(request: Request, issue: Issue, sut: SystemUnderTest | TokenSystem, tell: Tell) -> None:
    """Let LoadGen loose on a system; progress is told meanwhile."""
    tell({"generated": generated(issue)})
    stop = threading.Event()
    beat = threading.Thread(target=_report, args=(sut, stop, tell), daemon=True)
    beat.start()
    try:
        run_loadgen(issue, sut, Path(request.folder))
    finally:
        stop.set()
        beat.join()
        sut.close()


def _outcome(sut: SystemUnderTest | TokenSystem, issue: Issue) -> dict[str, Any]:
    return {"failure": sut.failure, "completed": sut.completed, "values": issue.values}


def _token_engine(request: Request) -> TokenEngine:
    if request.tokens.endswith(".npy"):
        return Sleeping(TokenService.load(Path(request.tokens)))
    adapter = find_adapter(request.tokens)
    assert adapter.generate is not None
    return Generating(adapter.generate, read(Path(request.data), verify=False).inputs)


def _engine(request: Request, device: str) -> Engine:
    if request.engine == "null":
        return Null()
    spec = read_spec(Path(request.engine))
    inputs = _data(request, spec).inputs
    return Loaded(spec, inputs, request.threads, request.answer, device or None)


def _data(request: Request, spec: Any) -> DataSet:
    from lydite.graph import read_onnx
    from lydite.mlperf.dataset import drawn

    if request.data:
        return read(Path(request.data), verify=False)
    count, seed = request.drawn
    return drawn(read_onnx(spec.path(spec.sizes[0])), count, seed)


def _with_hint(request: Request, engine: Engine, batching: Batching, tell: Tell) -> Issue:
    """The issue with the expected latency or rate that a pilot measured.

    LoadGen generates all queries before the run, twice as many as the expected latency asks for;
    half of the fast end of the pilot's latencies leaves room for the run to be faster than it.
    Where so many do not fit in memory, there is less room: at the least the twice of LoadGen.
    """
    issue = request.issue
    width = batching.batch if issue.scenario == "Offline" else _width(issue)
    fast_ns = _pilot_ns(engine, width, batching.batch, issue.samples)
    duration_s = float(issue.values.get("min_duration_ms", 600_000)) / 1000
    if issue.scenario == "Offline":
        rate = width * batching.workers / (fast_ns * 1e-9)
        least = int(issue.values.get("min_query_count", 1))
        samples = max(least, offline_samples(rate, round(duration_s * 1000)))
        check_memory(samples, request.memory_bytes, issue.scenario)
        tell({"expected_s": samples / rate, "samples": samples, "rate": rate})
        return _valued(issue, request.pilot, rate)
    hint_ns = expected_ns(fast_ns, duration_s, request.memory_bytes)
    check_memory(2 * duration_s * 1e9 / hint_ns, request.memory_bytes, issue.scenario)
    least = max(int(issue.values.get("min_query_count", 1)), _padding(issue, hint_ns, duration_s))
    expected_s = max(duration_s, least * fast_ns * 1e-9)
    queries = max(least, round(duration_s * 1e9 / fast_ns))
    tell({"expected_s": expected_s, "queries": queries, "rate": 1e9 / fast_ns})
    return _valued(issue, request.pilot, hint_ns)


def generated(issue: Issue) -> int:
    """Queries that LoadGen generates before the run, or samples of Offline's only one."""
    values = issue.values
    if issue.mode == "AccuracyOnly":
        return issue.total_samples
    duration_ms = int(values.get("min_duration_ms", 600_000))
    least = int(values.get("min_query_count", 1))
    if issue.scenario == "Offline":
        rate = float(values.get("offline_expected_qps", 1))
        return max(least, offline_samples(rate, duration_ms))
    if issue.scenario == "Server":
        return max(least, int(float(values.get("server_target_qps", 1)) * duration_ms / 1000))
    kind = "single" if issue.scenario == "SingleStream" else "multi"
    hint_ns = int(values.get(f"{kind}_stream_expected_latency_ns", 10_000_000))
    return max(least, int(2e6 * duration_ms / max(hint_ns, 1)))


def expected_ns(fast_ns: int, duration_s: float, memory_bytes: int) -> int:
    """The latency to tell LoadGen, from the fast end of a pilot's: half of it, or more where the
    queries would not fit in memory, and at most that end itself.
    """
    fits_ns = math.ceil(2 * duration_s * 1e9 * QUERY_BYTES / memory_bytes)
    return max(1, fast_ns // 2, min(fits_ns, fast_ns))


def _padding(issue: Issue, hint_ns: int, duration_s: float) -> int:
    """Queries that equal issue asks for in SingleStream: whole passes of the data set."""
    if issue.scenario != "SingleStream" or not issue.values.get("sample_concatenate_permutation"):
        return 0
    return (int(2 * duration_s * 1e9 / hint_ns) // issue.samples + 1) * issue.samples


def _valued(issue: Issue, name: str, value: float) -> Issue:
    return Issue(**{**asdict(issue), "values": {**issue.values, name: value}})


def _width(issue: Issue) -> int:
    return (
        int(issue.values.get("multi_stream_samples_per_query", 8))
        if (issue.scenario == "MultiStream")
        else 1
    )


def _pilot_ns(engine: Engine, width: int, most: int, samples: int) -> int:
    """10th percentile of the time that a query of some width takes."""
    times: list[int] = []
    deadline = time.perf_counter() + _PILOT_S
    at = 0
    while len(times) < 5 or time.perf_counter() < deadline:
        start = time.perf_counter_ns()
        for first in range(0, width, most):
            count = min(most, width - first)
            engine.run([(at + i) % samples for i in range(count)])
            at += count
        times.append(time.perf_counter_ns() - start)
        if len(times) >= 3 and times[-1] > 20e9:
            break
    return max(1, int(np.percentile(times[1:], 10)))


def _report(sut: SystemUnderTest | TokenSystem, stop: threading.Event, tell: Tell) -> None:
    while not stop.wait(PROGRESS_S):
        tell({"completed": sut.completed, "slowest_ns": sut.slowest_ns, "failure": sut.failure})


def main() -> None:
    """Serve the request on standard input."""
    die_with_parent()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # output of libraries must not mix with the answers
    lock = threading.Lock()

    def tell(record: dict[str, Any]) -> None:
        with lock:
            answers.write(json.dumps(record) + "\n")

    try:
        tell({"at": "load"})
        tell({"result": serve(Request.from_json(sys.stdin.readline()), tell)})
    except LyditeError as error:
        tell({"refused": error.document()})
    except Exception as error:  # whatever an engine raises is the cause that the parent reports
        tell({"failed": f"{type(error).__name__}: {str(error)[:300]}"})


if __name__ == "__main__":
    main()
