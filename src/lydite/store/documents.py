"""Records as plain dictionaries, as exports hold them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np

from lydite.errors import InputError
from lydite.store.records import (
    Conditions,
    DeviceRecord,
    Measurement,
    Run,
    Software,
    parse_key,
)

FORMAT_VERSION = 1

# Exports are ordered by operator, so a small cache of keys is enough.
_key = lru_cache(maxsize=256)(parse_key)
_software = lru_cache(maxsize=256)(lambda backend, versions: Software(backend, dict(versions)))

_MEASUREMENT_FIELDS = frozenset(
    {
        "key",
        "device",
        "backend",
        "versions",
        "threads",
        "cache",
        "scope",
        "samples_s",
        "status",
        "error",
        "energy_j",
        "environment",
        "measured_at",
        "run",
        "source",
    }
)
_RUN_FIELDS = frozenset(
    {"id", "command", "arguments", "started_at", "finished_at", "status", "result"}
)
_DEVICE_FIELDS = frozenset({"name", "spec"})


def measurement_document(item: Measurement) -> dict[str, Any]:
    """A measurement as a dictionary of JSON values; the key is its canonical text."""
    return {
        "key": item.key.text,
        "device": item.device,
        "backend": item.software.backend,
        "versions": dict(item.software.versions),
        "threads": item.conditions.threads,
        "cache": item.conditions.cache,
        "scope": item.conditions.scope,
        "samples_s": item.samples_s.tolist(),
        "status": item.status,
        "error": item.error,
        "energy_j": item.energy_j,
        "environment": item.environment,
        "measured_at": item.measured_at,
        "run": item.run,
        "source": item.source,
    }


def read_measurement(document: Mapping[str, Any]) -> Measurement:
    """Read a dictionary that `measurement_document` made.

    Raises:
        InputError: a field is missing, unknown, or has a wrong value.
    """
    fields = _exactly(document, _MEASUREMENT_FIELDS)
    samples, versions = fields.pop("samples_s"), fields.pop("versions")
    if not isinstance(samples, list) or not all(type(x) in (int, float) for x in samples):
        raise InputError("samples_s must be a list of numbers")
    try:
        seconds = np.array(samples, dtype=np.float64)
    except OverflowError as error:
        raise InputError("samples_s holds a number out of range") from error
    if not isinstance(versions, Mapping) or not all(isinstance(v, str) for v in versions.values()):
        raise InputError("versions must map names to text")
    key, backend = fields.pop("key"), fields.pop("backend")
    if not isinstance(key, str) or not isinstance(backend, str):
        raise InputError("key and backend must be text")
    conditions = Conditions(fields.pop("threads"), fields.pop("cache"), fields.pop("scope"))
    return Measurement(
        key=_key(key),
        software=_software(backend, frozenset(versions.items())),
        conditions=conditions,
        samples_s=seconds,
        **fields,
    )


def run_document(item: Run) -> dict[str, Any]:
    """A run as a dictionary of JSON values."""
    return {name: getattr(item, name) for name in sorted(_RUN_FIELDS)}


def read_run(document: Mapping[str, Any]) -> Run:
    """Read a dictionary that `run_document` made.

    Raises:
        InputError: a field is missing, unknown, or has a wrong value.
    """
    return Run(**_exactly(document, _RUN_FIELDS))


def device_document(item: DeviceRecord) -> dict[str, Any]:
    """A device as a dictionary of JSON values."""
    return {"name": item.name, "spec": item.spec}


def read_device(document: Mapping[str, Any]) -> DeviceRecord:
    """Read a dictionary that `device_document` made.

    Raises:
        InputError: a field is missing, unknown, or has a wrong value.
    """
    return DeviceRecord(**_exactly(document, _DEVICE_FIELDS))


def check_version(version: object) -> None:
    """Refuse an export of a newer Lydite.

    Raises:
        InputError: the value is not a version, or a newer one.
    """
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise InputError(f"has format version {version!r}", allowed=f"1 to {FORMAT_VERSION}")


@contextmanager
def at(where: str) -> Iterator[None]:
    """Add the location `where` to an InputError raised within the block."""
    try:
        yield
    except InputError as error:
        raise InputError(error.what, where=where, allowed=error.allowed) from error


def _exactly(document: object, fields: frozenset[str]) -> dict[str, Any]:
    if not isinstance(document, Mapping):
        raise InputError("is not an object")
    names = set(document)
    if names != fields:
        lacking = ", ".join(sorted(fields - names))
        odd = ", ".join(sorted(names - fields))
        faults = [f"lacks {lacking}" if lacking else "", f"has unknown fields {odd}" if odd else ""]
        raise InputError(" and ".join(filter(None, faults)))
    return dict(document)
