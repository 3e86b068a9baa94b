"""Measuring sessions and recorded runs, with all options checked."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lydite.errors import BackendError, InputError, UnitError, unknown_name
from lydite.results import Result, note

if TYPE_CHECKING:
    from lydite.hardware import Device
    from lydite.measure import MeasuringSession as Measuring
    from lydite.store import Database

CLOCKS = ("wall", "process")
CACHES = ("rotated", "hot", "cold")


def check_clock(clock: str) -> None:
    """Check the name of a clock.

    Raises:
        InputError: the clock is neither "wall" nor "process".
    """
    if clock not in CLOCKS:
        raise unknown_name("clock", clock, CLOCKS)


def measured_device(device: str = "cpu") -> Device:
    """The device that a backend's "cpu" or "cuda" stands for on this machine."""
    from lydite.hardware import find_device

    return find_device("cpu" if device == "cpu" else accelerator_name(device))


def device_of_backend(device: str) -> Device | None:
    """Like `measured_device`, but None if no such device is visible (which is refused later)."""
    try:
        return measured_device(device)
    except BackendError:
        return None


def make_measuring(
    backend: str,
    database: Database,
    *,
    threads: int,
    device: str = "cpu",
    cache: str = "rotated",
    clock: str = "wall",
    budget: float = 0.5,
    seed: int = 0,
    run: str | None = None,
    timeout: float = 120.0,
    memory: str | None = None,
    rounds: int = 15,
    record: bool = True,
) -> Measuring:
    """Create a measuring session.

    Args:
        backend: Name of the backend.
        database: Database that receives the rows.
        threads: Number of threads per operator.
        device: Device of the backend, "cpu" or "cuda".
        cache: Cache state of the weights before a call: "rotated", "hot" or "cold".
        clock: Clock: "wall" or "process".
        budget: Seconds to spend on each measurement.
        seed: Random seed of weights, inputs and orders.
        run: Id of the run that the rows belong to.
        timeout: Longest time in seconds without an answer of the worker.
        memory: Maximum memory of the worker, such as "8 GiB".
        rounds: Maximum number of samples.
        record: Whether to store the device's specification now.

    Raises:
        InputError: an option is out of range.
        BackendError: the backend cannot run here.
    """
    from lydite.backends import Settings, find_backend
    from lydite.hardware import physical_cores
    from lydite.measure import MeasuringSession as Measuring
    from lydite.measure import TimingPlan

    check_clock(clock)
    if cache not in CACHES:
        raise unknown_name("cache state", cache, CACHES)
    if device == "cpu" and threads > physical_cores():
        raise InputError(
            f"--threads {threads} is more than the {physical_cores()} cores of this machine"
        )
    found = find_backend(backend)
    capabilities = found.capabilities()
    if not capabilities.available:
        raise BackendError(
            f"{backend} cannot run here: {capabilities.reason}", hint=capabilities.hint
        )
    if device not in capabilities.devices:
        raise BackendError(
            f"{backend} has no device '{device}' here", allowed=", ".join(capabilities.devices)
        )
    spec = measured_device(device)
    if record:
        database.add_device(spec.name, spec.to_json())
    return Measuring(
        found,
        database,
        spec.name,
        Settings(threads=threads, device=device, seed=seed),
        TimingPlan(
            rounds=rounds,
            budget_s=budget,
            clock="wall" if clock == "wall" else "process",
            seed=seed,
        ),
        cache=cache,
        run=run,
        timeout_s=timeout,
        memory_bytes=_bytes(memory) if memory else None,
    )


def _bytes(memory: str) -> int:
    """A size of memory, which must have a unit: 8 alone would be eight bytes."""
    from lydite.units import parse_quantity

    if memory.strip().replace(".", "", 1).isdigit():
        raise UnitError(
            f"'{memory}' has no unit", where="--memory", allowed=f"such as '{memory} GiB'"
        )
    return int(parse_quantity(memory, "B", where="--memory"))


def accelerator_name(device: str) -> str:
    """Name of this machine's accelerator, as its driver reports it.

    Raises:
        BackendError: no accelerator is visible.
    """
    from lydite.hardware.accelerators import accelerators

    found = accelerators()
    if not found:
        raise BackendError(f"no accelerator is visible for '{device}'", hint="type: lydite doctor")
    return found[0].name


PROCESS = "process"
"""Argument of a recorded run that tells which process it is."""


def this_process() -> dict[str, Any]:
    """Host, id and start time of this process."""
    return _process(os.getpid())


def _process(pid: int) -> dict[str, Any]:
    import psutil  # slow, and often not needed

    started = psutil.Process(pid).create_time()
    return {"host": socket.gethostname(), "pid": pid, "started_s": round(started, 2)}


def was_killed(process: Any) -> bool:
    """Whether a process of this host is gone; False for one of another host."""
    if not isinstance(process, Mapping) or process.get("host") != socket.gethostname():
        return False
    import psutil  # slow, and often not needed

    try:
        return _process(int(process["pid"])) != dict(process)
    except (psutil.Error, KeyError, TypeError, ValueError):
        return True


@contextmanager
def recorded_run(
    database: Database, command: str, arguments: Mapping[str, Any]
) -> Iterator[RecordedRun]:
    """Record a run in the database: done with its result, failed, or interrupted."""
    began = time.perf_counter()
    run = RecordedRun(database.start_run(command, {**arguments, PROCESS: this_process()}))
    status = "failed"
    try:
        yield run
        status = "done"
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    finally:
        database.finish_run(run.id, status, run.result, seconds=time.perf_counter() - began)


class RecordedRun:
    """A run's id, and the result to save with it."""

    def __init__(self, identity: str) -> None:
        self.id = identity
        self.result: dict[str, Any] = {}

    def keep(self, result: Result, *, without: str = "") -> None:
        """Save a result with the run, but for one key of its document.

        A verb that does so need not be asked to record, and `session.record` knows it.
        """
        self.result = {key: part for key, part in result.to_dict().items() if key != without}
        note(result, run_id=self.id)
