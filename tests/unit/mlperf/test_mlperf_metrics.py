"""Metrics against values by hand and by brute force; logs of accuracy and what is said of them."""

import itertools
import json
import re

import numpy as np
import pytest

from lydite.errors import InputError
from lydite.mlperf.accuracy import (
    Quality,
    cosine,
    fidelity_of,
    keep,
    known,
    read_log,
    write_text,
)
from lydite.mlperf.dataset import checksum
from lydite.mlperf.metrics import METRICS, collapsed, metric_named, metric_of_labels
from lydite.mlperf.texts import f1, plain


def test_top1_takes_the_largest_element_or_the_integer_that_was_said():
    top1 = METRICS["top1"].score
    scores = [np.array([[0.1, 0.9]]), np.array([[2.0, -1.0]]), np.array([[0.0, 1.0]])]
    assert top1(scores, np.array([1, 0, 0])) == {"top1": pytest.approx(2 / 3)}
    said = [np.array([1]), np.array([0]), np.array([1])]
    assert top1(said, np.array([1, 0, 0])) == {"top1": pytest.approx(2 / 3)}


@pytest.mark.parametrize(
    ("said", "right", "wanted"),
    [
        ("the cat sat", "cat sat down", 0.8),  # 2 common words of 2 and 3
        ("The cat!", "a CAT", 1.0),
        ("dog", "cat", 0.0),
        ("a b a b", "b b", 2 * (2 / 2) * (2 / 2) / 2),  # "a" is an article
        ("x x x", "x", 2 * (1 / 3) * 1 / (1 / 3 + 1)),
    ],
)
def test_squad_f1_is_that_of_the_words(said, right, wanted):
    assert f1(said, right) == pytest.approx(wanted)


def test_squad_takes_the_best_of_several_right_answers():
    texts = [np.frombuffer(b"the Denver Broncos", np.uint8), np.frombuffer(b"1899\0\0", np.uint8)]
    found = METRICS["squad"].score(texts, np.array(["Broncos\tDenver Broncos", "1900"]))
    assert found == {"f1": 0.5, "exact_match": 0.5}
    assert plain("An  apple, a day.") == "apple day"


def test_ctc_decoding_merges_repetitions_before_it_drops_blanks():
    draw = np.random.default_rng(5)
    for _ in range(200):
        steps = draw.integers(0, 3, draw.integers(0, 12))
        wanted = [key for key, _ in itertools.groupby(steps.tolist()) if key]
        assert collapsed(steps).tolist() == wanted
    logits = np.eye(3)[[0, 1, 1, 0, 1, 2]]
    score = METRICS["ctc"].score
    assert score([logits, logits], np.array([[1, 1, 2, -1], [1, 2, -1, -1]])) == {
        "exact_match": 0.5
    }


def test_sequences_match_in_full_only():
    logits = [np.eye(3)[[2, 1]], np.eye(3)[[2, 0]]]
    score = METRICS["sequence"].score
    assert score(logits, np.array([[2, 1], [2, 1]])) == {"exact_match": 0.5}


def test_metrics_that_are_not_computed_are_refused_by_name():
    assert metric_named("mAP").name == "map"
    with pytest.raises(InputError, match=r"unknown metric 'top5'.*top1"):
        metric_named("top5")
    with pytest.raises(InputError, match=r"labels are float64\[4\].*integers"):
        metric_of_labels(np.zeros(4))


def test_fidelity_is_agreement_and_cosines():
    ones = [np.array([1.0, 2.0]), np.array([3.0, 0.0]), np.array([0.0, 0.0])]
    others = [np.array([2.0, 4.0]), np.array([0.0, 3.0]), np.array([0.0, 0.0])]
    agreed, figures = fidelity_of(ones, others)
    assert agreed == pytest.approx(2 / 3)
    assert figures == {"cosine": pytest.approx(2 / 3), "least_cosine": pytest.approx(0)}
    assert cosine(np.array([1.0]), np.array([np.nan])) == 0
    assert cosine(np.array([1.0]), np.array([0.0])) == 0


def entry(index, array):
    data = array.tobytes().hex().upper()
    return json.dumps({"seq_id": index, "qsl_idx": index, "data": data})


def test_a_log_is_read_by_sample(tmp_path):
    path = tmp_path / "log.json"
    arrays = [np.array([[1.5, i]], np.float32) for i in range(3)]
    lines = ",\n".join(entry(i, arrays[i]) for i in (2, 0, 1))
    path.write_text(f"[\n{lines}\n]\n")
    outputs = read_log(path, 3, np.dtype(np.float32), (1, 2))
    assert [o.tolist() for o in outputs] == [a.tolist() for a in arrays]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds 0 of 2 samples; the first that is missing is 0.*run it again"),
        ("[\n" + entry(1, np.float32([1])) + "\n]", "holds 1 of 2 samples"),
        ('[\n{"seq_id": 0}\n]', r"log.json:2: is no log of accuracy"),
        ('[\n{"qsl_idx": 0, "data": "xyz"}\n]', r"log.json:2: is no log of accuracy"),
        ('[\n{"qsl_idx": 0, "data": "0102"}\n]', r"log.json:2: is no log of accuracy"),
    ],
)
def test_a_log_that_is_short_or_damaged_is_refused(tmp_path, text, message):
    path = tmp_path / "log.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_log(path, 2, np.dtype(np.float32), (1,))
    with pytest.raises(InputError, match=r"is missing.*--mode accuracy"):
        read_log(tmp_path / "none", 2, np.dtype(np.float32))


def quality(value, **given):
    return Quality("accuracy", "top1", value, 1000, **given)


def test_a_verdict_says_both_limits():
    found = quality(0.7581, reference=0.7646, floor=0.99 * 0.7646, factor=0.99, source="r")
    assert (found.passed, found.meets(0.99), found.meets(0.999)) == (True, True, False)
    assert "passes 99 %, FAILS 99.9 %" in found.text
    assert quality(0.75, reference=0.7646, floor=0.99 * 0.7646).passed is False
    assert quality(0.75).passed is None


def test_a_verdict_without_labels_is_never_called_an_accuracy():
    found = Quality("fidelity", "agreement", 0.98, 10, source="the fp32 engine ab")
    assert found.text.startswith("none: no labels; fidelity to the fp32 engine ab: agreement 98")
    assert found.passed is None


def test_the_verdict_of_an_engine_is_found_again_for_the_same_data_only():
    found = quality(0.5, engine="e1", data="d1", others={"x": 1.0})
    keep(found)
    assert known("e1", "d1") == found
    assert known("e1", "d2") is None
    assert known("e2", "d1") is None


def test_accuracy_txt_has_the_form_that_the_checker_reads(tmp_path):
    log = tmp_path / "mlperf_log_accuracy.json"
    log.write_text("[]")
    write_text(tmp_path, quality(0.757))
    text = (tmp_path / "accuracy.txt").read_text()
    # submission_checker: r"^accuracy=([\d\.]+)" for acc, and r"^hash=([\w\d]+)$"
    assert re.search(r"^accuracy=([\d\.]+)%, good=757, total=1000$", text, re.M)
    assert re.search(r"^hash=([0-9a-f]{64})$", text, re.M)[1] == checksum(log)
    squad = Quality("accuracy", "f1", 0.9, 10, others={"exact_match": 0.8})
    write_text(tmp_path, squad)
    first = (tmp_path / "accuracy.txt").read_text().splitlines()[0]
    assert json.loads(first) == {"exact_match": 80.0, "f1": 90.0}
