"""Audits against systems that cheat: kept results, settings that did not arrive, other outputs."""

import json

import pytest

from lydite.errors import InputError
from lydite.mlperf.audit import audit_config, compare_outputs, compare_performance

SAME = {"effective_performance_issue_same": True}
SAMPLED = {"effective_accuracy_log_sampling_target": 128}


def offline(rate, **more):
    return {"result_samples_per_second": rate, "result_mean_latency_ns": 10**7, **more}


@pytest.mark.parametrize(("rate", "passed"), [(90, True), (109, True), (111, False), (400, False)])
def test_one_sample_again_and_again_must_not_be_faster(rate, passed):
    verdict = compare_performance("TEST04", "Offline", offline(100), offline(rate, **SAME))
    assert verdict.passed is passed
    assert verdict.text.endswith("TEST PASS\n" if passed else "TEST FAIL\n")


@pytest.mark.parametrize(("rate", "passed"), [(89, False), (91, True), (130, True)])
def test_sampling_outputs_must_not_make_it_slower(rate, passed):
    verdict = compare_performance("TEST01", "Offline", offline(100), offline(rate, **SAMPLED))
    assert verdict.passed is passed


def test_in_server_kept_results_show_in_the_latency_alone():
    usual = {"result_completed_samples_per_sec": 50.0, "result_mean_latency_ns": 10**7}
    quick = {**usual, "result_mean_latency_ns": 10**6, **SAME}
    assert not compare_performance("TEST04", "Server", usual, quick).passed
    assert compare_performance("TEST04", "Server", usual, {**usual, **SAME}).passed


@pytest.mark.parametrize("test", ["TEST01", "TEST04"])
def test_an_audit_whose_settings_did_not_arrive_fails(test):
    assert not compare_performance(test, "Offline", offline(100), offline(100)).passed


def test_outputs_have_to_be_those_of_the_accuracy_run(tmp_path):
    def log(name, entries):
        path = tmp_path / name
        path.write_text(json.dumps([{"qsl_idx": i, "data": data} for i, data in entries]))
        return path

    accuracy = log("accuracy.json", [(0, "00"), (1, "01"), (2, "02")])
    assert compare_outputs(accuracy, log("same.json", [(2, "02"), (0, "00")])).passed
    assert not compare_outputs(accuracy, log("other.json", [(2, "03")])).passed
    assert not compare_outputs(accuracy, log("unknown.json", [(7, "02")])).passed
    assert not compare_outputs(accuracy, log("none.json", [])).passed
    (tmp_path / "odd.json").write_text("[1]")
    with pytest.raises(InputError, match="is no accuracy log"):
        compare_outputs(accuracy, tmp_path / "odd.json")


def test_a_config_names_its_scenario_and_only_known_tests_have_one():
    assert "*.Offline.performance_issue_same = 1\n" in audit_config("TEST04", "Offline")
    with pytest.raises(InputError, match="unknown audit test 'TEST05'"):
        audit_config("TEST05", "Offline")
