"""Whole runs under LoadGen: a small network, a system that fails, one that hangs, an audit."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

import lydite as ly
from lydite.errors import InputError
from lydite.graph import Builder, write_onnx
from lydite.mlperf import harness
from lydite.mlperf.adapter import Adapter
from lydite.mlperf.batching import Batching
from lydite.mlperf.dataset import save
from lydite.mlperf.loadgen import DETAIL, check_memory, read_detail
from lydite.mlperf.sut import SystemUnderTest

pytest.importorskip("mlperf_loadgen", reason="LoadGen has no wheel here")
SHORT = {"min_duration": 0.05, "min_queries": 64, "samples": 16, "latency_limit": 1000.0}


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    g = Builder("tiny")
    x = g.input("x", (1, 32))
    path = tmp_path_factory.mktemp("net") / "tiny.onnx"
    return str(write_onnx(g.build(g.relu(g.linear(x, 16))), path, weights=True))


@pytest.fixture(scope="module")
def ran(net, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    scenarios = "singlestream,multistream,offline,server"
    given = {**SHORT, "min_queries": 662, "target_qps": 500.0, "batch_size": 4}
    return ly.mlperf_run(net, scenario=scenarios, out=out, **given), out


def test_every_scenario_runs_and_its_verdict_is_loadgens(ran):
    result, _ = ran
    assert [run.name for run in result.runs] == [
        "SingleStream",
        "MultiStream",
        "Offline",
        "Server",
    ]
    for run in result.runs:
        log = (run.folder / "mlperf_log_summary.txt").read_text()
        assert f"Result is : {run.verdict.word}" in log
        assert run.queries >= 1
        assert json.loads((run.folder / "verdict.json").read_text())["verdict"] == run.verdict.word
    assert result.runs[1].samples == 8 * result.runs[1].queries


def test_a_replay_of_the_recorded_batches_takes_as_long(ran, net):
    """Service times are the system's own; LoadGen's share of a query is not among them."""
    result, _ = ran
    for run in result.runs[:2]:
        batches = np.load(run.folder / "service.npy")
        again = ly.mlperf_run(
            net,
            scenario=run.name.lower(),
            replay=run.folder,
            **{**SHORT, "min_queries": 662, "batch_size": 4},
        ).runs[0]
        assert again.service.startswith("recorded")
        assert again.verdict.latency_ns[0.5] <= run.verdict.latency_ns[0.5]
        least = int(batches[:, 1].min()) * (1 if run.name == "SingleStream" else 2)
        assert again.verdict.latency_ns[0.5] >= least


def test_audits_compare_with_the_runs_of_the_folder(net, tmp_path):
    with pytest.raises(InputError, match="no performance run to compare"):
        ly.mlperf_audit(net, tmp_path, test="TEST04", scenario="singlestream", **SHORT)
    ly.mlperf_run(net, scenario="singlestream", out=tmp_path, **SHORT)
    ly.mlperf_run(net, scenario="singlestream", mode="accuracy", out=tmp_path, **SHORT)
    result = ly.mlperf_audit(net, tmp_path, scenario="singlestream", **SHORT)
    by_test = {verdict.test: verdict for _, verdict, _ in result.audits}
    assert set(by_test) == {"TEST01", "TEST04"}
    assert "unequal = 0" in by_test["TEST01"].lines
    folder = tmp_path / "tiny" / "SingleStream"
    log = (folder / "TEST04/performance/run_1/mlperf_log_detail.txt").read_text()
    assert '"effective_performance_issue_same", "value": true' in log


class Failing:
    """Fails on the third batch."""

    def __init__(self, error=None):
        self.calls, self.error = 0, error

    def run(self, indices):
        self.calls += 1
        if self.calls == 3 and self.error is not None:
            raise self.error
        return


class Query:
    def __init__(self, number):
        self.id = self.index = number


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("error", [ValueError("no memory\nfor this"), KeyboardInterrupt()])
def test_whatever_a_system_raises_every_query_is_completed(inline, error):
    completed = []
    sut = SystemUnderTest(
        [Failing(error)],
        Batching(2),
        lambda ids, outputs: completed.extend(ids),
        inline=inline,
    )
    for first in range(0, 20, 2):
        sut.issue([Query(first), Query(first + 1)])
    sut.flush()
    sut.close()
    assert sorted(completed) == list(range(20))
    assert sut.failure.startswith(type(error).__name__)
    assert "\n" not in sut.failure


def test_a_run_whose_system_fails_is_invalid_and_says_why(net, tmp_path, monkeypatch):
    """Samples that the data set does not hold: the first cause is the verdict's first rule."""
    from lydite.api.mlperf import real

    request = real.request_of

    def short(*arguments):
        made = request(*arguments)
        return type(made)(**{**vars(made), "drawn": (2, 0)})

    monkeypatch.setattr(real, "request_of", short)
    quick = {**SHORT, "expected_latency": 0.01}
    result = ly.mlperf_run(net, scenario="singlestream", out=tmp_path, **quick)
    (run,) = result.runs
    assert run.verdict.word == "INVALID"
    assert "IndexError" in run.verdict.rules[0].value


def test_a_run_that_hangs_is_ended(net, tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "SILENCE_S", 0.5)
    monkeypatch.setattr(harness, "_SILENCE_FACTOR", 1)
    long = {**SHORT, "min_duration": 600.0, "target_qps": 0.001, "min_queries": 1}
    result = ly.mlperf_run(net, scenario="server", out=tmp_path, **long)
    (run,) = result.runs
    assert run.verdict.word == "INTERRUPTED"
    assert "no completion within" in run.verdict.stopped


def test_another_round_and_too_many_queries_are_refused_before_anything_runs(net, monkeypatch):
    from lydite.api.mlperf import real

    monkeypatch.setattr(real, "embedded_seeds", lambda: (1, 2, 3))
    with pytest.raises(InputError, match=r"does not embed the seeds of v6\.1.*--virtual"):
        ly.mlperf_run(net, scenario="offline", **SHORT)
    with pytest.raises(InputError, match=r"36\.0 GiB.*--fast"):
        check_memory(2 * 600e9 / 10_000 * 1.074, 4 << 30)


def test_runs_that_were_made_are_told_where_a_later_one_is_refused(net, tmp_path, monkeypatch):
    """A net of 40 us cannot run SingleStream in little memory; Offline before it is not lost."""
    from lydite.api.mlperf import request

    def little(queries, most_bytes, scenario="SingleStream"):
        check_memory(1e9 if scenario == "MultiStream" else queries, most_bytes, scenario)

    monkeypatch.setattr(request, "check_memory", little)
    given = {**SHORT, "min_queries": 662, "expected_latency": 1.0, "expected_qps": 2000.0}
    result = ly.mlperf_run(net, scenario="offline,multistream", out=tmp_path, **given)
    first, second = result.runs
    assert first.verdict.word in ("VALID", "INVALID")
    assert second.verdict.word == "INTERRUPTED"
    assert "1,000,000,000 queries" in second.verdict.stopped
    assert "INTERRUPTED" in result.summary()
    assert json.loads(json.dumps(result.document()))["runs"][1]["queries"] == 0
    with pytest.raises(InputError, match="1,000,000,000 queries"):
        ly.mlperf_run(net, scenario="multistream", out=tmp_path, **given)


def test_what_a_run_needs_is_asked_for(net):
    with pytest.raises(InputError, match="target_qps is given"):
        ly.mlperf_run(net, scenario="server", **SHORT)
    with pytest.raises(InputError, match="no such calibration table"):
        ly.mlperf_run(net, scenario="offline", precision="int8", **SHORT)
    with pytest.raises(InputError, match="unknown mode"):
        ly.mlperf_run(net, scenario="offline", mode="sideways", **SHORT)
    with pytest.raises(InputError, match="counts tokens, and nothing here says any"):
        ly.mlperf_run("llama2-70b", scenario="offline")


def generate(inputs):
    """Says 2 to 4 tokens, the first of which is the sample's number.

    It takes a little time, as a run of a fixed time would count a million samples otherwise.
    """
    time.sleep(2e-4)
    first = int(inputs["x"][0])
    yield from range(first, first + 2 + first % 3)


TALK = Adapter(
    "talk",
    "",
    lambda folder: [(i, i) for i in range(24)],
    lambda item: {"x": np.array([item])},
    lambda outputs, labels: float(
        np.mean([o[0] == x for o, x in zip(outputs, labels, strict=True)])
    ),
    0.9,
    generate,
)
TOKENS = {"min_duration": 0.3, "min_queries": 70, "target_qps": 60.0, "workers": 4}
TOKENS |= {"ttft_limit": 100.0, "tpot_limit": 50.0}


@pytest.fixture
def talk(tmp_path, monkeypatch):
    """The adapter above, importable in the process of a run as well."""
    folder = str(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(folder)
    return {**TOKENS, "adapter": f"{Path(__file__).stem}:TALK", "data": tmp_path}


def test_an_adapter_says_tokens_in_all_scenarios(talk, tmp_path):
    scenarios = "singlestream,multistream,offline,server,interactive"
    result = ly.mlperf_run("talk", scenario=scenarios, out=tmp_path / "runs", **talk)
    for run in result.runs:
        values, errors = read_detail(run.folder / DETAIL)
        assert errors == []
        assert "result_tokens_per_second" in values or "result_token_throughput" in values
        assert values["result_validity"] == run.verdict.word
        assert run.engine == "adapter talk"
        told = np.load(run.folder / "tokens.npy")
        assert (told[:, 3] == 2 + told[:, 0] % 3).all()
    assert [run.verdict.unit for run in result.runs] == ["ms", "ms", *["tokens/s"] * 3]
    server = [rule.name for rule in result.runs[3].verdict.rules if not rule.passed]
    both = ["early stopping, time to first token", "early stopping, time per output token"]
    assert server == both  # LoadGen's log says nothing of the first token here


ANSWERS = Adapter(
    "answers",
    "",
    lambda folder: [(i, f"{i} {i + 1} 7") for i in range(24)],
    lambda item: {"x": np.array([item])},
    target=0.5,
    generate=generate,
    text=lambda tokens: " ".join(map(str, tokens)),
    metric="rouge",
)


def test_texts_of_tokens_are_scored_by_rouge(talk, tmp_path):
    """An answer of n = 2 to 4 tokens has two words of the label's three."""
    pytest.importorskip("rouge_score", reason="rouge-score is not installed")
    given = {**talk, "adapter": talk["adapter"].replace("TALK", "ANSWERS"), "mode": "accuracy"}
    (run,) = ly.mlperf_run("answers", scenario="offline", out=tmp_path / "runs", **given).runs
    shares = []
    for first in range(24):
        said = range(first, first + 2 + first % 3)
        common = 2 + (7 in said[2:])
        shares.append(2 * common / (len(said) + 3))
    assert run.quality.metric == "rouge1"
    assert run.quality.value == pytest.approx(np.mean(shares))
    assert run.quality.others["tokens_per_sample"] == 3
    text = (run.folder / "accuracy.txt").read_text()
    assert text.startswith("{'rouge1': ")
    assert "'tokens_per_sample': 3.0" in text


def test_a_detection_net_is_scored_by_its_boxes(tmp_path):
    """The net says what it is given: two rows, of which the second fills up."""
    pytest.importorskip("pycocotools", reason="pycocotools is not installed")
    g = Builder("boxes")
    x = g.input("x", (1, 2, 7))
    path = write_onnx(g.build(g.relu(x)), tmp_path / "boxes.onnx", weights=True)
    rows = np.zeros((3, 2, 7), np.float32)
    rows[:, 0] = [0, 0, 0, 0.5, 0.5, 0.9, 4]  # the upper left quarter, as category 4
    labels = np.zeros((3, 2, 6))
    labels[:, 0] = [-1, 0, 0, 20, 10, 0]
    labels[:, 1] = [4, 0, 0, 10, 5, 0]
    labels[2, 1] = [4, 10, 5, 10, 5, 0]  # elsewhere
    save(tmp_path / "data", "quarters", {"x": rows}, labels, {})
    given = {"mode": "accuracy", "data": tmp_path / "data", "out": tmp_path / "runs"}
    (run,) = ly.mlperf_run(str(path), scenario="offline", **given).runs
    # in order of the images 2 of 3 are found, with a precision of 1 up to a recall of 2/3
    assert run.quality.metric == "mAP"
    assert run.quality.value == pytest.approx(67 / 101)
    assert (run.folder / "accuracy.txt").read_text().startswith("mAP=66.337%\n")


def test_a_submission_run_judges_both_of_its_parts(talk, tmp_path):
    result = ly.mlperf_run(
        "talk", scenario="offline", mode="submission", out=tmp_path / "runs", **talk
    )
    accuracy, performance = result.runs
    assert (accuracy.mode, performance.mode) == ("accuracy", "performance")
    assert accuracy.quality.value == 1.0
    assert "100.000%" in performance.accuracy
    assert accuracy.verdict.word == "VALID"


def test_stated_times_are_slept_and_never_pass_for_measured_ones(tmp_path):
    given = {**TOKENS, "samples": 8}
    given |= {"service": "ttft=20ms,tpot=5ms,tokens=5", "round": "v6.1"}
    net = "llama2-70b"
    real = ly.mlperf_run(net, scenario="server", virtual=False, out=tmp_path, **given).runs[0]
    played = ly.mlperf_run(net, scenario="server", **given).runs[0]
    assert real.queries == played.queries
    assert real.verdict.word == played.verdict.word
    assert real.verdict.latency_ns[0.5] >= played.verdict.latency_ns[0.5] == 40_000_000
    record = np.load(real.folder / "tokens.npy")
    assert (record[:, 1] >= 20_000_000).all()
    assert (record[:, 1] + record[:, 2] >= 40_000_000).all()
    again = ly.mlperf_run(net, scenario="server", replay=real.folder, **{**given, "service": None})
    assert again.runs[0].service.startswith("recorded")
    with pytest.raises(InputError, match="simulated results"):
        ly.mlperf_submission(tmp_path, tmp_path / "tree")


def test_several_devices_are_one_system_under_test(net, tmp_path, monkeypatch):
    from lydite.api.mlperf import system

    monkeypatch.setattr(system, "devices_of", lambda text: ("cpu", "cpu"))
    given = {**SHORT, "device": "0,1", "workers": 2}
    (run,) = ly.mlperf_run(net, scenario="offline", out=tmp_path, **given).runs
    record = json.loads((run.folder / "verdict.json").read_text())
    assert record["devices"] == ["cpu", "cpu"]
    assert run.verdict.word == "VALID"


def test_the_audit_of_tokens_looks_at_what_performance_mode_said(talk, tmp_path):
    result = ly.mlperf_audit("talk", tmp_path, test="TEST06", scenario="server,offline", **talk)
    assert [verdict.passed for _, verdict, _ in result.audits] == [True, True]
    assert "First token check pass: True" in result.audits[0][1].lines
    assert "First token check pass: Skipped" in result.audits[1][1].lines
    values, _ = read_detail(result.audits[0][2] / "performance/run_1" / DETAIL)
    assert values["effective_accuracy_log_sampling_target"] == 100
    assert values["effective_min_query_count"] == 100


def test_other_seeds_reach_loadgen(net, tmp_path):
    ly.mlperf_run(net, scenario="singlestream", out=tmp_path, **SHORT)
    result = ly.mlperf_audit(
        net, tmp_path, test="TEST05", scenario="singlestream", legacy=True, **SHORT
    )
    ((_, verdict, folder),) = result.audits
    assert not any("rng_seed" in line for line in verdict.lines)
    values, _ = read_detail(folder / "performance/run_1" / DETAIL)
    assert values["effective_qsl_rng_seed"] == 7975553102935885558


def test_files_of_the_users_folder_are_no_modules_of_the_run(net, tmp_path, monkeypatch):
    """A script there may have the name of a module of Python, and print."""
    (tmp_path / "queue.py").write_text("print('[1, 2]'); raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    quick = {**SHORT, "expected_latency": 0.01}
    result = ly.mlperf_run(net, scenario="singlestream", out=tmp_path / "out", **quick)
    assert result.runs[0].verdict.word != "INTERRUPTED"


@pytest.mark.parametrize("line", [b"loading", b"[1]", b"3", b"\xff", b""])
def test_what_a_library_prints_is_passed_over(line):
    assert harness._record(line) == {}
