"""Reader for nccl-tests logs, as printed or as CSV.

Two forms are read: the table that nccl-tests prints, in microseconds, and a CSV whose header names
the unit:

    #  Rank  0 Group  0 Pid  17 on  host device  0 [0x00] NVIDIA A100
    #  size  count  type  redop  root  time  algbw  busbw  #wrong  time  algbw  busbw  #wrong
      33554  8388608  float  sum  -1  230.0  145.9  145.9  0  229.0  146.5  146.5  0

    size(B),count,type,time(ns),busbw(GB/s),time(ns),busbw(GB/s)
    33554432,8388608,float,230000,145.88,229000,146.52

The second time, in place, is used, because gradients are exchanged in place. Neither form names the
collective, but a line "Collective test starting: all_gather_perf" or the file's name may; otherwise
all-reduce is assumed.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from lydite.errors import InputError
from lydite.opkey import Operand, OpKey, TensorType
from lydite.records import dataclass
from lydite.store.records import Conditions, Measurement, Software

SOURCE = "imported:nccl-tests"
DOMAIN = "lydite"
BACKEND = "nccl"

_UNKNOWN_MOMENT = "1970-01-01T00:00:00.000000Z"
_KINDS = {
    "all_reduce": "AllReduce",
    "allreduce": "AllReduce",
    "all_gather": "AllGather",
    "allgather": "AllGather",
    "reduce_scatter": "ReduceScatter",
    "broadcast": "Broadcast",
    "alltoall": "AllToAll",
    "sendrecv": "Send",
}
_DTYPES = {
    "int8": "int8",
    "uint8": "uint8",
    "int32": "int32",
    "uint32": "uint32",
    "int64": "int64",
    "uint64": "uint64",
    "half": "float16",
    "float": "float32",
    "double": "float64",
    "bfloat16": "bfloat16",
    "f8e4m3": "float8e4m3fn",
    "f8e5m2": "float8e5m2",
}
_ROW = re.compile(r"\s*\d+\s+\d+\s+[a-z]\w*\s")
_CSV_ROW = re.compile(r"\s*\d+\s*,")
_CSV_HEAD = re.compile(r"size\(B\),.*time\((ns|us|ms)\)")
_TAG = re.compile(r"\[\d+,\d+\](?:<std\w+>)?:")
"""What mpirun puts before every line with --tag-output."""
_RANK = re.compile(r"#\s+Rank\s+(\d+)\b")
_TEST = re.compile(r"#.*Collective test starting:\s*(\w+?)_perf")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3}


@dataclass(frozen=True, slots=True)
class NcclRow:
    """One size of a log: bytes of the whole tensor, ONNX element type, in-place seconds."""

    size_bytes: int
    dtype: str
    seconds: float


@dataclass(frozen=True, slots=True)
class NcclLog:
    """An nccl-tests log.

    Attributes:
        kind: Operator type of the collective, such as "AllReduce".
        ranks: Number of ranks that the log lists; None if it lists none.
        rows: Measured sizes, in the order of the file.
    """

    kind: str
    ranks: int | None
    rows: tuple[NcclRow, ...]


def read_nccl_tests(path: Path | str) -> NcclLog:
    """Read a log in either form.

    Raises:
        InputError: the file does not exist, has no rows, or has an invalid row (names its line).
    """
    path = Path(path)
    rows: list[NcclRow] = []
    ranks: set[str] = set()
    kind, unit = _named(path.stem.lower()), "us"
    for number, tagged in enumerate(_text(path).splitlines(), 1):
        line = _TAG.sub("", tagged)
        where = f"{path}, line {number}"
        if rank := _RANK.match(line):
            ranks.add(rank[1])
        elif test := _TEST.match(line):
            kind = _named(test[1])
        elif head := _CSV_HEAD.match(line):
            unit = head[1]
        elif _CSV_ROW.match(line):
            rows.append(_csv_row(line, unit, where))
        elif _ROW.match(line):
            rows.append(_table_row(line, where))
    if not rows:
        raise InputError(
            "holds no rows of nccl-tests", where=str(path), allowed="size count type ..."
        )
    return NcclLog(kind, len(ranks) or None, tuple(rows))


def read_nccl_measurements(
    path: Path | str, *, device: str, ranks: int | None = None
) -> list[Measurement]:
    """A log's rows as measurements of operators such as `lydite:AllReduce` with `size` ranks.

    The same file always gives the same measurements: a log has no timestamp, so theirs is 1970.

    Args:
        path: Path of the log.
        device: Name of the device that it was measured on.
        ranks: Number of ranks, if the log does not list them.

    Raises:
        InputError: as for `read_nccl_tests`; also if the number of ranks is unknown, below two, or
            differs from the log's list.
    """
    log = read_nccl_tests(path)
    if ranks is None and log.ranks is None:
        raise InputError("lists no ranks", where=str(path), hint="add --ranks N")
    if None not in (ranks, log.ranks) and ranks != log.ranks:
        raise InputError(f"lists {log.ranks} ranks, not {ranks}", where=str(path))
    count = ranks or log.ranks or 0
    if count < 2:
        raise InputError(f"{count} ranks", where=str(path), allowed="2 or more")
    return [
        Measurement(
            key=collective_key(log.kind, count, row.dtype, row.size_bytes),
            device=device,
            software=Software(BACKEND),
            conditions=Conditions(),
            samples_s=np.array([row.seconds]),
            measured_at=_UNKNOWN_MOMENT,
            source=SOURCE,
        )
        for row in log.rows
    ]


def collective_key(kind: str, ranks: int, dtype: str, size_bytes: int) -> OpKey:
    """Key of a collective as an operator whose input is the contribution of one rank.

    Args:
        kind: Operator type of the collective, such as "AllReduce".
        ranks: Number of ranks.
        dtype: Element type.
        size_bytes: Size of the whole tensor in bytes.
    """
    whole = size_bytes // (TensorType(dtype, (1,)).nbytes or 1)
    count = whole // ranks if kind == "AllGather" else whole
    operand = Operand(TensorType(dtype, (count,)))
    return OpKey(kind, (operand,), attrs={"size": ranks}, domain=DOMAIN)


def _named(name: str) -> str:
    return next((kind for text, kind in _KINDS.items() if text in name), "AllReduce")


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        raise InputError("no such file", where=str(path)) from None
    except UnicodeDecodeError as error:
        raise InputError(f"is not text: byte {error.start} is not UTF-8", where=str(path)) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error


def _table_row(line: str, where: str) -> NcclRow:
    columns = line.split()
    if len(columns) not in (12, 13):
        raise _no_row(where)
    return _row(columns[0], columns[2], columns[-4], "us", where)


def _csv_row(line: str, unit: str, where: str) -> NcclRow:
    columns = [column.strip() for column in line.split(",")]
    if len(columns) != 7:
        raise _no_row(where)
    return _row(columns[0], columns[2], columns[5], unit, where)


def _row(size: str, dtype: str, time: str, unit: str, where: str) -> NcclRow:
    try:
        size_bytes, seconds = int(size), float(time) * _SECONDS[unit]
    except ValueError:
        raise _no_row(where) from None
    if dtype not in _DTYPES or not (0 <= size_bytes < 10**18 and 0 < seconds < 1e6):
        raise _no_row(where)
    return NcclRow(size_bytes, _DTYPES[dtype], seconds)


def _no_row(where: str) -> InputError:
    return InputError(
        "is not a row of nccl-tests",
        where=where,
        allowed="size count type redop [root] and twice time algbw busbw #wrong, "
        "or size,count,type and twice time,busbw",
    )
