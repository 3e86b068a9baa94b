"""Parquet: one row per measurement, for data frames; runs and devices in the file's metadata.

The columns op_type, domain, median_s, low_s and high_s are redundant, for the reader's convenience;
an import recomputes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from types import ModuleType
from typing import Any

from lydite.errors import InputError, MissingExtra
from lydite.files import replacing
from lydite.store import documents
from lydite.store.records import DeviceRecord, Measurement, Run
from lydite.store.values import canonical_json

_ROWS_PER_GROUP = 10_000
_METADATA = b"lydite"
_JSON_COLUMNS = ("versions", "environment")
_EXTRA_COLUMNS = ("op_type", "domain", "median_s", "low_s", "high_s")


def write(path: Path, items: Iterable[Run | DeviceRecord | Measurement]) -> int:
    """Write records to a file, and return the number of measurements.

    Raises:
        MissingExtra: pyarrow is not installed.
        LyditeError: the file cannot be written.
    """
    pyarrow = _pyarrow()
    from pyarrow.parquet import ParquetWriter

    rest = iter(items)
    described: dict[str, Any] = {"version": documents.FORMAT_VERSION, "runs": [], "devices": []}
    first: list[Measurement] = []
    for item in rest:
        if isinstance(item, Measurement):
            first = [item]
            break
        if isinstance(item, Run):
            described["runs"].append(documents.run_document(item))
        else:
            described["devices"].append(documents.device_document(item))
    text = canonical_json(described, "runs and devices")
    schema = _schema(pyarrow).with_metadata({_METADATA: text.encode()})
    measured = (item for item in chain(first, rest) if isinstance(item, Measurement))
    count = 0
    with (
        replacing(path) as temporary,
        ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        while group := [_row(item) for item in islice(measured, _ROWS_PER_GROUP)]:
            writer.write_table(pyarrow.Table.from_pylist(group, schema=schema))
            count += len(group)
    return count


def read(path: Path) -> Iterator[tuple[str, Run | DeviceRecord | Measurement]]:
    """The records of a file, each with its file and row.

    Raises:
        MissingExtra: pyarrow is not installed.
        InputError: the file cannot be read, or a row is invalid (names the first).
    """
    pyarrow = _pyarrow()
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        with ParquetFile(path) as file:
            yield from _described(file.schema_arrow.metadata or {}, str(path))
            columns = [name for name in _schema(pyarrow).names if name not in _EXTRA_COLUMNS]
            for batch in file.iter_batches(batch_size=_ROWS_PER_GROUP, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    where = f"{path}: row {number}"
                    yield where, _measurement(row, where)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())
        raise InputError(f"cannot be read: {said}", where=f"{path}: row {number + 1}") from error


def _pyarrow() -> ModuleType:
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtra("pyarrow", "parquet") from error
    return pyarrow


def _schema(pyarrow: ModuleType) -> Any:
    text, real = pyarrow.string(), pyarrow.float64()
    kinds = {
        "key": text,
        "op_type": text,
        "domain": text,
        "device": text,
        "backend": text,
        "versions": text,
        "threads": pyarrow.int32(),
        "cache": text,
        "scope": text,
        "status": text,
        "error": text,
        "median_s": real,
        "low_s": real,
        "high_s": real,
        "samples_s": pyarrow.list_(real),
        "energy_j": real,
        "environment": text,
        "measured_at": text,
        "run": text,
        "source": text,
    }
    return pyarrow.schema(list(kinds.items()))


def _row(item: Measurement) -> dict[str, Any]:
    row = documents.measurement_document(item)
    for name in _JSON_COLUMNS:
        row[name] = canonical_json(row[name], name)
    low, median, high = item.quantiles_s() if item.status == "ok" else (None, None, None)
    return row | {
        "op_type": item.key.op_type,
        "domain": item.key.domain,
        "low_s": low,
        "median_s": median,
        "high_s": high,
    }


def _measurement(row: dict[str, Any], where: str) -> Measurement:
    with documents.at(where):
        try:
            for name in _JSON_COLUMNS:
                row[name] = json.loads(row[name])
        except (ValueError, TypeError, RecursionError, KeyError) as error:
            raise InputError(f"is damaged: {error}") from error
        return documents.read_measurement(row)


def _described(
    metadata: dict[bytes, bytes], where: str
) -> Iterator[tuple[str, Run | DeviceRecord | Measurement]]:
    if _METADATA not in metadata:
        raise InputError("is not a Lydite export", where=where)
    with documents.at(where):
        try:
            described = json.loads(metadata[_METADATA])
            documents.check_version(described["version"])
            runs = [documents.read_run(document) for document in described["runs"]]
            devices = [documents.read_device(document) for document in described["devices"]]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise InputError(f"has damaged metadata: {error}") from error
    yield from ((where, item) for item in (*runs, *devices))
