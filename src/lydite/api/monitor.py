"""`monitor`: watch power, energy, use and clocks of this machine's devices while anything runs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lydite.api.monitored import (
    END,
    START,
    MonitorDocument,
    faults,
    monitored_devices,
)
from lydite.errors import InputError
from lydite.exhibits import Exhibit
from lydite.files import write_atomic
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.measure.telemetry import Recording, Trace
    from lydite.measure.telemetry.follow import Latest

Show = Callable[[Sequence["Latest"]], None]
"""Called several times a second with the latest readings."""

_SHOWN_S = 0.25
_ENDING_S = 10.0


@dataclass(frozen=True, eq=False, repr=False)
class MonitorResult(Result):
    """What was watched.

    Attributes:
        trace: All samples, with the marks "start" and "end".
        findings: The document.
    """

    verb = "monitor"
    exhibits = (
        Exhibit(
            "Devices",
            "/devices",
            {
                "id": "device",
                "energy.joules": "energy, J",
                "energy.source": "energy from",
                "energy.mean_w": "mean power",
                "energy.idle_w": "at rest",
                "energy.above_idle_j": "above rest",
                "power_limit_w": "limit",
                "samples": "samples",
                "late": "late",
                "gaps": "gaps",
            },
            beside="energy.mean_w",
        ),
        Exhibit(
            "Readings of {id}, each in the unit of its name",
            "/devices/*/channels",
            {"": "channel"} | {name: name for name in ("mean", "minimum", "maximum", "samples")},
        ),
    )

    trace: Trace
    findings: MonitorDocument

    @property
    def exit_code(self) -> int | None:
        """Exit code of the command, 128 and the signal if one ended it; None without a command."""
        return self.findings["exit_code"]

    def document(self) -> MonitorDocument:
        """Figures of all devices, and the sensors that are absent."""
        return self.findings

    def summary(self) -> str:
        """A table with a line per device, and what has to be known of it."""
        from lydite.report.text.monitor import monitor_text

        return monitor_text(self.findings)

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per device."""
        return self.findings["devices"]


def monitor(
    session: Session,
    command: Sequence[str] = (),
    *,
    interval: float = 0.1,
    duration: float | None = None,
    sensors: Sequence[str] = (),
    devices: Sequence[str] = (),
    idle: float = 0.0,
    out: Path | str | None = None,
    prometheus: int | None = None,
    host: str = "127.0.0.1",
    show: Show | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
) -> MonitorResult:
    """Watch this machine's devices while a command runs, or for some time.

    Sampling happens in a process of its own. A machine without sensors is a normal result, which
    says of each sensor why it is absent.

    Args:
        session: Session; a progress display is not used.
        command: Program with its arguments; empty to watch without running anything.
        interval: Time in seconds from one sample to the next.
        duration: Time in seconds to watch without a command; None to watch until Ctrl-C.
        sensors: Names of sensors to read; empty for all.
        devices: Devices to read, such as "nvidia:0", or names of sensors; empty for all.
        idle: Time in seconds to measure the resting devices before the command starts; their
            median power is taken off in a second figure.
        out: Folder for trace.csv, monitor.json and monitor.html; None to write no files.
        prometheus: Port on which to serve the latest readings to Prometheus; None for none.
        host: Address to serve on; others than the loopback's let everyone on the network read.
        show: Function that is called several times a second with the latest readings.
        stdout, stderr: Descriptors that the command prints to; None for this process's own.

    Raises:
        InputError: the command cannot be started, a sensor or device is unknown, or an option is
            out of range.
        MissingExtra: `prometheus` without the package that serves.
    """
    from lydite.measure.telemetry import recording

    del session
    words = [str(word) for word in command]
    if words and duration is not None:
        raise InputError("a command ends by itself", where="duration", allowed="without a command")
    if (duration is not None and not duration > 0) or not idle >= 0:
        raise InputError("a time that is not positive", where="duration and idle")
    folder = None if out is None else Path(out)
    with ExitStack() as stack:
        home = folder or Path(stack.enter_context(TemporaryDirectory(prefix="lydite-")))
        path = home / "trace.jsonl"
        with recording(path, interval, sensors or None, devices) as record:
            with _watching(record, show, prometheus, host) as tick:
                _wait(idle, tick)
                record.mark(START)
                if words:
                    code, interrupted = _run(words, stdout, stderr, tick)
                else:
                    code, interrupted = None, not _wait(duration, tick)
                record.mark(END)
        trace = record.trace()
    found = _findings(trace, words, code, interrupted, idle > 0, folder)
    result = MonitorResult(trace, found)
    if folder is not None:
        from lydite.report.monitor import write_monitor_page

        trace.save(folder / "trace.csv")
        path.unlink()
        write_atomic(folder / "monitor.json", result.to_json() + "\n")
        write_monitor_page(folder / "monitor.html", trace, found)
    return result


@contextmanager
def _watching(
    record: Recording, show: Show | None, port: int | None, host: str
) -> Iterator[Callable[[], None]]:
    """A function that shows the latest readings, with metrics served meanwhile."""
    from lydite.measure.telemetry.follow import Follower

    follower = Follower(record.path)
    with ExitStack() as stack:
        if port is not None:
            from lydite.measure.telemetry.prometheus import serving

            stack.enter_context(serving(Follower(record.path), port, host))
        yield lambda: show(follower.latest()) if show else None


def _wait(seconds: float | None, tick: Callable[[], None]) -> bool:
    """Wait; whether the time is over, which it is not after Ctrl-C."""
    end_s = float("inf") if seconds is None else time.monotonic() + seconds
    try:
        while (left_s := end_s - time.monotonic()) > 0:
            tick()
            time.sleep(min(_SHOWN_S, left_s))
    except KeyboardInterrupt:
        return False
    return True


def _run(
    words: Sequence[str], stdout: int | None, stderr: int | None, tick: Callable[[], None]
) -> tuple[int, bool]:
    """Run a command; its exit code, and whether Ctrl-C came."""
    try:
        process = subprocess.Popen(words, stdout=stdout, stderr=stderr)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"cannot start '{words[0]}': {reason}", hint="lydite monitor -- COMMAND ARGUMENT..."
        ) from None
    interrupted = False
    while process.poll() is None:
        try:
            tick()
            process.wait(_SHOWN_S)
        except subprocess.TimeoutExpired:
            continue
        except KeyboardInterrupt:
            interrupted = True
            _end(process)
    code = process.returncode
    return (code if code >= 0 else 128 - code), interrupted


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a command that Ctrl-C reached as well; stop it if it does not end."""
    for stop in (process.terminate, process.kill):
        try:
            process.wait(_ENDING_S)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            stop()
    process.wait()


def _findings(
    trace: Trace,
    words: list[str],
    code: int | None,
    interrupted: bool,
    idle: bool,
    folder: Path | None,
) -> MonitorDocument:
    names = ("trace.csv", "monitor.json", "monitor.html")
    return {
        "command": words,
        "exit_code": code,
        "interrupted": interrupted,
        "duration_s": (trace.mark_ns(END) - trace.mark_ns(START)) * 1e-9,
        "interval_s": trace.interval_s,
        "devices": monitored_devices(trace, idle),
        "absent": [
            {"sensor": each.sensor, "reason": each.reason, "hint": each.hint}
            for each in trace.absent
        ],
        "notes": faults(trace),
        "files": [str(folder / name) for name in names] if folder else [],
    }
