"""Devices by name, and the estimators for each device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.estimate import AchievedEfficiency, Estimate, Estimator, Rows
    from lydite.hardware import Device
    from lydite.store import Readings

THIS_MACHINE = ("cpu", "local", "here")
"""Names of the processor of this machine."""


@contextmanager
def device_and_sources(
    session: Session, on: str | Device
) -> Iterator[tuple[Device, list[Readings]]]:
    """A device, and what may hold its measurements: the user's database, and what is shipped.

    Raises:
        InputError: the device is unknown (the error suggests the nearest name).
    """
    from lydite.hardware import full_name, local_device
    from lydite.store import open_shipped

    name = on if isinstance(on, str) else on.name
    named = local_device().name if name in THIS_MACHINE else name
    with session.readings() as own:
        shipped = open_shipped(full_name(named))
        sources = [own] if shipped is None else [own, shipped]
        yield (device_named(on, sources) if isinstance(on, str) else on), sources


def device_named(name: str, databases: Sequence[Readings]) -> Device:
    """A device by name: this machine's, one from the catalog, or one with rows in a database.

    Raises:
        InputError: the device is unknown (the error suggests the nearest name).
    """
    from lydite.hardware import Device, find_device, local_device

    for database in databases:
        record = database.device(name)
        if record is not None and record.spec and name != local_device().name:
            return Device.from_json(record.spec)
    return find_device(name)


def chain_for(
    databases: Sequence[Readings],
    device: Device,
    rows: Rows,
    achieved: AchievedEfficiency | None = None,
) -> tuple[Estimator, Estimate | None]:
    """Estimators for a device, and the cost of one call into the backend.

    Chip designs are simulated; operators of other devices are looked up, interpolated or modelled.
    """
    from lydite.estimate.assemble import usual_chain

    if device.chip is None:
        return usual_chain(databases, device, rows, achieved)
    from lydite.chip import ChipEstimator

    return ChipEstimator(device.chip), None
