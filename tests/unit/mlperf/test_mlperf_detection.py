"""Mean average precision against brute force, and annotations with every fault."""

import json
import sys

import numpy as np
import pytest

from lydite.errors import InputError, MissingExtra
from lydite.mlperf.boxes import read_annotations
from lydite.mlperf.metrics import METRICS

pytest.importorskip("pycocotools", reason="pycocotools is not installed")
score = METRICS["map"].score
SIZE = (200.0, 100.0)  # width and height in pixels


def labels_of(images):
    """Labels of images of that size, from their boxes (category, x, y, width, height, crowd)."""
    most = max(map(len, images))
    labels = np.zeros((len(images), most + 1, 6))
    labels[:, :, 0] = -1
    for row, boxes in zip(labels, images, strict=True):
        row[0, 3:5] = SIZE
        if boxes:
            row[1 : len(boxes) + 1] = boxes
    return labels


def output_of(boxes):
    """Rows as the reference systems log them, from (category, x, y, width, height, score)."""
    rows = [
        (7, y / SIZE[1], x / SIZE[0], (y + h) / SIZE[1], (x + w) / SIZE[0], s, c)
        for c, x, y, w, h, s in boxes
    ]
    return np.array(rows, np.float32).reshape(-1, 7)


def overlap(one, other):
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    both = max(across, 0) * max(down, 0)
    return both / (one[2] * one[3] + other[2] * other[3] - both)


def brute_precision(truth, said, category, least):
    """Interpolated average precision of a category at one IoU, at 101 recalls."""
    boxes = [(i, b[1:5]) for i, image in enumerate(truth) for b in image if b[0] == category]
    found = [(b[5], i, b[1:5]) for i, image in enumerate(said) for b in image if b[0] == category]
    taken, hits = set(), []
    for _, image, box in sorted(found, reverse=True):
        ranked = [
            (overlap(box, other), k)
            for k, (i, other) in enumerate(boxes)
            if i == image and k not in taken
        ]
        best, place = max(ranked, default=(0.0, -1))
        hits.append(best >= least)
        if best >= least:
            taken.add(place)
    right = np.cumsum(hits)
    precision, recall = right / np.arange(1, len(hits) + 1), right / len(boxes)
    return np.mean(
        [max(precision[recall >= r - 1e-12], default=0.0) for r in np.linspace(0, 1, 101)]
    )


def test_average_precision_is_that_of_brute_force():
    draw = np.random.default_rng(11)
    for _ in range(8):
        truth, said = [], []
        for _ in range(5):
            boxes = [
                (int(draw.integers(1, 4)), *draw.uniform(0, [120, 60, 60, 30]).tolist(), 0)
                for _ in range(draw.integers(0, 5))
            ]
            shifted = [
                (b[0], *(np.array(b[1:5]) + draw.normal(0, 2, 4)).tolist(), float(draw.random()))
                for b in boxes
                if b[3] > 8 and b[4] > 8
            ]
            wrong = [(int(draw.integers(1, 4)), 10, 10, 20, 20, float(draw.random()))]
            truth.append(boxes)
            said.append([*shifted, *wrong])
        kinds = {b[0] for image in truth for b in image}
        limits = np.linspace(0.5, 0.95, 10)
        wanted = np.mean([[brute_precision(truth, said, k, t) for k in kinds] for t in limits])
        half = np.mean([brute_precision(truth, said, k, 0.5) for k in kinds])
        found = score([output_of(boxes) for boxes in said], labels_of(truth))
        assert found == {
            "mAP": pytest.approx(wanted, abs=1e-6),
            "mAP50": pytest.approx(half, abs=1e-6),
        }
        assert 0 < wanted < 1


def test_values_by_hand():
    truth = labels_of([[(1, 20, 10, 40, 40, 0)], [(2, 0, 0, 100, 50, 0)]])
    right = [output_of([(1, 20, 10, 40, 40, 0.9)]), output_of([(2, 0, 0, 100, 50, 0.4)])]
    assert score(right, truth) == {"mAP": pytest.approx(1), "mAP50": pytest.approx(1)}
    # half of one category: 20 x 40 of 40 x 40 is an IoU of exactly .5
    half = [output_of([(1, 20, 10, 20, 40, 0.9)]), right[1]]
    assert score(half, truth) == {"mAP": pytest.approx((0.1 + 1) / 2), "mAP50": pytest.approx(1)}
    # a mistake that is surer than the hit halves the precision of category 1
    unsure = [output_of([(1, 150, 0, 9, 9, 0.9), (1, 20, 10, 40, 40, 0.5)]), right[1]]
    assert score(unsure, truth)["mAP"] == pytest.approx((0.5 + 1) / 2)
    nothing = [np.zeros((0, 7), np.float32)] * 2
    assert score(nothing, truth) == {"mAP": 0, "mAP50": 0}


def test_crowds_are_neither_hits_nor_misses():
    crowd = labels_of([[(1, 0, 0, 100, 100, 1), (1, 120, 0, 40, 40, 0)]])
    said = output_of([(1, 10, 10, 20, 20, 0.9), (1, 120, 0, 40, 40, 0.8)])
    assert score([said], crowd)["mAP"] == pytest.approx(1)


def test_rows_without_a_score_fill_up_and_flat_logs_are_read():
    truth = labels_of([[(1, 20, 10, 40, 40, 0)]])
    rows = np.concatenate([output_of([(1, 20, 10, 40, 40, 0.9)]), np.zeros((3, 7), np.float32)])
    assert score([rows], truth) == score([rows.ravel()], truth) == score([rows[:1]], truth)


def test_it_says_nothing_on_standard_output(capsys):
    score([output_of([(1, 20, 10, 40, 40, 0.9)])], labels_of([[(1, 20, 10, 40, 40, 0)]]))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("output", "labels", "message"),
    [
        (np.zeros((3, 6)), labels_of([[(1, 0, 0, 9, 9, 0)]]), r"sample 0 is float64\[3, 6\].*rows"),
        (np.zeros(8), labels_of([[(1, 0, 0, 9, 9, 0)]]), r"float64\[8\]"),
        (np.full((1, 7), np.nan), labels_of([[(1, 0, 0, 9, 9, 0)]]), "sample 0 has a row that is"),
        (np.ones((1, 7)), np.zeros((1, 4, 5)), r"labels are float64\[1, 4, 5\].*--annotations"),
        (np.ones((1, 7)), np.array([3]), r"labels are int64\[1\]"),
        (np.ones((1, 7)), labels_of([[]]), "hold no box"),
    ],
)
def test_other_forms_are_refused(output, labels, message):
    with pytest.raises(InputError, match=message):
        score([output], labels)


def test_without_the_library_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(MissingExtra, match=r"pip install 'lydite\[mlperf-metrics\]'"):
        score([], np.zeros((0, 1, 6)))


# annotations


def document():
    return {
        "images": [
            {"id": 9, "file_name": "b.png", "width": 64, "height": 32},
            {"id": 4, "file_name": "a.png", "width": 10, "height": 20},
        ],
        "annotations": [
            {"id": 1, "image_id": 4, "category_id": 90, "bbox": [1, 2, 3.5, 4], "iscrowd": 1},
            {"id": 2, "image_id": 4, "category_id": 1, "bbox": [0, 0, 10, 20]},
        ],
        "categories": [{"id": 1}, {"id": 90}],
    }


def written(tmp_path, told):
    path = tmp_path / "instances.json"
    path.write_text(told if isinstance(told, str) else json.dumps(told))
    return path


def test_annotations_become_labels_in_the_order_of_the_images(tmp_path):
    names, labels = read_annotations(written(tmp_path, document()))
    assert names == ["b.png", "a.png"]
    filler = [-1, 0, 0, 0, 0, 0]
    assert labels.tolist() == [
        [[-1, 0, 0, 64, 32, 0], filler, filler],
        [[-1, 0, 0, 10, 20, 0], [90, 1, 2, 3.5, 4, 1], [1, 0, 0, 10, 20, 0]],
    ]


def changed(place, value):
    told = document()
    *keys, last = place
    row = told
    for key in keys:
        row = row[key]
    if value is None:
        del row[last]
    else:
        row[last] = value
    return told


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("{", r"instances.json: is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "has no list of images"),
        (changed(["images"], []), "has no list of images"),
        (changed(["annotations"], {"a": 1}), "has no list of annotations"),
        (changed(["images", 0], 5), r"images\[0\]: has no id"),
        (changed(["images", 1, "id"], 9), r"images\[1\]: the id 9 was there before"),
        (changed(["images", 1, "id"], True), r"images\[1\]: id True is no number"),
        (changed(["images", 0, "width"], 0), r"images\[0\]: width 0 is no size"),
        (changed(["images", 0, "width"], "64"), "width 64 is no size"),
        (changed(["images", 0, "height"], None), r"images\[0\]: has no height"),
        (changed(["images", 0, "file_name"], "a\nb"), "names no file"),
        (changed(["images", 0, "file_name"], 3), "names no file"),
        (changed(["annotations", 0, "image_id"], 5), r"annotations\[0\]: no image has the id 5"),
        (changed(["annotations", 1, "category_id"], -3), "category_id -3 is no number"),
        (changed(["annotations", 1, "bbox"], [1, 2, 3]), r"annotations\[1\]: bbox \[1, 2, 3\] is"),
        (changed(["annotations", 1, "bbox"], [1, 2, 3, float("nan")]), "is no box"),
        (changed(["annotations", 1, "bbox"], [1, 2, -3, 1]), "has a negative size"),
        (changed(["annotations", 1, "bbox"], "abcd"), "bbox abcd is no box"),
        (changed(["annotations", 1, "iscrowd"], 7), "iscrowd 7 is neither 0 nor 1"),
        (changed(["annotations", 1, "iscrowd"], [1]), "is neither 0 nor 1"),
    ],
)
def test_every_fault_of_annotations_has_its_place(tmp_path, told, message):
    with pytest.raises(InputError, match=message):
        read_annotations(written(tmp_path, told))


def test_large_files_and_large_labels_are_refused(tmp_path, monkeypatch):
    path = written(tmp_path, document())
    monkeypatch.setattr("lydite.mlperf.boxes.MOST_LABEL_BYTES", 287)
    with pytest.raises(InputError, match=r"2 images with up to 2 boxes take 288 bytes.*287"):
        read_annotations(path)
    monkeypatch.setattr("lydite.mlperf.boxes.MOST_BYTES", 10)
    with pytest.raises(InputError, match=r"bytes.*10"):
        read_annotations(path)
    with pytest.raises(InputError, match="no such file"):
        read_annotations(tmp_path / "none.json")
