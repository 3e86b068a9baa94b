"""Images to the inputs of a network: in parallel, resumable, checksummed.

The images are those of a list (`val_map.txt`: name and label a line), of a folder tree (one
folder a class), or of a COCO JSON file that says their boxes. Chunks are written one by one, each
wholly or not at all; a run that was stopped goes on with the chunks that are missing. The data set
looks whole only when all are there.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lydite.errors import InputError, LyditeError
from lydite.files import inside, replacing
from lydite.mlperf.boxes import read_annotations
from lydite.mlperf.dataset import MANIFEST, DataSet, save
from lydite.mlperf.images import Recipe, image_array
from lydite.pool import LocalPool

MAP = "val_map.txt"
CHUNK = 128
"""Images in a chunk."""
_SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".webp")
_PARTS = ".parts"


def items_of(folder: Path, listed: Path | None = None) -> list[tuple[str, int]]:
    """Name relative to the folder, and label, of each image.

    Args:
        folder: Folder of the images.
        listed: The list; None for `val_map.txt` in the folder, or else the folder tree, whose
            classes are numbered in the order of their names.

    Raises:
        InputError: no folder, no images, a line that cannot be read, or images that are missing.
    """
    if not folder.is_dir():
        raise InputError("no such folder", where=str(folder), hint="--data FOLDER")
    path = listed or folder / MAP
    if listed is None and not path.is_file():
        return _of_tree(folder)
    if not path.is_file():
        raise InputError("no such list", where=str(path))
    found: list[tuple[str, int]] = []
    for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or not words[1].isdigit():
            raise InputError(
                f"'{line[:80]}' is no image and label",
                where=f"{path}:{number}",
                allowed="NAME LABEL, separated by a space",
            )
        inside(folder, words[0], f"{path}:{number}")
        found.append((words[0], int(words[1])))
    _check_there(folder, [name for name, _ in found])
    return _some(found, path)


def _check_there(folder: Path, names: Sequence[str]) -> None:
    absent = [name for name in names if not (folder / name).is_file()]
    if absent:
        more = f" and {len(absent) - 3:,} more" if len(absent) > 3 else ""
        raise InputError(
            f"{len(absent):,} of {len(names):,} images are missing: {', '.join(absent[:3])}{more}",
            where=str(folder),
        )


def labelled(
    folder: Path, listed: Path | None, annotations: Path | None
) -> tuple[list[str], np.ndarray, str]:
    """Names of the images relative to the folder, their labels, and the metric of these.

    Args:
        folder: Folder of the images.
        listed: List of names and labels, as for `items_of`.
        annotations: COCO JSON file with the boxes of the images; None for classes.

    Raises:
        InputError: as `items_of` and `read_annotations`, or both a list and annotations.
    """
    if annotations is None:
        items = items_of(folder, listed)
        classes = np.array([label for _, label in items], np.int64)
        return [name for name, _ in items], classes, "top1"
    if listed is not None:
        raise InputError("annotations have their own list of images", where="--map")
    if not folder.is_dir():
        raise InputError("no such folder", where=str(folder), hint="--data FOLDER")
    names, boxes = read_annotations(annotations)
    for name in names:
        inside(folder, name, str(annotations))
    _check_there(folder, names)
    return names, boxes, "map"


def _of_tree(folder: Path) -> list[tuple[str, int]]:
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    found = [
        (str(image.relative_to(folder)), label)
        for label, each in enumerate(classes)
        for image in sorted(each.iterdir())
        if image.suffix.lower() in _SUFFIXES
    ]
    return _some(found, folder)


def _some(found: list[tuple[str, int]], where: Path) -> list[tuple[str, int]]:
    if not found:
        raise InputError(
            "holds no images", where=str(where), allowed=f"{MAP}, or one folder of images a class"
        )
    return found


def write_chunk(folder: Path, names: Sequence[str], recipe: Recipe, path: Path) -> None:
    """Write the inputs that images become.

    Raises:
        InputError: one cannot be read.
    """
    arrays = [image_array(folder / name, recipe) for name in names]
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, np.stack(arrays), allow_pickle=False)


Progress = Callable[[int, int, str], None]


def preprocess(
    source: Path,
    out: Path,
    input_name: str,
    recipe: Recipe,
    *,
    listed: Path | None = None,
    annotations: Path | None = None,
    count: int | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> tuple[DataSet, int]:
    """Prepare a data set of images.

    Args:
        source: Folder of the images.
        out: Folder of the data set.
        input_name: Name of the model's input.
        recipe: How images become inputs.
        listed: List of names and labels; None for the usual one.
        annotations: COCO JSON file with the boxes of the images; None for classes.
        count: Number of images that there have to be; None for any.
        jobs: Number of processes.
        progress: Called with the number of images done, their total, and the next.

    Returns:
        The data set, and the number of images that an earlier run had done.

    Raises:
        InputError: images that are missing, too few or too many, or cannot be read.
    """
    items, labels, metric = labelled(source, listed, annotations)
    if count is not None and len(items) != count:
        raise InputError(
            f"holds {len(items):,} images", where=str(source), allowed=f"{count:,} exactly"
        )
    key = _key(source, items, recipe)
    parts = out / _PARTS
    (out / MANIFEST).unlink(missing_ok=True)
    chunks = {
        parts / f"{key}-{start // CHUNK:06d}.npy": items[start : start + CHUNK]
        for start in range(0, len(items), CHUNK)
    }
    left = {path: part for path, part in chunks.items() if not _is_whole(path, len(part), recipe)}
    before = len(items) - sum(map(len, left.values()))
    done = before
    tasks = list(left.items())
    for place, _ in LocalPool(jobs).stream(_write, (source, recipe), tasks):
        done += len(tasks[place][1])
        if progress is not None:
            progress(done, len(items), "images")
    array = _gathered(out, input_name, chunks, len(items), recipe)
    origin = {"recipe": asdict(recipe), "images": key}
    data = save(out, source.name, {input_name: array}, labels, origin, metric, items)
    shutil.rmtree(parts)
    return data, before


def _key(source: Path, items: Sequence[str], recipe: Recipe) -> str:
    """Digest of what the chunks are made of: the recipe, and each image's name, size and time."""
    stats = ((name, (source / name).stat()) for name in items)
    rows = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    return hashlib.sha256(json.dumps([asdict(recipe), rows]).encode()).hexdigest()[:16]


def _is_whole(path: Path, count: int, recipe: Recipe) -> bool:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return False
    return array.shape == (count, *recipe.shape) and array.dtype == recipe.dtype


def _write(shared: tuple[Path, Recipe], task: tuple[Path, Sequence[str]]) -> None:
    (folder, recipe), (path, names) = shared, task
    write_chunk(folder, names, recipe, path)


def _gathered(
    out: Path, name: str, chunks: Mapping[Path, Sequence[Any]], count: int, recipe: Recipe
) -> np.ndarray:
    """All chunks as one array, mapped from the file that the data set will name."""
    from lydite.mlperf.dataset import file_name

    path = out / file_name(name)
    path.unlink(missing_ok=True)
    try:
        array = np.lib.format.open_memmap(path, "w+", recipe.dtype, (count, *recipe.shape))
        at = 0
        for part in chunks:
            rows = np.load(part, mmap_mode="r", allow_pickle=False)
            array[at : at + len(rows)] = rows
            at += len(rows)
        array.flush()
    except OSError as error:
        path.unlink(missing_ok=True)
        raise LyditeError(f"cannot write: {error.strerror or error}", where=str(path)) from error
    return array
