"""A benchmark of somebody's own, as another package would ship it."""

from pathlib import Path

import numpy as np

from lydite.mlperf.adapter import Adapter


def samples(folder: Path):
    """Rows of a text file: a label and 128 numbers each."""
    for line in (folder / "rows.txt").read_text().splitlines():
        label, *numbers = line.split()
        yield np.array(numbers, np.float32), int(label)


def preprocess(row):
    return {"x": row.reshape(2, 8, 8)}


def score(outputs, labels):
    right = [int(o.argmax()) == label for o, label in zip(outputs, labels, strict=True)]
    return sum(right) / len(right)


BLOBS = Adapter("blobs", "", samples, preprocess, score)
STRICT = Adapter("strict", "", samples, preprocess, score, target=0.999)
USUAL = Adapter("usual", "", samples, preprocess)
NO_ADAPTER = 3


def _raises(item):
    raise KeyError("pixel")


def _uneven(row):
    return {"x": row[: 4 if row[0] > 0 else 5]}


RAISING = Adapter("raising", "", samples, _raises)
UNEVEN = Adapter("uneven", "", samples, _uneven)
EMPTY = Adapter("empty", "", lambda folder: [], preprocess)
HALF = Adapter(
    "half",
    "",
    lambda folder: [(row, None if i else 1) for i, (row, _) in enumerate(samples(folder))],
    preprocess,
)
