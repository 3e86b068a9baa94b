"""Sinian's words on the command line, modes, several benchmarks, and devices by index or UUID."""

import json

import pytest

import lydite as ly
from lydite.cli.mlperf_words import run_args
from lydite.errors import InputError
from lydite.mlperf import devices
from lydite.mlperf.devices import Visible, devices_of

TIMED = {"service": "1:1ms,4:2ms", "batch_size": 4, "min_duration": 1.0}
FLAGS = ["--service", "1:1ms,4:2ms", "--batch-size", "4", "--min_duration", "1", "--json"]


def told(capsys, *words):
    from lydite.cli.app import app

    with pytest.raises(SystemExit) as ended:
        app(["mlperf", *words])
    return ended.value.code, capsys.readouterr()


def test_sinians_words_and_run_args_are_those_of_the_command_line(capsys, monkeypatch):
    code, one = told(capsys, "run", "--benchmarks=resnet50,bert", "--scenarios=offline", *FLAGS)
    monkeypatch.setenv("RUN_ARGS", "--benchmarks=resnet50,bert --scenarios='offline'")
    other_code, other = told(capsys, "run", *FLAGS)
    assert code == other_code == 0
    assert json.loads(one.out) == json.loads(other.out)
    assert [run["benchmark"] for run in json.loads(one.out)["runs"]] == ["resnet", "bert-99"]


@pytest.mark.parametrize(
    ("words", "message"),
    [(["run"], "no benchmark is named"), (["run", "resnet50", "--benchmarks=bert"], "both BENCH")],
)
def test_one_way_of_naming_benchmarks(words, message, capsys):
    code, said = told(capsys, *words)
    assert code == 2
    assert message in said.err


def test_malformed_run_args_are_refused(capsys, monkeypatch):
    monkeypatch.setenv("RUN_ARGS", "--scenarios='offline")
    code, said = told(capsys, "run", "resnet50", *FLAGS)
    assert code == 2
    assert "RUN_ARGS" in said.err
    assert "no closing quotation" in said.err
    monkeypatch.setenv("RUN_ARGS", "--fast  '--out=a b'")
    assert run_args() == ["--fast", "--out=a b"]


def test_results_on_standard_output_and_all_else_on_standard_error(capsys):
    code, said = told(capsys, "run", "resnet50", *FLAGS, "--verbose", "--log_copy_detail_to_stdout")
    assert code == 0
    assert json.loads(said.out)["runs"][0]["verdict"] == "VALID"
    assert "batch_size = 4 (command line)" in said.err


def test_find_peak_is_the_run_at_the_greatest_valid_rate():
    found = ly.mlperf_run("resnet50", scenario="server", mode="FindPeakPerformance", **TIMED)
    peak = ly.mlperf_peak("resnet50", **TIMED)
    (run,) = found.runs
    assert found.simulated
    assert run.settings["target_qps"] == peak.peak_qps
    assert run.verdict.word == "VALID"
    with pytest.raises(InputError, match="Offline has no rate to find"):
        ly.mlperf_run("resnet50", scenario="offline,server", mode="find-peak", **TIMED)


def test_modes_that_virtual_time_does_not_have():
    for mode in ("accuracy", "submission"):
        with pytest.raises(InputError, match="no outputs to judge"):
            ly.mlperf_run("resnet50", mode=mode, **TIMED)
    with pytest.raises(InputError, match=r"unknown mode 'submision'.*submission"):
        ly.mlperf_run("resnet50", mode="submision", **TIMED)
    with pytest.raises(InputError, match="names several benchmarks"):
        ly.mlperf_peak("resnet50,bert", **TIMED)
    with pytest.raises(InputError, match="an fp32 engine has no calibration"):
        ly.mlperf_build("resnet50", force_calibration=True)


@pytest.fixture
def two_gpus(monkeypatch):
    here = [Visible(0, "GPU-5c1c", "A10"), Visible(1, "GPU-5c77", "A10")]
    monkeypatch.setattr(devices, "visible", lambda: here)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("0,1", ("cuda:0", "cuda:1")),
        ("GPU-5c77", ("cuda:1",)),
        ("GPU-5c7, cuda:0", ("cuda:1", "cuda:0")),
        ("cpu", ("cpu",)),
    ],
)
def test_devices_by_index_and_uuid(text, names, two_gpus):
    assert devices_of(text) == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2", r"'2' is no visible device.*0 \(GPU-5c1c, A10\), 1 \(GPU-5c77"),
        ("GPU-77", "is no visible device"),
        ("GPU-5c", "names several devices"),
        ("0,GPU-5c1c", "cuda:0 is named twice"),
        ("0,,1", "'' is no visible device"),
    ],
)
def test_devices_that_are_not_here_are_refused(text, message, two_gpus):
    with pytest.raises(InputError, match=message):
        devices_of(text)


def test_a_list_of_devices_is_for_real_runs_of_one_kind(two_gpus):
    with pytest.raises(InputError, match="no devices by index"):
        ly.mlperf_run("resnet50", device="0,1", **TIMED)
