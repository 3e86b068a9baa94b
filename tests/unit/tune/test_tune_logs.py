"""Logs: ours without a loss, AutoTVM's for their configurations."""

from __future__ import annotations

import json

import pytest
from tune_samples import HERE, conv_key, gemm_key, task

from lydite.backends.tuned import default_config
from lydite.errors import InputError
from lydite.store import Software, Trial
from lydite.tune import read_log, write_log


def autotvm(task_name: str, arguments: list, entity: list, **changes) -> str:
    record = {
        "input": ["llvm -mcpu=skylake-avx512", task_name, arguments, {}],
        "config": {"index": 1, "code_hash": None, "entity": entity},
        "result": [[1e-4], 0, 1.5, 1.5e9],
        "version": 0.2,
        "tvm_version": "0.7.dev0",
    }
    return json.dumps(record | changes)


def tensors(*shapes: list[int]) -> list:
    return [["TENSOR", shape, "float32"] for shape in shapes]


CONV_ARGUMENTS = [*tensors([1, 64, 56, 56], [64, 64, 3, 3]), [1, 1], [1, 1, 1, 1], [1, 1]]
CONV_ARGUMENTS += ["NCHW", "NCHW", "float32"]
CONV_ENTITY = [["tile_ic", "sp", [-1, 64]], ["tile_oc", "sp", [-1, 32]], ["tile_ow", "sp", [-1, 7]]]
CONV_ENTITY += [["unroll_kw", "ot", True]]


def trials() -> list[Trial]:
    made = []
    for key in (gemm_key(128, 768, 768), conv_key(64, 56, 64)):
        config = default_config(task(key), HERE)
        fields = (key, "cpu-a", Software("tvm", {"apache-tvm": "0.27"}), HERE.target, config.space)
        when = {"measured_at": "2026-01-01T00:00:00Z"}
        made.append(Trial(*fields, config.factors, seconds=1e-4, reference_s=2e-4, **when))
        made.append(Trial(*fields, config.factors, status="timeout", error="no answer", **when))
    return made


def test_ours_comes_back_as_it_was(tmp_path):
    path = tmp_path / "log.jsonl"
    assert write_log(path, trials(), "lydite") == 4
    log = read_log(path, HERE, "another")
    assert list(log.trials) == trials()
    assert (log.records, log.left) == (4, {})


def test_autotvm_form_comes_back_with_its_times(tmp_path):
    path = tmp_path / "log.txt"
    write_log(path, trials(), "autotvm")
    first = json.loads(path.read_text().splitlines()[0])
    assert first["version"] == 0.2
    assert [len(entry) for entry in first["config"]["entity"]] == [3] * len(trials()[0].factors)
    read = read_log(path, HERE, "cpu-a").trials
    assert [t.seconds for t in read] == [1e-4, None, 1e-4, None]
    assert [dict(t.factors) for t in read] == [dict(t.factors) for t in trials()]
    assert {t.role for t in read} == {"imported"}


def test_public_records_become_configurations(tmp_path):
    path = tmp_path / "llvm.log"
    lines = [
        "# pre-tuned",
        autotvm("conv2d_NCHWc.x86", CONV_ARGUMENTS, CONV_ENTITY),
        autotvm(
            "dense_pack.x86",
            [*tensors([1, 2048], [1000, 2048]), None, "float32"],
            [["tile_y", "sp", [-1, 1]], ["tile_x", "sp", [-1, 32]], ["tile_k", "sp", [-1, 64]]],
        ),
        autotvm("roi_align.x86", [], []),
    ]
    path.write_text("\n".join(lines))
    log = read_log(path, HERE, "cpu-a")
    assert log.records == 3
    assert log.left == {"no schedule space for roi_align.x86": 1}
    conv, dense = log.trials
    assert (conv.space, conv.factors["rows"], conv.factors["vectors"]) == ("conv-direct", 7, 2)
    assert task(conv.key).dims == task(conv_key(64, 56, 64)).dims
    assert (dense.space, dense.factors["vectors"]) == ("gemv", 2)
    assert all(t.status == "untimed" and t.seconds is None for t in log.trials)
    assert conv.target == "llvm -mcpu=skylake-avx512"
    assert conv.parent == "llvm.log"


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[1, 2]",
        '{"input": []}',
        autotvm("conv2d_NCHWc.x86", CONV_ARGUMENTS, CONV_ENTITY, version=0.1),
        autotvm("conv2d_NCHWc.x86", CONV_ARGUMENTS[:2], CONV_ENTITY),
        '{"schema": "lydite/trial/1", "key": {}}',
    ],
)
def test_other_lines_are_refused_with_their_number(tmp_path, line):
    path = tmp_path / "bad.log"
    path.write_text(f"# comment\n{line}\n")
    with pytest.raises(InputError, match=r"bad.log, line 2: not a record"):
        read_log(path, HERE, "cpu")


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_log(tmp_path / "none.log", HERE, "cpu")
    with pytest.raises(InputError, match="unknown form"):
        write_log(tmp_path / "x", [], "csv")
