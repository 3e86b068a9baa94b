"""Operators of a device between its arithmetic and its memory bandwidth."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from sqlalchemy import select

from lydite.api.dashboard.measurements import named
from lydite.api.dashboard.reader import Reader
from lydite.errors import LyditeError
from lydite.opkey import OpKey
from lydite.records import dataclass
from lydite.store import schema

MOST_POINTS = 4000
_m, _o = schema.measurements.c, schema.ops.c


@dataclass(frozen=True, slots=True)
class RooflinePoint:
    """One measured operator.

    Attributes:
        id: Id of the measurement.
        operator, shapes: Type with the domain, and types of the inputs.
        flops: Number of FLOPs; a multiply-add counts as 2.
        bytes_moved: Each input read once and each output written once.
        seconds: Median time.
    """

    id: str
    operator: str
    shapes: str
    flops: float
    bytes_moved: float
    seconds: float

    @property
    def intensity(self) -> float:
        """FLOPs per byte moved."""
        return self.flops / self.bytes_moved

    @property
    def flops_per_s(self) -> float:
        """FLOPs per second."""
        return self.flops / self.seconds

    @property
    def bytes_per_s(self) -> float:
        """Bytes per second."""
        return self.bytes_moved / self.seconds


@dataclass(frozen=True, slots=True)
class RooflineDevice:
    """What the catalog says of a device: peak in FLOP/s by data type, and bytes/s of its memory."""

    name: str
    peaks: dict[str, float]
    bandwidth: float


def roofline_points(
    reader: Reader, device: str, *, op_type: str = "", limit: int = MOST_POINTS
) -> tuple[list[RooflinePoint], int]:
    """Measured operators of a device, each alone, in the order of their digests.

    That order has nothing to do with the operators, so the first ones are a fair sample of all.

    Returns:
        The points, and the number of rows whose work is not known or 0.
    """
    query = (
        select(_m.id, _m.median_s, _m.op, _o.text)
        .select_from(schema.measurements.join(schema.ops))
        .where(_m.device == device, _m.scope == "isolated", _m.status == "ok")
    )
    if op_type:
        query = query.where(_m.op.in_(select(_o.digest).where(_o.op_type == op_type)))
    with reader.reading() as connection:
        found = connection.execute(query.order_by(_m.op).limit(limit)).all()
    points = [point for row in found if (point := _point(row)) is not None]
    return points, len(found) - len(points)


def roofline_device(reader: Reader, name: str) -> RooflineDevice | None:
    """Peaks of a device, as the database or else the catalog has them; None if neither knows it."""
    from lydite.hardware import Device, find_device

    with reader.reading() as connection:
        d = schema.devices.c
        spec = connection.execute(select(d.spec).where(d.name == name)).scalar()
    try:
        device = Device.from_json(json.loads(spec)) if spec else find_device(name)
    except LyditeError:
        return None
    return RooflineDevice(name, dict(device.peak_flops), device.memory_bandwidth)


def warm_up() -> None:
    """Import what the work of operators needs, before the first page asks for it."""
    key = OpKey("Relu")
    _work(key.digest, key.text)


def _point(row: Any) -> RooflinePoint | None:
    operator, shapes, flops, moved = _work(row.op, row.text)
    if not (flops and moved and row.median_s):
        return None
    return RooflinePoint(row.id, operator, shapes, flops, moved, row.median_s)


@lru_cache(maxsize=50_000)
def _work(_digest: str, text: str) -> tuple[str, str, float, float]:
    from lydite.graph.work import work_of_key

    try:
        work = work_of_key(OpKey.parse(text))
    except (LyditeError, ValueError, TypeError, LookupError):
        work = None
    return *named(text), *((work.flops, work.bytes_moved) if work else (0.0, 0.0))
