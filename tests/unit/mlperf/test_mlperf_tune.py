"""Trials of settings: their order, their best, what is kept, and what a run reads of it."""

from itertools import pairwise

import pytest

import lydite as ly
from lydite.errors import InputError
from lydite.mlperf.tuning import Point, Trial, best, grid

GIVEN = {"service": "1:1ms,4:2ms,16:7ms", "min_duration": 1.0, "batch_sizes": "1,4,16"}


def test_trials_of_one_engine_follow_each_other_and_none_is_made_twice():
    points = grid([16, 1, 4], [1, 2], [1], [0, 500])
    batches = [point.batch_size for point in points]
    assert batches == sorted(batches)
    assert sum(a != b for a, b in pairwise(batches)) == 2  # three engines
    assert len(points) == len(set(points)) == 2 + 4 + 4  # a batch of one has no delay
    assert {p.batch_size for p in grid([1, 8, 64], [1], [1], [0], 8)} == {1, 8}
    with pytest.raises(InputError, match="too many"):
        grid(range(1, 200), range(1, 200), [1], [0])


@pytest.mark.parametrize(("lower", "place"), [(True, 1), (False, 2)])
def test_the_best_is_valid(lower, place):
    rows = [("INVALID", 1.0), ("VALID", 2.0), ("VALID", 3.0), ("VALID", None), ("INVALID", 9.0)]
    trials = [Trial(Point(1, 1, 1, 0), word, value, "x", "x") for word, value in rows]
    assert best(trials, lower) is trials[place]
    assert best(trials[:1], lower) is None


def test_the_best_settings_are_read_by_a_run(tmp_path):
    found = ly.mlperf_tune("resnet50", worker_counts="1,2", out=tmp_path, **GIVEN)
    assert found.found.point == Point(16, 1, 2, 0.0)
    assert [trial.value == max(t.value for t in found.trials) for trial in found.trials][-1]
    times = {"service": GIVEN["service"], "min_duration": 1.0}
    run = ly.mlperf_run("resnet50", config=found.config, **times).runs[0]
    assert run.verdict.value == found.found.value
    assert (run.settings["batch_size"], run.settings["workers"]) == (16, 2)


def test_a_tuning_that_was_stopped_goes_on(tmp_path, monkeypatch):
    first = ly.mlperf_tune("resnet50", out=tmp_path, **{**GIVEN, "batch_sizes": "1,4"})
    with (tmp_path / "trials.jsonl").open("a") as lines:
        lines.write('{"key": "cut o')
    with (tmp_path / "trials.jsonl").open("a") as lines:
        lines.write("\n")
    again = ly.mlperf_tune("resnet50", out=tmp_path, **GIVEN)
    assert (first.before, again.before, len(again.trials)) == (0, 2, 3)
    other = ly.mlperf_tune("resnet50", out=tmp_path, **{**GIVEN, "min_duration": 2.0})
    assert other.before == 0


def test_in_server_the_greatest_valid_rate_counts(tmp_path):
    found = ly.mlperf_tune("resnet50", scenario="server", out=tmp_path, **GIVEN)
    peaks = {
        batch: ly.mlperf_peak(
            "resnet50", batch_size=batch, service=GIVEN["service"], min_duration=1.0
        ).peak_qps
        for batch in (1, 4, 16)
    }
    assert {t.point.batch_size: t.value for t in found.trials} == peaks
    assert found.found.value == max(peaks.values())


def test_lists_that_are_none(tmp_path):
    with pytest.raises(InputError, match=r"'1,x' is no list of numbers.*1,2,4"):
        ly.mlperf_tune("resnet50", out=tmp_path, **{**GIVEN, "batch_sizes": "1,x"})
    with pytest.raises(InputError, match="several scenarios"):
        ly.mlperf_tune("resnet50", scenario="offline,server", out=tmp_path, **GIVEN)
