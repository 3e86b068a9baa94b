"""Runs a request in a child process under a watchdog, and reads what came out."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lydite.errors import InputError
from lydite.mlperf.child import Request
from lydite.mlperf.forecast import Forecast
from lydite.mlperf.schedule import QUERY_NS
from lydite.records import dataclass

_POLL_S = 0.1
SILENCE_S = 60.0
"""Seconds without a completion after which a run is ended, at least."""
_SILENCE_FACTOR = 20
"""The same as a multiple of the slowest batch so far."""
_LOADING_S = 600.0

Progress = Callable[[int, float, float], None]
"""Called with the number of samples done, seconds since the start, and seconds that the run will
take by its pilot (0 where there is none)."""


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        stopped: Why it was ended early; "" if it came to its end.
        failure: First error of the system under test; "" if there was none.
        completed: Number of samples that were completed.
        values: Attributes of LoadGen's settings, the pilot's among them.
        folder: Folder of the logs.
    """

    stopped: str
    failure: str
    completed: int
    values: dict[str, Any]
    folder: Path


def run(
    request: Request,
    progress: Progress | None = None,
    foretell: Callable[[Forecast], None] | None = None,
) -> Ended:
    """Make a run; a hang, a crash or an interruption ends it with its logs as they are.

    Args:
        request: What to run.
        progress: Called as the run goes on.
        foretell: Called before LoadGen starts with what the pilot's figures ask for.

    Raises:
        InputError: the child refuses the request, or LoadGen is not installed.
    """
    process = subprocess.Popen(
        # -P: files of the folder that the user is in are no modules
        [sys.executable, "-P", "-m", "lydite.mlperf.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # an interruption is for us alone
    )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(request.to_json().encode() + b"\n")
        process.stdin.close()
    watch = _Watch(request, progress, foretell)
    try:
        while watch.result is None and not watch.stopped:
            watch.read(process)
    except KeyboardInterrupt:
        watch.stopped = "interrupted"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    result = watch.result or {}
    return Ended(
        watch.stopped,
        str(result.get("failure", watch.failure)),
        int(result.get("completed", watch.completed)),
        dict(result.get("values", {})),
        Path(request.folder),
    )


def _record(line: bytes) -> dict[str, Any]:
    """What the child says in a line; nothing in one that an adapter or a library printed."""
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


class _Watch:
    """Reads what the child says, and when it last did something."""

    def __init__(
        self,
        request: Request,
        progress: Progress | None,
        foretell: Callable[[Forecast], None] | None,
    ) -> None:
        self.result: dict[str, Any] | None = None
        self.stopped = self.failure = ""
        self.completed = 0
        self._slowest_s = 0.0
        self._request, self._progress, self._foretell = request, progress, foretell
        self._buffer = b""
        self._began = self._moved = time.monotonic()
        self._running = False
        self._expected_s = self._generating_s = 0.0

    def read(self, process: subprocess.Popen[bytes]) -> None:
        """Take the next lines; notice a death or a hang."""
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            ready = selector.select(_POLL_S)
        data = os.read(process.stdout.fileno(), 1 << 16) if ready else b""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            if record := _record(line):
                self._take(record)
        if self.result is not None:
            return
        silent_s = time.monotonic() - self._moved
        limit_s = max(SILENCE_S, _SILENCE_FACTOR * self._slowest_s)
        if not self._running:
            limit_s = max(limit_s, _LOADING_S)
        elif not self.completed:  # LoadGen generates its queries, for which it needs a core
            limit_s += self._generating_s
        if ready and not data:
            self.stopped = f"the process ended with code {process.wait()}"
        elif silent_s > limit_s:
            self.stopped = f"no completion within {limit_s:.0f} s"

    def _take(self, record: dict[str, Any]) -> None:
        if "refused" in record:
            parts = record["refused"]
            raise InputError(parts.pop("what"), **parts)
        if "failed" in record:
            self.stopped = record["failed"]
        elif "result" in record:
            self.result = record["result"]
        elif "generated" in record:
            self._generating_s = record["generated"] * QUERY_NS * 1e-9
            self._moved = time.monotonic()
        elif "completed" in record:
            self._running = True
            if record["completed"] != self.completed:
                self.completed, self._moved = record["completed"], time.monotonic()
            self._slowest_s = record["slowest_ns"] * 1e-9
            self.failure = record["failure"]
            if self._progress is not None:
                spent_s = time.monotonic() - self._began
                self._progress(self.completed, spent_s, self._expected_s)
        else:
            self._expected_s = record.get("expected_s", self._expected_s)
            if self._foretell is not None and "rate" in record:
                unit = "samples" if "samples" in record else "queries"
                self._foretell(
                    Forecast(record[unit], unit, record["rate"], self._expected_s, "by a pilot")
                )
            self._moved = time.monotonic()
