"""Audits against systems that cheat: kept results, settings that did not arrive, other outputs."""

import json
from pathlib import Path

import numpy as np
import pytest

from lydite.errors import InputError
from lydite.mlperf.audit import audit_config, audits_of, compare_performance
from lydite.mlperf.audit_outputs import (
    check_lengths,
    check_score,
    check_tokens,
    compare_entropies,
    compare_outputs,
)
from lydite.mlperf.check_audit import OTHER_SEEDS, check_audit, took_effect
from lydite.mlperf.round import AuditBound, find_round

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
    assert "*.Offline.min_query_count = 4395\n" in audit_config("TEST09", "Offline", 4395)
    with pytest.raises(InputError, match="unknown audit test 'TEST10'"):
        audit_config("TEST10", "Offline")


def test_each_test_is_for_the_benchmarks_that_the_round_names():
    rows = find_round().benchmarks
    assert audits_of(rows["resnet"], None) == ["TEST01", "TEST04"]
    assert audits_of(rows["gpt-oss-120b"], None) == ["TEST07", "TEST09"]
    assert audits_of(rows["dlrm-v3"], "test08") == ["TEST08"]
    assert audits_of(rows["resnet"], "TEST05", legacy=True) == ["TEST05"]
    with pytest.raises(InputError, match=r"TEST06 is no audit of this.*TEST01, TEST04"):
        audits_of(rows["resnet"], "TEST06")
    with pytest.raises(InputError, match=r"TEST05 is of earlier rounds.*--legacy"):
        audits_of(rows["resnet"], "TEST05")


def words(*tokens):
    return np.array(tokens, np.int64).tobytes().hex()


@pytest.mark.parametrize(
    ("entry", "broken"),
    [
        ({}, None),
        ({"token_data": words(9)}, "First token"),
        ({"token_data": ""}, "First token"),
        ({"data": words(5, 6, 2, 2), "token_count": 4}, "EOS"),
        ({"data": words(5, 6, 2), "token_count": 3}, None),
        ({"token_count": 7}, "Sample length"),
        ({"data": "", "token_count": 0}, "Sample length"),
    ],
)
def test_tokens_of_performance_mode(entry, broken, tmp_path):
    usual = {"qsl_idx": 3, "data": words(5, 6, 7), "token_data": words(5), "token_count": 3}
    log = tmp_path / "log.json"
    log.write_text(json.dumps([usual, {**usual, **entry}]))
    verdict = check_tokens(log, "Server")
    assert verdict.passed is (broken is None)
    failed = [line for line in verdict.lines if line.endswith("pass: False")]
    if broken:
        assert any(line.startswith(broken) for line in failed)
    else:
        assert failed == []
    if broken == "First token":  # which Offline does not tell
        assert check_tokens(log, "Offline").passed


def test_the_mean_length_of_all_answers(tmp_path):
    log = tmp_path / "log.json"
    log.write_text(json.dumps([{"qsl_idx": i, "data": "00" * 4 * (10 + i)} for i in range(3)]))
    bound = AuditBound(least=10.5, most=11.5, source="x")
    assert check_lengths(log, bound, 3, "int32").passed
    assert not check_lengths(log, bound, 4, "int32").passed  # a sample is missing
    assert not check_lengths(log, AuditBound(least=11.1, source="x"), 3, "int32").passed
    assert not check_lengths(log, AuditBound(most=10.9, source="x"), 3, "int32").passed
    bounds = find_round().benchmarks["gpt-oss-120b"].audit_bounds
    assert (bounds["TEST09"].least, bounds["TEST09"].most) == (1150.38, 1406.02)
    assert check_score(60.7, 4395, 4395, bounds["TEST07"]).passed
    assert not check_score(60.6, 4395, 4395, bounds["TEST07"]).passed
    assert not check_score(90, 4394, 4395, bounds["TEST07"]).passed


def floats(*numbers):
    return np.array(numbers, np.float32).tobytes().hex()


@pytest.mark.parametrize(
    ("key", "said", "passed"),
    [
        ((1, 7), (0.9, 0.2), True),
        ((1, 7), (0.9, 0.25), False),
        ((1, 7), (0.9,), False),
        ((2, 7), (0.9, 0.2), False),
    ],
)
def test_entropies_of_performance_mode_are_the_accuracy_runs(key, said, passed, tmp_path):
    accuracy, sampled = tmp_path / "accuracy.json", tmp_path / "sampled.json"
    whole = floats(1, 7, 0.9, 0.2, 1, 0, 1, 1, 2)
    accuracy.write_text(json.dumps([{"qsl_idx": 0, "data": whole}]))
    sampled.write_text(json.dumps([{"qsl_idx": 5, "data": floats(*key, *said)}]))
    assert compare_entropies(accuracy, sampled).passed is passed


def test_an_audit_of_tokens_has_to_switch_equal_issue_off():
    values = {
        "effective_accuracy_log_sampling_target": 100,
        "effective_accuracy_log_rng_seed": 720381539243781796,
    }
    assert list(took_effect(Path("log"), values, "TEST06")) == []
    padded = {**values, "effective_sample_concatenate_permutation": True}
    assert [f.found for f in took_effect(Path("log"), padded, "TEST06")] == ["equal issue is on"]
    assert len(list(took_effect(Path("log"), {}, "TEST07"))) == 2
    seeds = {f"effective_{name}": seed for name, seed in OTHER_SEEDS.items()}
    assert list(took_effect(Path("log"), seeds, "TEST05")) == []
    assert len(list(took_effect(Path("log"), {}, "TEST05"))) == 3


def test_other_seeds_may_change_the_speed_by_five_percent():
    seeds = {f"effective_{name}": seed for name, seed in OTHER_SEEDS.items()}
    for rate, passed in ((94, False), (96, True), (104, True), (106, False)):
        found = compare_performance("TEST05", "Offline", offline(100), offline(rate, **seeds))
        assert found.passed is passed


def test_a_verdict_that_failed_in_one_part_has_failed(tmp_path):
    (tmp_path / "TEST06").mkdir()
    text = "First token check pass: True\nEOS check pass: {}\nSample length check pass: True\n"
    chosen = find_round()
    row = chosen.benchmarks["llama2-70b-99.9"]
    for word, count in (("True", 0), ("False", 1)):
        (tmp_path / "TEST06" / "verify_accuracy.txt").write_text(text.format(word))
        assert len(list(check_audit(tmp_path, "TEST06", row, "Offline", chosen))) == count
