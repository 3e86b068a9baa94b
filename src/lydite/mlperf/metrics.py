"""Metrics of accuracy: what share of the samples a model gets right, by its first output.

A metric is a row: what of the output it needs, and a function of all outputs and labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lydite.errors import InputError, unknown_name
from lydite.mlperf.boxes import mean_average_precision
from lydite.mlperf.texts import rouge, squad
from lydite.records import dataclass

Score = Callable[[Sequence[np.ndarray], np.ndarray], "dict[str, float]"]
"""From the first output of each sample and the labels to shares between 0 and 1, by name; the
first one is the figure that is judged."""


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        name: Name.
        text: What it is.
        answer: What of the outputs it needs: the "first" output, or the index of its "largest"
            element.
        score: Its function.
    """

    name: str
    text: str
    answer: str
    score: Score


def top1(outputs: Sequence[np.ndarray], labels: np.ndarray) -> dict[str, float]:
    """Share of samples whose largest element, or only integer, is the label."""
    said = np.array([_class_of(output) for output in outputs])
    return {"top1": float(np.mean(said == labels))}


def _class_of(output: np.ndarray) -> int:
    only = output.dtype.kind in "iu" and output.size == 1
    return int(output.ravel()[0]) if only else int(output.argmax())


def sequence(outputs: Sequence[np.ndarray], labels: np.ndarray) -> dict[str, float]:
    """Share of samples whose largest elements along the last axis are the label's integers."""
    return {"exact_match": _matches([_steps(output) for output in outputs], labels)}


def ctc(outputs: Sequence[np.ndarray], labels: np.ndarray) -> dict[str, float]:
    """The same after greedy CTC decoding: repetitions merged, then the blank, class 0, dropped.

    Graves et al., Connectionist Temporal Classification, ICML 2006, section 3.2.
    """
    return {"exact_match": _matches([collapsed(_steps(output)) for output in outputs], labels)}


def _steps(output: np.ndarray) -> np.ndarray:
    is_said = output.dtype.kind in "iu"
    return output.ravel() if is_said else output.reshape(-1, output.shape[-1]).argmax(axis=1)


def collapsed(steps: np.ndarray, blank: int = 0) -> np.ndarray:
    """Steps with repetitions merged and blanks dropped: int64[n]."""
    first = np.ones(len(steps), bool)
    first[1:] = steps[1:] != steps[:-1]
    return steps[first & (steps != blank)]


def _matches(said: Sequence[np.ndarray], labels: np.ndarray) -> float:
    """Share of sequences that equal their label, a row that is filled up with negative numbers."""
    wanted = (row[row >= 0] for row in labels)
    return float(np.mean([np.array_equal(a, b) for a, b in zip(said, wanted, strict=True)]))


METRICS = {
    row.name: row
    for row in (
        Metric("top1", "share of samples whose most likely class is the label", "largest", top1),
        Metric("sequence", "share of sequences that are right in full", "first", sequence),
        Metric("ctc", "share of sequences that are right after CTC decoding", "first", ctc),
        Metric("squad", "F1 of words, and share of texts that are right in full", "first", squad),
        Metric("rouge", "ROUGE of texts (rouge-score)", "first", rouge),
        Metric("map", "mean average precision of boxes", "first", mean_average_precision),
    )
}
"""Metrics by name."""

ROUND_METRICS = {
    "acc": ("top1", "top1"),
    "F1": ("squad", "f1"),
    "mAP": ("map", "mAP"),
    "ROUGE1": ("rouge", "rouge1"),
    "ROUGE2": ("rouge", "rouge2"),
    "ROUGEL": ("rouge", "rougeL"),
    "ROUGELSUM": ("rouge", "rougeLsum"),
    "GEN_LEN": ("rouge", "gen_len"),
    "TOKENS_PER_SAMPLE": ("rouge", "tokens_per_sample"),
}
"""Metric and figure that are computed here, by the round's name."""


def metric_named(name: str) -> Metric:
    """A metric by name; "mAP" is written in any case.

    Raises:
        InputError: an unknown one.
    """
    found = METRICS.get(name.lower() if name.lower() == "map" else name)
    if found is None:
        raise unknown_name("metric", name, METRICS)
    return found


def metric_of_floors(floors: Sequence[str], where: str) -> Metric:
    """The metric that gives all figures that a round asks for, by their names.

    Raises:
        InputError: one of them is not computed here.
    """
    absent = [name for name in floors if name not in ROUND_METRICS]
    names = {ROUND_METRICS[name][0] for name in floors if name in ROUND_METRICS}
    if absent or len(names) != 1:
        raise InputError(
            f"{', '.join(absent or floors)} is not computed here",
            where=where,
            allowed=", ".join(ROUND_METRICS),
            hint="score it in an adapter (--adapter)",
        )
    return METRICS[names.pop()]


def metric_of_labels(labels: np.ndarray) -> Metric:
    """The usual metric: top-1 of integers, sequences of rows of integers, SQuAD's of texts, boxes.

    Raises:
        InputError: labels of another form.
    """
    forms = {("i", 1): "top1", ("u", 1): "top1", ("i", 2): "sequence", ("U", 1): "squad"}
    forms |= {("f", 3): "map"}
    name = forms.get((labels.dtype.kind, labels.ndim))
    if name is None:
        raise InputError(
            f"labels are {labels.dtype}{list(labels.shape)}",
            allowed="integers, rows of integers, texts, or boxes (floats[n, boxes, 6])",
            hint="name the metric when the data set is saved, or score it in an adapter",
        )
    return METRICS[name]
