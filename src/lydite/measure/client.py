"""Client of a measuring process: starts it, limits its time and memory, reports how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from typing import Any

import psutil

from lydite.errors import BackendError
from lydite.measure.worker import Request

_POLL_S = 0.1
_STARTING_S = 60.0
"""Longest time in seconds from the start of a process to its first answer."""
_ENVIRONMENT = {"NUMPY_MADVISE_HUGEPAGE": "0"}
"""Backends allocate their buffers in small pages. numpy must do the same, or an operator that reads
numpy's arrays would miss the address-translation cost that it has within a network.
"""


class WorkerLost(Exception):
    """The process died or was stopped.

    Attributes:
        status: "crash", "timeout" or "out_of_memory".
        at: Canonical key of the operator in progress; "" if unknown.
    """

    def __init__(self, status: str, at: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.at = status, at


class Worker:
    """A measuring process, started on demand and restarted after a loss.

    Args:
        timeout_s: Longest time in seconds without an answer before it is stopped.
        memory_bytes: Maximum resident memory; by default 80 % of the free memory.
        module: Module that the process runs, which calls `lydite.measure.worker.serve_lines`.
    """

    def __init__(
        self,
        *,
        timeout_s: float = 120.0,
        memory_bytes: int | None = None,
        module: str = "lydite.measure.worker",
    ) -> None:
        self.timeout_s, self._module = timeout_s, module
        self.memory_bytes = memory_bytes or int(psutil.virtual_memory().available * 0.8)
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(self, request: Request) -> list[dict[str, Any]]:
        """Send a request and wait for its results.

        Raises:
            WorkerLost, BackendError: As `ask`.
        """
        return self.ask(request.to_json())

    def ask(self, line: str) -> Any:
        """Send a line and wait for its results.

        Raises:
            WorkerLost: the process crashed, hung, or exceeded its memory limit.
            BackendError: the request as a whole was refused.
        """
        process = self._alive()
        assert process.stdin is not None
        at = ""
        try:
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise self._lost("crash", at) from None
        deadline = time.monotonic() + max(self.timeout_s, _STARTING_S)
        while True:
            answer = self._line(process)
            if answer:
                record = json.loads(answer)
                if "at" in record:
                    at, deadline = record["at"], time.monotonic() + self.timeout_s
                elif "failed" in record:
                    raise BackendError(record["failed"])
                else:
                    return record["results"]
            elif process.poll() is not None:
                raise self._lost("crash", at)
            elif time.monotonic() > deadline:
                raise self._lost("timeout", at)
            elif self._resident(process) > self.memory_bytes:
                raise self._lost("out_of_memory", at)

    def process(self) -> psutil.Process:
        """The running process, for its CPU time.

        Raises:
            BackendError: none is running.
        """
        if self._process is None:
            raise BackendError("the measuring process is not running")
        return psutil.Process(self._process.pid)

    def _alive(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._buffer = b""
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **_ENVIRONMENT},
            )
        return self._process

    def _line(self, process: subprocess.Popen[bytes]) -> bytes:
        """The next line, or an empty one after a short wait."""
        assert process.stdout is not None
        if b"\n" not in self._buffer:
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                if not selector.select(_POLL_S):
                    return b""
            self._buffer += os.read(process.stdout.fileno(), 1 << 16)
        line, newline, rest = self._buffer.partition(b"\n")
        if not newline:
            return b""
        self._buffer = rest
        return line

    def _resident(self, process: subprocess.Popen[bytes]) -> int:
        try:
            return psutil.Process(process.pid).memory_info().rss
        except psutil.NoSuchProcess:
            return 0

    def _lost(self, status: str, at: str) -> WorkerLost:
        code = self._process.poll() if self._process else None
        reason = {
            "timeout": f"no answer within {self.timeout_s:.0f} s",
            "out_of_memory": f"took more than {self.memory_bytes / 2**30:.1f} GiB",
        }.get(status, f"the process ended with code {code}")
        self.close()
        return WorkerLost(status, at, reason)

    def interrupt(self) -> None:
        """Kill the process, from any thread; whoever waits for it learns that it crashed."""
        process = self._process
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    def close(self) -> None:
        """Stop the process."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        process.wait()
