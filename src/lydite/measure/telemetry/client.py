"""Recording telemetry while something else runs: the client of the sampling process."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lydite.errors import InputError, LyditeError, unknown_name
from lydite.measure.telemetry.sampler import open_lines, write_line
from lydite.measure.telemetry.sensors import Options, wanted_sensors

if TYPE_CHECKING:
    from lydite.measure.telemetry.trace import Trace

SHORTEST_S = 0.005
"""Shortest interval in seconds between samples."""
_START_S = 30.0
_END_S = 10.0


class Recording:
    """A recording that goes on.

    Attributes:
        path: File that the samples are in.
    """

    def __init__(self, path: Path, file: int) -> None:
        self.path, self._file = path, file

    def mark(self, name: str) -> int:
        """Write a mark at this moment, such as "start of model"; returns the time in ns."""
        now_ns = time.monotonic_ns()
        write_line(self._file, {"t": now_ns, "mark": name})
        return now_ns

    def trace(self) -> Trace:
        """What was recorded so far; all of it after the block.

        Raises:
            InputError: the file was changed by someone else.
        """
        from lydite.measure.telemetry.trace import Trace

        return Trace.read(self.path)


@contextmanager
def recording(
    path: Path | str,
    interval_s: float = 0.1,
    sensors: Sequence[str] | Options | None = None,
    devices: Sequence[str] | None = None,
) -> Iterator[Recording]:
    """Sample in a process of its own, from before the block until after it.

    The first sample of every sensor is taken before the block begins, and the last one after it
    ends, so that windows inside the block lie between samples.

    Args:
        path: File to write (JSON Lines; see `sampler`); one that is there is replaced.
        interval_s: Time in seconds from one sample to the next.
        sensors: Names of sensors, or options by name; None for all.
        devices: Ids of devices such as "nvidia:0", or names of sensors; None for all.

    Raises:
        InputError: an unknown sensor or device, or an interval that is too short.
        LyditeError: the file cannot be written, or the process does not start.
    """
    if not interval_s >= SHORTEST_S:
        raise InputError(
            f"an interval of {interval_s:g} s",
            allowed=f"{SHORTEST_S:g} s or more",
            where="interval",
        )
    where = Path(path)
    request = {
        "path": str(where),
        "interval_s": float(interval_s),
        "sensors": wanted_sensors(sensors),
        "devices": list(devices or ()),
    }
    try:
        where.parent.mkdir(parents=True, exist_ok=True)
        where.unlink(missing_ok=True)
    except OSError as error:
        raise LyditeError(f"cannot write: {error.strerror}", where=str(where)) from None
    process = _started(request)
    try:
        file = open_lines(str(where))
    except BaseException:
        _end(process)
        raise
    try:
        yield Recording(where, file)
    finally:
        # The exit code tells, not poll() while it runs: a process that was killed is not
        # waitable until its last thread is gone.
        if code := _end(process):
            write_line(file, {"note": f"the sampling process ended early, with code {code}"})
        os.close(file)


def _started(request: dict[str, Any]) -> subprocess.Popen[bytes]:
    """The sampling process after its first samples."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "lydite.measure.telemetry.sampler", json.dumps(request)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        process_group=0,  # Ctrl-C is for the parent, which ends this process in its own time
    )
    try:
        answer = _answer(process)
        if "ready" in answer:
            return process
        if "unknown" in answer:
            raise unknown_name(
                "device", answer["unknown"], answer["known"], hint="lydite doctor lists sensors"
            )
        raise LyditeError(answer.get("failed", "the sampling process ended at once"))
    except BaseException:
        process.kill()
        _end(process)
        raise


def _answer(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdout is not None
    told = b""
    deadline = time.monotonic() + _START_S
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not told.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise LyditeError(
                    f"sensors give no first sample within {_START_S:g} s",
                    hint="leave the slow one out with --sensors",
                )
            part = os.read(process.stdout.fileno(), 1 << 16)
            if not part:
                return {}
            told += part
    return json.loads(told)


def _end(process: subprocess.Popen[bytes]) -> int:
    """The exit code, once the process has taken its last sample; it is stopped if it hangs."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
    return process.returncode
