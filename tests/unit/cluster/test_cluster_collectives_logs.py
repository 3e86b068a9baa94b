"""nccl-tests' logs: both forms, into the database and out of it."""

from __future__ import annotations

import pytest

from lydite.cluster.collectives import curves_in, read_nccl_log
from lydite.errors import InputError
from lydite.store import Database, read_nccl_measurements
from lydite.store.nccl import read_nccl_tests

TABLE = """\
# Collective test starting: all_gather_perf
#  Rank  0 Group  0 Pid  17 on  host device  0 [0x00] made up
#  Rank  1 Group  0 Pid  17 on  host device  1 [0x01] made up
#       size         count      type   redop    root     time   algbw   busbw #wrong     time ...
#        (B)    (elements)                               (us)  (GB/s)  (GB/s)            (us)
        4096           512      half    none      -1    12.00    0.01    0.01      0    10.00    0.01    0.01      0
        8192          1024      half    none      -1    22.00    0.01    0.01      0    30.00    0.01    0.01    N/A
# Avg bus bandwidth    : 0.01
"""  # noqa: E501
CSV = """\
size(B),count,type,time(ns),busbw(GB/s),time(ns),busbw(GB/s)
4096,1024,float,12000,0.3,10000,0.4
8192,2048,float,22000,0.3,30000,0.2
"""


@pytest.fixture
def logs(tmp_path):
    (tmp_path / "run.log").write_text(TABLE)
    (tmp_path / "lines.csv").write_text(CSV)
    return tmp_path


def test_both_forms_say_the_same(logs):
    table, lines = read_nccl_tests(logs / "run.log"), read_nccl_tests(logs / "lines.csv")
    assert (table.kind, table.ranks) == ("AllGather", 2)
    assert (lines.kind, lines.ranks) == ("AllReduce", None)
    for log, dtype in ((table, "float16"), (lines, "float32")):
        assert [(row.size_bytes, row.dtype) for row in log.rows] == [(4096, dtype), (8192, dtype)]
        assert [row.seconds for row in log.rows] == pytest.approx([10e-6, 30e-6])
    ranks, curve = read_nccl_log(logs / "lines.csv")
    assert ranks is None
    assert curve.at(6144) == pytest.approx(20e-6)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("reduce_scatter_8", "ReduceScatter"), ("alltoall_perf", "AllToAll"), ("a100", "AllReduce")],
)
def test_the_name_tells_the_collective(tmp_path, name, kind):
    (tmp_path / f"{name}.csv").write_text(CSV)
    assert read_nccl_tests(tmp_path / f"{name}.csv").kind == kind


def test_rows_become_operators(logs):
    """Of an all-gather a rank gives its share; of an all-reduce the whole."""
    gather = read_nccl_measurements(logs / "run.log", device="A100")
    assert [str(row.key.inputs[0]) for row in gather] == ["float16[1024]", "float16[2048]"]
    assert {(row.key.qualified_type, row.key.attrs["size"]) for row in gather} == {
        ("lydite:AllGather", 2)
    }
    reduce = read_nccl_measurements(logs / "lines.csv", device="A100", ranks=4)
    assert [str(row.key.inputs[0]) for row in reduce] == ["float32[1024]", "float32[2048]"]
    assert [row.median_s for row in reduce] == pytest.approx([10e-6, 30e-6])
    assert reduce[0].software.backend == "nccl"


def test_curves_come_back_from_the_database(logs):
    with Database.open(logs / "rows.db") as database:
        gather = read_nccl_measurements(logs / "run.log", device="A100")
        assert database.add(gather) == 2
        assert database.add(gather) == 0
        database.add(read_nccl_measurements(logs / "lines.csv", device="A100", ranks=4))
        (ranks, curve), *rest = curves_in(database, "A100", "AllGather").items()
        assert (ranks, rest, curve.sizes_bytes.tolist()) == (2, [], [4096, 8192])
        assert curve.seconds == pytest.approx([10e-6, 30e-6])
        assert list(curves_in(database, "A100")) == [4]
        assert curves_in(database, "V100") == {}


@pytest.mark.parametrize(
    ("content", "ranks", "message"),
    [
        (CSV, None, "lists no ranks; add --ranks N"),
        (TABLE, 4, "lists 2 ranks, not 4"),
        (CSV, 1, "1 ranks; allowed: 2 or more"),
        ("", 2, "no rows of nccl-tests"),
        (CSV.replace("10000", "fast"), 2, "line 2: is not a row"),
        (CSV.replace("float,12000", "quad,12000"), 2, "line 2: is not a row"),
        (CSV.replace(",0.2", ""), 2, "line 3: is not a row"),
        ("8,2,float,1,2,0,4\n", 2, "line 1: is not a row"),
    ],
)
def test_logs_that_are_refused(tmp_path, content, ranks, message):
    path = tmp_path / "bad.txt"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as raised:
        read_nccl_measurements(path, device="A100", ranks=ranks)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_files_that_are_no_text(tmp_path):
    with pytest.raises(InputError, match=r"none.log: no such file"):
        read_nccl_tests(tmp_path / "none.log")
    (tmp_path / "bytes.log").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"bytes.log: is not text: byte 0"):
        read_nccl_tests(tmp_path / "bytes.log")
    with pytest.raises(InputError, match="cannot be read"):
        read_nccl_tests(tmp_path)
