"""Boxes of detection: what images hold, what a net says, and the mean average precision of it.

Labels are float64[n, m, 6], the rows of an image in pixels. The first is the image itself,
`[-1, 0, 0, width, height, 0]`; each further one is `[category, x, y, width, height, crowd]`, with
x and y of the upper left corner, filled up with rows of category -1. Outputs are what MLPerf's
reference systems log: float32 rows `[image index, ymin, xmin, ymax, xmax, score, category]`, the
corners as shares of the image's height and width.
"""

from __future__ import annotations

import io
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from lydite.errors import InputError, MissingExtra

COLUMNS, SAID_COLUMNS = 6, 7
NOTHING = -1.0
"""Category of the image itself, and of rows that fill up."""
MOST_BYTES = 512 << 20
"""Largest file of annotations that is read; COCO's of 2017 has 20 MB."""
MOST_LABEL_BYTES = 2 << 30
"""Most memory that the labels of a data set may take."""


def mean_average_precision(outputs: Sequence[np.ndarray], labels: np.ndarray) -> dict[str, float]:
    """COCO's mean average precision by pycocotools, as `accuracy-openimages.py` computes it.

    Shares between 0 and 1: `mAP` over the IoU of .50, .55, ... .95, and that of .50 alone. At most
    100 boxes count for an image; the image index that a row says is not looked at, because the log
    says it as well, and rows without a positive score fill up.

    Raises:
        InputError: outputs or labels of another form, or labels without any box.
        MissingExtra: pycocotools is not installed.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise MissingExtra("pycocotools", "mlperf-metrics") from None
    truth = _truth(labels)
    said = [box for index, output in enumerate(outputs) for box in _said(index, output, labels)]
    if not truth["annotations"]:
        raise InputError("the labels hold no box, so that there is no mean average precision")
    if not said:
        return {"mAP": 0.0, "mAP50": 0.0}
    with redirect_stdout(io.StringIO()):  # it prints its progress
        images: Any = COCO()
        images.dataset = truth
        images.createIndex()
        judged = COCOeval(images, images.loadRes(said), iouType="bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return {"mAP": float(judged.stats[0]), "mAP50": float(judged.stats[1])}


def _truth(labels: np.ndarray) -> dict[str, Any]:
    """The labels as a data set of COCO's; images have the index of their sample."""
    if labels.dtype.kind != "f" or labels.ndim != 3 or labels.shape[2] != COLUMNS:
        raise InputError(
            f"labels are {labels.dtype}{list(labels.shape)}",
            allowed="floats[samples, boxes + 1, 6]: category, x, y, width, height, crowd",
            hint="lydite mlperf preprocess --annotations",
        )
    boxes: list[dict[str, Any]] = []
    for index, rows in enumerate(labels):
        for category, x, y, width, height, crowd in rows[1:][rows[1:, 0] >= 0].tolist():
            boxes.append(
                {
                    "id": len(boxes) + 1,
                    "image_id": index,
                    "category_id": int(category),
                    "bbox": [x, y, width, height],
                    "area": width * height,
                    "iscrowd": int(crowd),
                }
            )
    return {
        "info": {},
        "images": [{"id": index} for index in range(len(labels))],
        "annotations": boxes,
        "categories": [{"id": each} for each in sorted({box["category_id"] for box in boxes})],
    }


def _said(index: int, output: np.ndarray, labels: np.ndarray) -> Iterator[dict[str, Any]]:
    """Boxes of one output, in pixels of the image."""
    if output.size % SAID_COLUMNS or (output.ndim > 1 and output.shape[-1] != SAID_COLUMNS):
        raise InputError(
            f"the output of sample {index} is {output.dtype}{list(output.shape)}",
            allowed="rows of 7: image index, ymin, xmin, ymax, xmax, score, category",
            hint="turn what the net says into such rows in an adapter (--adapter)",
        )
    width, height = labels[index, 0, 3:5].tolist()
    for _, top, left, bottom, right, score, category in (
        output.reshape(-1, SAID_COLUMNS).astype(np.float64).tolist()
    ):
        if not math.isfinite(top + left + bottom + right + score + category):
            raise InputError(f"the output of sample {index} has a row that is not finite")
        if score > 0:
            corner = [left * width, top * height]
            size = [(right - left) * width, (bottom - top) * height]
            yield {
                "image_id": index,
                "category_id": int(category),
                "bbox": [*corner, *size],
                "score": score,
            }


# annotations


def read_annotations(path: Path) -> tuple[list[str], np.ndarray]:
    """File names of the images of a COCO JSON file, in its order, and their labels.

    Raises:
        InputError: no such file, a large one, no JSON, or a field that is missing or impossible
            (says which).
    """
    if not path.is_file():
        raise InputError("no such file", where=str(path), allowed="a COCO JSON of annotations")
    if path.stat().st_size > MOST_BYTES:
        size = f"{path.stat().st_size:,} bytes"
        raise InputError(f"has {size}", where=str(path), allowed=f"{MOST_BYTES:,}")
    try:
        document = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"is no JSON: {str(error)[:200]}", where=str(path)) from None
    images = _rows(document, "images", path)
    sizes: dict[int, tuple[float, float]] = {}
    names: list[str] = []
    for number, row in enumerate(images):
        where = f"{path}: images[{number}]"
        key = _whole(row, "id", where)
        if key in sizes:
            raise InputError(f"the id {key} was there before", where=where)
        sizes[key] = (_length(row, "width", where), _length(row, "height", where))
        names.append(_name(row, where))
    boxes: dict[int, list[list[float]]] = defaultdict(list)
    for number, row in enumerate(_rows(document, "annotations", path)):
        where = f"{path}: annotations[{number}]"
        key = _whole(row, "image_id", where)
        if key not in sizes:
            raise InputError(f"no image has the id {key}", where=where)
        boxes[key].append(_box(row, where))
    return names, _labels(sizes, boxes, path)


def _labels(
    sizes: Mapping[int, tuple[float, float]],
    boxes: Mapping[int, Sequence[Sequence[float]]],
    path: Path,
) -> np.ndarray:
    most = max(map(len, boxes.values()), default=0)
    needed = len(sizes) * (most + 1) * COLUMNS * 8
    if needed > MOST_LABEL_BYTES:
        raise InputError(
            f"{len(sizes):,} images with up to {most:,} boxes take {needed:,} bytes",
            where=str(path),
            allowed=f"{MOST_LABEL_BYTES:,}",
        )
    labels = np.zeros((len(sizes), most + 1, COLUMNS))
    labels[:, :, 0] = NOTHING
    for row, (key, (width, height)) in zip(labels, sizes.items(), strict=True):
        row[0, 3:5] = width, height
        if boxes.get(key):
            row[1 : len(boxes[key]) + 1] = boxes[key]
    return labels


def _rows(document: object, name: str, path: Path) -> list[Any]:
    found = document.get(name) if isinstance(document, dict) else None
    if not isinstance(found, list) or not found:
        raise InputError(f"has no list of {name}", where=str(path), allowed="COCO's JSON format")
    return found


def _field(row: object, name: str, where: str) -> Any:
    if not isinstance(row, dict) or name not in row:
        raise InputError(f"has no {name}", where=where)
    return row[name]


def _whole(row: object, name: str, where: str) -> int:
    found = _field(row, name, where)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < 1 << 53:
        raise InputError(f"{name} {str(found)[:40]} is no number of a row", where=where)
    return found


def _length(row: object, name: str, where: str) -> float:
    found = _field(row, name, where)
    if not _is_finite(found) or not 0 < found <= 1 << 20:
        raise InputError(f"{name} {str(found)[:40]} is no size in pixels", where=where)
    return float(found)


def _name(row: object, where: str) -> str:
    found = _field(row, "file_name", where)
    if not isinstance(found, str) or not found.strip() or len(found.splitlines()) != 1:
        raise InputError(f"file_name {str(found)[:40]!r} names no file", where=where)
    return found


def _box(row: object, where: str) -> list[float]:
    """Category, x, y, width, height, crowd."""
    found = _field(row, "bbox", where)
    if not isinstance(found, list) or len(found) != 4 or not all(map(_is_finite, found)):
        raise InputError(
            f"bbox {str(found)[:60]} is no box", where=where, allowed="[x, y, width, height]"
        )
    if found[2] < 0 or found[3] < 0:
        raise InputError(f"bbox {str(found)[:60]} has a negative size", where=where)
    crowd = row.get("iscrowd", 0) if isinstance(row, dict) else 0
    if crowd not in (0, 1):
        raise InputError(f"iscrowd {str(crowd)[:40]} is neither 0 nor 1", where=where)
    return [float(_whole(row, "category_id", where)), *map(float, found), float(crowd)]


def _is_finite(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and abs(value) < 1e9  # also refuses NaN
