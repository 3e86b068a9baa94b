"""JSON Lines: one record per line, after a header line with format and version.

{"kind": "lydite", "version": 1}
{"kind": "run", "id": ..., "command": ...}
{"kind": "device", "name": ..., "spec": ...}
{"kind": "measurement", "key": ..., "samples_s": [...], ...}
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from lydite.errors import InputError
from lydite.files import replacing
from lydite.store import documents
from lydite.store.records import DeviceRecord, Measurement, Run

_READERS = {
    "run": documents.read_run,
    "device": documents.read_device,
    "measurement": documents.read_measurement,
}


def write(path: Path, items: Iterable[Run | DeviceRecord | Measurement]) -> int:
    """Write records, gzipped if the path ends in .gz, and return the number of measurements.

    The same records give the same bytes.

    Raises:
        LyditeError: the file cannot be written.
    """
    count = 0
    with replacing(path) as temporary, temporary.open("wb") as file:
        packed = gzip.GzipFile("", "wb", fileobj=file, mtime=0) if path.suffix == ".gz" else None
        with io.TextIOWrapper(packed or file, encoding="ascii", newline="\n") as text:
            text.write(_line({"kind": "lydite", "version": documents.FORMAT_VERSION}))
            for item in items:
                if isinstance(item, Measurement):
                    count += 1
                    record = {"kind": "measurement", **documents.measurement_document(item)}
                elif isinstance(item, Run):
                    record = {"kind": "run", **documents.run_document(item)}
                else:
                    record = {"kind": "device", **documents.device_document(item)}
                text.write(_line(record))
    return count


MOST_LINE_BYTES = 64 << 20
"""Most bytes of one record: a million samples are 20 MB."""


def read(path: Path) -> Iterator[tuple[str, Run | DeviceRecord | Measurement]]:
    """The records of a file, each with its file:line.

    Raises:
        InputError: the file cannot be read, or a line is invalid (names the first).
    """
    number = 0
    try:
        with path.open("rb") as file:
            lines: BinaryIO | gzip.GzipFile = file
            if path.suffix == ".gz":
                lines = gzip.GzipFile(fileobj=file)
            for number, line in enumerate(_lines(lines), 1):
                where = f"{path}:{number}"
                if len(line) > MOST_LINE_BYTES:
                    raise InputError(
                        "the line is too long for a record",
                        where=where,
                        allowed=f"{MOST_LINE_BYTES} bytes at most",
                    )
                if number == 1:
                    _check_header(line, where)
                elif line.strip():
                    yield where, _record(line, where)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot be read: {error}", where=f"{path}:{number + 1}") from error
    if not number:
        raise InputError("is empty", where=str(path))


def _lines(file: BinaryIO | gzip.GzipFile) -> Iterator[bytes]:
    """Lines of a file, of which no more is read at once than a record may have."""
    while line := file.readline(MOST_LINE_BYTES + 1):
        yield line


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n"


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON: {error}", where=where) from error
    if not isinstance(record, dict):
        raise InputError("is not a JSON object", where=where)
    return record


def _check_header(line: bytes, where: str) -> None:
    header = _object(line, where)
    if header.get("kind") != "lydite":
        raise InputError("is not a Lydite export", where=where)
    with documents.at(where):
        documents.check_version(header.get("version"))


def _record(line: bytes, where: str) -> Run | DeviceRecord | Measurement:
    record = _object(line, where)
    kind = record.pop("kind", None)
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise InputError(f"has the unknown kind {kind!r}", where=where, allowed=", ".join(_READERS))
    with documents.at(where):
        return reader(record)
