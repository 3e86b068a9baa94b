"""`lydite db import` of nccl-tests' logs."""

from __future__ import annotations

import json

CSV = """\
size(B),count,type,time(ns),busbw(GB/s),time(ns),busbw(GB/s)
4096,1024,float,12000,0.3,10000,0.4
8192,2048,float,22000,0.3,30000,0.2
"""


def test_a_log_is_taken_over_once(lydite, tmp_path):
    path, db = tmp_path / "all_reduce.csv", tmp_path / "rows.db"
    path.write_text(CSV)
    command = ("db", "import", path, "--device", "A100", "--ranks", "4", "--db", db)
    assert lydite(*command).out == f"2 new measurements from {path}\n"
    assert lydite(*command).out == f"0 new measurements from {path}\n"
    shown = lydite("db", "query", "--op-type", "AllReduce", "--json", "--db", db).out
    rows = json.loads(shown)["measurements"]
    assert sorted(row["median_s"] for row in rows) == [10e-6, 30e-6]
    assert {(row["device"], row["backend"], row["source"]) for row in rows} == {
        ("A100", "nccl", "imported:nccl-tests")
    }


def test_a_folder_is_taken_over_file_by_file(lydite, refused, tmp_path):
    folder, db = tmp_path / "measured", tmp_path / "rows.db"
    (folder / "logs").mkdir(parents=True)
    (folder / "logs" / "all_reduce.csv").write_text(CSV)
    (folder / "db.json").write_text('{"Relu%input%[8,3]%T%1": {"avg": 3.0}}')
    (folder / "readme.md").write_text("not read")
    more = ("--device", "A100", "--ranks", 4, "--db", db)
    assert lydite("db", "import", "aisim", folder, *more).out.startswith("1 new measurements")
    assert lydite("db", "import", folder, *more).out.startswith("2 new measurements")
    assert refused("db", "import", "lydite", folder, *more) == (
        f"{folder}: holds no file of measurements; allowed: .jsonl, .jsonl.gz, .parquet"
    )


def test_what_is_missing_is_said(refused, tmp_path):
    path = tmp_path / "all_reduce.log"
    path.write_text(CSV)
    assert refused("db", "import", path) == (
        f"{path}: nccl-tests' logs do not name the device; add --device NAME"
    )
    line = refused("db", "import", path, "--device", "A100")
    assert line == f"{path}: lists no ranks; add --ranks N"
    path.write_text("# nothing\n")
    assert "no rows of nccl-tests" in refused("db", "import", path, "--device", "A100")
    missing = tmp_path / "none.txt"
    assert refused("db", "import", missing, "--device", "x") == f"{missing}: no such file"


def test_a_step_takes_what_was_measured(lydite, tmp_path):
    """All-reduces ten times as long as modelled, of eight devices; others stay modelled."""
    step = ("simulate", "gpt2", "--train", "--batch", 64, "--no-overlap", "--json")
    before = json.loads(lydite(*step).out)
    assert before["collectives"]["dp"] == {"ranks": 8, "hosts": 1, "model": "nccl", "measured": []}
    rows = []
    for size in (1 << k for k in range(20, 31)):
        time_ns = int(1e5 + 2.5e-2 * size)
        rows.append(f"{size},{size // 4},float,{time_ns},1,{time_ns},1")
    log = tmp_path / "slow.csv"
    log.write_text(
        "size(B),count,type,time(ns),busbw(GB/s),time(ns),busbw(GB/s)\n" + "\n".join(rows)
    )
    ran = lydite(
        "db", "import", "nccl-tests", log, "--ranks", 8, "--device", "nvidia-a100-sxm4-40gb"
    )
    assert ran.code == 0, ran.err
    after = json.loads(lydite(*step).out)
    assert after["collectives"]["dp"]["measured"] == ["AllReduce"]
    assert after["breakdown_s"]["data"] > 2 * before["breakdown_s"]["data"]
