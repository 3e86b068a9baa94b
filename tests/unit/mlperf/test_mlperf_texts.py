"""ROUGE against published and hand-computed values, and what the rounds ask of it."""

import re
import sys

import numpy as np
import pytest

from lydite.api.mlperf.accuracy import by_floors, metric_of, verdict_of
from lydite.api.mlperf.benchmark import Target
from lydite.errors import InputError, MissingExtra
from lydite.mlperf.accuracy import Quality, keep, known, write_text
from lydite.mlperf.check_accuracy import check_accuracy
from lydite.mlperf.dataset import DataSet
from lydite.mlperf.metrics import METRICS
from lydite.mlperf.round import find_round

pytest.importorskip("rouge_score", reason="rouge-score is not installed")


def rouge(said, right):
    outputs = [np.frombuffer(text.encode(), np.uint8) for text in said]
    return METRICS["rouge"].score(outputs, np.array(right))


@pytest.fixture(autouse=True)
def without_punkt(monkeypatch):
    """No data of nltk, whatever this machine has."""
    monkeypatch.setattr("nltk.data.path", [])


def test_the_example_of_the_library():
    """The README of rouge-score states these values."""
    found = rouge(
        ["The quick brown dog jumps on the log."], ["The quick brown fox jumps over the lazy dog"]
    )
    assert found["rouge1"] == pytest.approx(0.7058823529411765)
    assert found["rougeL"] == pytest.approx(0.5882352941176471)


def test_values_by_hand():
    found = rouge(["the cat sat", "dogs"], ["the cat sat down", "a dog"])
    # words: 3 of 3 and 4, stemmed 1 of 1 and 2; pairs of words: 2 of 2 and 3, none of none and 1
    assert found["rouge1"] == pytest.approx((6 / 7 + 2 / 3) / 2)
    assert found["rouge2"] == pytest.approx((4 / 5 + 0) / 2)
    assert found["rougeL"] == pytest.approx((6 / 7 + 2 / 3) / 2)
    assert found["gen_len"] == len("the cat sat") + len("dogs")


def test_sentences_are_compared_as_in_lins_example():
    """C.-Y. Lin, ROUGE, 2004, section 3.2: the union of two subsequences is 4 of 5 words."""
    found = rouge(["w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5"], ["w1 w2 w3 w4 w5"])
    assert found["rougeLsum_lines"] == pytest.approx(2 * (4 / 10) * (4 / 5) / (4 / 10 + 4 / 5))
    assert "rougeLsum" not in found


def test_with_nltks_data_sentences_are_found(monkeypatch):
    monkeypatch.setattr("nltk.sent_tokenize", lambda text: re.split(r"(?<=\.) +", text))
    found = rouge(["w1 w2 w6 w7 w8.  w1 w3 w8 w9 w5."], ["w1 w2 w3 w4 w5."])
    assert found["rougeLsum"] == pytest.approx(8 / 15)
    assert "rougeLsum_lines" not in found
    assert found["gen_len"] == len("w1 w2 w6 w7 w8.\nw1 w3 w8 w9 w5.")


def test_without_the_library_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    with pytest.raises(MissingExtra, match=r"rouge-score.*'lydite\[mlperf-metrics\]'"):
        rouge(["a"], ["a"])


# what rounds ask


def target_of(name, round_name="v6.1"):
    chosen = find_round(round_name)
    key, row = chosen.named(name)
    return Target(key, row, "", chosen)


def texts(*labels):
    return DataSet("d", {"x": np.zeros((len(labels), 1))}, np.array(labels), "d")


@pytest.mark.parametrize(
    ("name", "round_name", "metric"),
    [
        ("yolo", "v6.1", "map"),
        ("retinanet", "v6.0", "map"),
        ("llama2-70b", "v6.1", "rouge"),
        ("llama3.1-8b", "v6.1", "rouge"),
        ("llama3.1-8b", "v6.0", "rouge"),
        ("bert", "v6.1", "squad"),
        ("resnet50", "v6.1", "top1"),
    ],
)
def test_benchmarks_are_scored_by_the_metric_of_their_floors(name, round_name, metric):
    found = metric_of(target_of(name, round_name), texts("a"))
    assert found is not None
    assert found.name == metric


@pytest.mark.parametrize(
    ("name", "round_name", "message"),
    [
        ("pointpainting", "v6.0", r"mAP_3D is not computed.*mAP.*--adapter"),
        ("qwen3-vl-235b", "v6.0", "F1_HIERARCHICAL is not computed"),
        ("mixtral-8x7b", "v6.0", "gsm8k.*, mbxp.* is not computed"),
        ("llama3.1-405b", "v6.0", "exact_match is not computed"),
    ],
)
def test_figures_of_other_kinds_are_refused(name, round_name, message):
    with pytest.raises(InputError, match=message):
        metric_of(target_of(name, round_name), texts("a"))


def quality(**figures):
    (name, value), *more = figures.items()
    return Quality("accuracy", name, value, 24576, others=dict(more), engine="e", data="d")


GOOD = {"rouge1": 0.4442, "rouge2": 0.2204, "rougeL": 0.2862, "rougeLsum_lines": 0.4}
GOOD |= {"gen_len": 1e7, "tokens_per_sample": 294.4}


def test_all_floors_of_a_benchmark_have_to_be_met():
    found = by_floors(quality(**GOOD), target_of("llama2-70b"))
    assert found.floor == pytest.approx(0.44431 * 0.999)
    assert found.passed
    assert found.meets(0.999)
    short = by_floors(quality(**GOOD | {"rouge2": 0.2}), target_of("llama2-70b"))
    assert (short.passed, short.meets(0.99)) == (False, False)
    assert short.text.endswith("FAILS in rouge2")
    long = by_floors(quality(**GOOD | {"tokens_per_sample": 330.0}), target_of("llama2-70b"))
    assert (long.passed, long.meets(0.999)) == (False, True)
    rules = {rule.name: rule for rule in verdict_of(long, target_of("llama2-70b")).rules}
    assert not rules["tokens_per_sample"].passed
    assert rules["rouge2"].passed
    assert "330.0" in str(rules["tokens_per_sample"])
    keep(long)
    assert known("e", "d") == long


def test_figures_that_are_asked_for_and_not_known_are_named():
    with pytest.raises(InputError, match=r"ROUGELSUM is not known.*nltk.downloader punkt_tab"):
        by_floors(quality(**GOOD), target_of("llama3.1-8b"))
    without = {k: v for k, v in GOOD.items() if k != "tokens_per_sample"}
    with pytest.raises(InputError, match=r"TOKENS_PER_SAMPLE is not known.*generate"):
        by_floors(quality(**without), target_of("llama2-70b"))


def test_a_benchmark_without_floors_asks_for_nothing():
    found = by_floors(quality(**GOOD), target_of("llama3.1-8b-edge"))
    assert (found.passed, found.source) == (None, "v6.1 asks for nothing")


def faults_of(folder, name, round_name="v6.1"):
    row = target_of(name, round_name).row
    assert row is not None
    found = check_accuracy(folder, row, "closed")
    return [fault.found for fault in found if fault.path.name == "accuracy.txt"]


def test_what_is_written_is_what_both_checkers_read(tmp_path):
    (tmp_path / "mlperf_log_accuracy.json").write_text("[]")
    write_text(tmp_path, quality(**GOOD))
    line = (tmp_path / "accuracy.txt").read_text().splitlines()[0]
    for pattern, wanted in (  # submission_checker/constants.py, ACC_PATTERN
        (r".*'rouge1':\s+'?([\d.]+)'?.*", 44.42),
        (r".*'rouge2':\s+'?([\d.]+)'?.*", 22.04),
        (r".*'rougeL':\s+'?([\d.]+)'?.*", 28.62),
        (r".*'gen_len':\s([\d.]+).*", 1e7),
        (r".*'tokens_per_sample':\s([\d.]+).*", 294.4),
    ):
        match = re.match(pattern, line)
        assert match is not None
        assert float(match[1]) == pytest.approx(wanted)
    assert faults_of(tmp_path, "llama2-70b") == []
    write_text(tmp_path, quality(**GOOD | {"rouge2": 0.2}))
    assert faults_of(tmp_path, "llama2-70b") == ["ROUGE2 20.0"]
    write_text(tmp_path, Quality("accuracy", "mAP", 0.5321, 1525, others={"mAP50": 0.7}))
    line = (tmp_path / "accuracy.txt").read_text().splitlines()[0]
    assert re.match(r".*(?:mAP=|'Total':)\s*([\d.]+)", line)
    assert faults_of(tmp_path, "yolo-99") == []
    assert faults_of(tmp_path, "retinanet", "v6.0") == []
    write_text(tmp_path, Quality("accuracy", "mAP", 0.5, 1525))
    assert faults_of(tmp_path, "yolo-99") == ["mAP 50.000"]


def test_what_the_reference_scripts_print_is_read(tmp_path):
    """language/llama3.1-8b/evaluation.py prints shares as texts."""
    (tmp_path / "mlperf_log_accuracy.json").write_text("[]")
    table = "{'rouge1': '38.7792', 'rouge2': '15.9075', 'rougeL': '24.4957', 'rougeLsum': '35.793'"
    text = f"\nResults\n\n{table}, 'gen_len': 8167644, 'gen_num': 13368}}\nhash={'0' * 64}\n"
    (tmp_path / "accuracy.txt").write_text(text)
    assert [f for f in faults_of(tmp_path, "llama3.1-8b") if "hash" not in f] == []
