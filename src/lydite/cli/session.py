"""A measuring session from the options of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lydite.errors import BackendError, InputError, unknown_name

if TYPE_CHECKING:
    from lydite.measure import Session
    from lydite.store import Database

CLOCKS = ("wall", "process")
CACHES = ("rotated", "hot", "cold")


def make_session(
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
) -> Session:
    """A session; every option is checked here.

    Raises:
        InputError: an option out of range.
        BackendError: the backend cannot run here.
    """
    from lydite.backends import Settings, find_backend
    from lydite.hardware import find_device, physical_cores
    from lydite.measure import Plan, Session
    from lydite.units import parse_quantity

    for kind, value, known in (("clock", clock, CLOCKS), ("cache state", cache, CACHES)):
        if value not in known:
            raise unknown_name(kind, value, known)
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
    spec = find_device("cpu" if device == "cpu" else accelerator_name(device))
    database.add_device(spec.name, spec.to_json())
    return Session(
        found,
        database,
        spec.name,
        Settings(threads=threads, device=device, seed=seed),
        Plan(
            rounds=rounds,
            budget_s=budget,
            clock="wall" if clock == "wall" else "process",
            seed=seed,
        ),
        cache=cache,
        run=run,
        timeout_s=timeout,
        memory_bytes=int(parse_quantity(memory, "B", where="--memory")) if memory else None,
    )


def accelerator_name(device: str) -> str:
    """Name of the accelerator that this machine has, as its driver says it.

    Raises:
        BackendError: none can be seen.
    """
    from lydite.hardware.accelerators import accelerators

    found = accelerators()
    if not found:
        raise BackendError(f"no accelerator is visible for '{device}'", hint="type: lydite doctor")
    return found[0].name


def reported_device(session: Session) -> str:
    """The device's name in results."""
    return session.device
