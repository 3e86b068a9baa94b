"""One's own rows: what the database holds of operators that ran on GPUs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lydite.errors import InputError
from lydite.estimate.learned.describe import described
from lydite.estimate.learned.families import FAMILIES
from lydite.hardware import Device, find_device
from lydite.learn.rows import Rows, make_rows
from lydite.store import Database


def database_rows(database: Database) -> list[Rows]:
    """Rows by family and device: the median of all samples of each operator, measured alone.

    Operators of several families, of types outside all of them, and of other devices than NVIDIA's
    GPUs are left out.

    Raises:
        InputError: no row is of a family, or a device lacks a figure that one needs.
    """
    samples: dict[tuple[str, str], dict[tuple[float, ...], list[float]]] = {}
    for row in database.query(scope="isolated", status="ok"):
        parts = described(row.key)
        if len(parts) != 1:
            continue
        family, dtype, sizes = parts[0]
        if family == "stream" or dtype == FAMILIES[family].dtype or dtype == "float16":
            found = samples.setdefault((family, row.device), {})
            found.setdefault(sizes, []).extend(float(sample) for sample in row.samples_s)
    specs = {record.name: record.spec for record in database.devices()}
    made: list[Rows] = []
    for (family, name), found in sorted(samples.items()):
        device = _device(name, specs)
        if device is None or device.kind != "gpu" or device.vendor != "NVIDIA":
            continue
        order = sorted(found)
        seconds = np.array([float(np.median(found[sizes])) for sizes in order])
        made.append(make_rows(family, device, np.array(order), seconds))
    if not made:
        raise InputError(
            "holds no operator of a learned family on an NVIDIA GPU",
            where="the database",
            hint="lydite profile MODEL --backend torch-cuda, or lydite db import",
        )
    return made


def _device(name: str, specs: Mapping[str, Any]) -> Device | None:
    try:
        return find_device(name)
    except InputError:
        return Device.from_json(specs[name]) if name in specs else None
