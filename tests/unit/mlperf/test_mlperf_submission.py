"""The tree that runs become: mapped models, what LoadGen was told, weights, both checkers."""

from __future__ import annotations

import json
import sys

import pytest

import lydite as ly
from lydite.api import Session
from lydite.api.mlperf.check import check as verb
from lydite.errors import InputError
from lydite.mlperf import tree
from lydite.mlperf.submission import user_conf
from lydite.mlperf.user_conf import parse_user_conf, values_for


def run_folder(root, model="my-net", scenario="Offline", **told):
    folder = root / model / scenario / tree.PERFORMANCE
    folder.mkdir(parents=True)
    (folder / "mlperf_log_detail.txt").write_text("")
    (folder / "mlperf_log_summary.txt").write_text("")
    if told:
        (folder / "verdict.json").write_text(json.dumps(told))
    return root


def test_models_are_mapped_to_benchmarks_by_any_of_their_names(tmp_path):
    runs = run_folder(tmp_path / "runs")
    run_folder(tmp_path / "runs", "other")
    ly.mlperf_submission(
        runs, tmp_path / "tree", submitter="ORG", division="open", map="my-net=resnet50, other=bert"
    )
    told = json.loads((tmp_path / "tree/open/ORG" / tree.MAPPING).read_text())
    assert told == {"my-net": "resnet", "other": "bert-99"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"map": "my-net=resnet"}, r"--map: the closed division has no models.*--division open"),
        ({"map": "my-net", "division": "open"}, "'my-net' maps nothing.*MODEL=BENCHMARK"),
        ({"map": "my-net=", "division": "open"}, "maps nothing"),
        ({"map": "my-net=resnt", "division": "open"}, "unknown benchmark 'resnt'.*resnet"),
        ({"map": "mynet=resnet", "division": "open"}, "unknown model 'mynet'.*my-net"),
    ],
)
def test_mappings_that_cannot_be_are_refused(tmp_path, given, message):
    runs = run_folder(tmp_path / "runs")
    with pytest.raises(InputError, match=message):
        ly.mlperf_submission(runs, tmp_path / "tree", **given)
    assert not (tmp_path / "tree").exists()


@pytest.mark.parametrize(
    ("precision", "said"),
    [("int8", "quantised"), ("fp16", "cast to fp16"), ("fp32", "none")],
)
def test_measurements_say_what_the_engine_was(tmp_path, precision, said):
    runs = run_folder(tmp_path / "runs", engine={"precision": precision})
    (folder,) = ly.mlperf_submission(runs, tmp_path / "tree").scenarios
    told = json.loads((folder / "measurements.json").read_text())
    assert told["weight_data_types"] == precision
    assert told["weight_transformations"].startswith(said)
    assert all(told[name] for name in tree.MEASUREMENT_FIELDS)


def test_the_user_conf_is_what_loadgen_was_told(tmp_path):
    values = {"min_duration_ms": 600000, "server_target_qps": 800.5, "mode": "x"}
    values |= {"server_target_latency_ns": 15_000_000, "sample_concatenate_permutation": False}
    runs = run_folder(tmp_path / "runs", scenario="Server", loadgen=values)
    (folder,) = ly.mlperf_submission(runs, tmp_path / "tree").scenarios
    text = (folder / "user.conf").read_text()
    lines = parse_user_conf(text, "user.conf", ["my-net"])
    found = {line.key: float(line.value) for line in lines}
    assert found == {
        "min_duration": 600000,
        "target_qps": 800.5,
        "target_latency": 15,
        "sample_concatenate_permutation": 0,
    }
    assert values_for(lines, "my-net", "Server")["target_qps"].value == 800.5
    stream = user_conf("SingleStream", {"loadgen": {"single_stream_expected_latency_ns": 20500}})
    assert "*.SingleStream.target_latency = 0.0205\n" in stream
    assert "*.Server.ttft_latency = 5" in user_conf("Interactive", {"loadgen": {"ttft_latency": 5}})


@pytest.mark.parametrize("text", ["", "[]", "{", '{"loadgen": 3, "engine": []}'])
def test_a_record_that_cannot_be_read_is_none(tmp_path, text):
    runs = run_folder(tmp_path / "runs")
    (runs / "my-net/Offline" / tree.PERFORMANCE / "verdict.json").write_text(text)
    (folder,) = ly.mlperf_submission(runs, tmp_path / "tree").scenarios
    assert (folder / "user.conf").read_text().startswith("# what LoadGen was told")


OFFICIAL = """import sys
print("[2026-11-27 23:33:21,524 base.py:19 ERROR] a/b.txt is wrong", file=sys.stderr)
print("ERROR:main:plain", file=sys.stderr)
print("[2026-11-27 23:33:21,524 main.py:9 INFO] nothing", file=sys.stderr)
sys.exit({code})
"""


def test_the_opinion_of_the_official_checker_stands_beside_ours(tmp_path):
    tool = tmp_path / "inference/tools/submission/submission_checker"
    tool.mkdir(parents=True)
    (tool / "__init__.py").write_text("")
    (tool / "main.py").write_text(OFFICIAL.replace("{code}", "1"))
    (tmp_path / "tree").mkdir()
    found = verb(Session(), tmp_path / "tree", official=tmp_path / "inference")
    assert found.official is False
    assert found.official_lines == ("a/b.txt is wrong", "ERROR:main:plain")
    (tool / "main.py").write_text(OFFICIAL.replace("{code}", "0"))
    assert verb(Session(), tmp_path / "tree", official=tmp_path / "inference").official is True


def test_the_command_fails_where_either_refuses(tmp_path, monkeypatch):
    from lydite.api.mlperf.check import MlperfCheckResult
    from lydite.cli import main

    def checked(self, folder, **_):
        return MlperfCheckResult(folder, "v6.1", (), False, ("x",))

    monkeypatch.setattr(Session, "mlperf_check", checked)
    monkeypatch.setattr(sys, "argv", ["lydite", "mlperf", "check", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
