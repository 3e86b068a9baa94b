"""A prepared data set: inputs of all samples as arrays on disk, checked by their checksums.

A folder holds `manifest.json`, one `.npy` file for each input with the samples along its first
axis, `labels.npy` where the samples have labels, and `names.txt` where they have names, one a line.
Arrays are mapped, not read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lydite.errors import InputError
from lydite.files import replacing, write_atomic
from lydite.graph import Graph
from lydite.graph.dtypes import numpy_dtype
from lydite.records import dataclass

MANIFEST, LABELS, NAMES = "manifest.json", "labels.npy", "names.txt"
_BLOCK = 1 << 20
_FLOATS = ("float64", "float32", "float16", "bfloat16")


@dataclass(frozen=True, eq=False)
class DataSet:
    """Inputs, and labels where there are any.

    Attributes:
        name: Name of the data set.
        inputs: Samples along the first axis, by name of the input.
        labels: Label of each sample; None without labels.
        digest: Digest of its files' checksums, or how the samples are drawn.
        folder: Folder; None for samples that are drawn.
        metric: Metric of accuracy; "" for the usual one of its labels.
        names: Name of each sample; empty where they have none.
    """

    name: str
    inputs: Mapping[str, np.ndarray]
    labels: np.ndarray | None
    digest: str
    folder: Path | None = None
    metric: str = ""
    names: tuple[str, ...] = ()

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(next(iter(self.inputs.values())))

    def check_fits(self, graph: Graph) -> None:
        """Refuse inputs that the model does not take; floats of any width are cast to its own.

        Raises:
            InputError: names the input, its type and what the model wants.
        """
        wanted = {name: graph.type_of(name) for name in graph.inputs}
        if set(wanted) != set(self.inputs):
            raise InputError(
                f"has the inputs {', '.join(self.inputs)}",
                where=self.name,
                allowed=", ".join(f"{name} {type_}" for name, type_ in wanted.items()),
                hint="lydite mlperf preprocess",
            )
        for name, type_ in wanted.items():
            array, shape = self.inputs[name], tuple(type_.shape or ())
            dtype = numpy_dtype(type_.dtype)
            floats = array.dtype.kind == "f" and type_.dtype in _FLOATS
            if array.shape[1:] != shape[1:] or not (floats or array.dtype == dtype):
                raise InputError(
                    f"input {name} is {array.dtype}{list(array.shape[1:])} a sample",
                    where=self.name,
                    allowed=f"{type_.dtype}{list(shape[1:])}",
                    hint="lydite mlperf preprocess",
                )


def drawn(graph: Graph, count: int, seed: int) -> DataSet:
    """Samples that are drawn: normal floats, integers of 1; they have no labels."""
    draw = np.random.default_rng(seed)
    inputs: dict[str, np.ndarray] = {}
    for name in graph.inputs:
        type_ = graph.type_of(name)
        shape, dtype = [int(dim) for dim in type_.shape or ()][1:], numpy_dtype(type_.dtype)
        if dtype.kind == "f" or type_.dtype == "bfloat16":
            inputs[name] = draw.standard_normal((count, *shape), np.float32).astype(dtype)
        else:
            inputs[name] = np.ones((count, *shape), dtype)
    return DataSet("drawn", inputs, None, f"drawn-{seed}-{count}")


def save(
    folder: Path,
    name: str,
    inputs: Mapping[str, np.ndarray],
    labels: np.ndarray | None,
    origin: Mapping[str, Any],
    metric: str = "",
    names: Sequence[str] = (),
) -> DataSet:
    """Write a data set; the manifest comes last, so that half of one does not look whole.

    Args:
        folder: Folder.
        name: Name of the data set.
        inputs: Samples along the first axis, by name of the input.
        labels: Label of each sample; None without labels.
        origin: What it was made from, for the manifest.
        metric: Metric of accuracy; "" for the usual one of the labels.
        names: Name of each sample.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    arrays = {file_name(key): array for key, array in inputs.items()}
    if labels is not None:
        arrays[LABELS] = labels
    for file, array in arrays.items():
        if not _is_saved_as(folder / file, array):
            with replacing(folder / file) as temporary, temporary.open("wb") as stream:
                np.save(stream, array, allow_pickle=False)
    listed = [NAMES] if names else []
    if names:
        write_atomic(folder / NAMES, "".join(f"{name}\n" for name in names))
    manifest = {
        "name": name,
        "samples": len(next(iter(inputs.values()))),
        "metric": metric,
        "inputs": {key: file_name(key) for key in inputs},
        "sha256": {file: checksum(folder / file) for file in (*arrays, *listed)},
        "origin": dict(origin),
    }
    write_atomic(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return read(folder)


def _is_saved_as(path: Path, array: np.ndarray) -> bool:
    """Whether an array is that file itself, mapped."""
    return isinstance(array, np.memmap) and str(array.filename) == str(path.resolve())


def read(folder: Path, *, verify: bool = True) -> DataSet:
    """Open a prepared data set.

    Args:
        folder: Folder.
        verify: Whether to compare the checksums.

    Raises:
        InputError: no data set, a file that is missing, damaged or short.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(
            "holds no prepared data set", where=str(folder), hint="lydite mlperf preprocess"
        )
    try:
        manifest = json.loads(path.read_text("utf-8"))
        files, sums = dict(manifest["inputs"]), dict(manifest["sha256"])
        count, name = int(manifest["samples"]), str(manifest["name"])
        metric = str(manifest.get("metric", ""))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"is no manifest: {error}", where=str(path)) from None
    for file in sums:
        if Path(file).name != file or not (folder / file).is_file():
            raise InputError("is missing", where=str(folder / file), hint="prepare it again")
        if verify and checksum(folder / file) != sums[file]:
            raise InputError(
                "differs from its checksum", where=str(folder / file), hint="prepare it again"
            )
    if not set(files.values()) <= set(sums):
        raise InputError("names inputs without a checksum", where=str(path))
    inputs = {key: _mapped(folder / file, count) for key, file in files.items()}
    labels = _mapped(folder / LABELS, count) if LABELS in sums else None
    names = _names(folder / NAMES, count) if NAMES in sums else ()
    digest = hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()[:16]
    return DataSet(name, inputs, labels, digest, folder, metric, names)


def _names(path: Path, count: int) -> tuple[str, ...]:
    lines = path.read_text("utf-8", errors="replace").splitlines()
    if len(lines) != count:
        raise InputError(f"has {len(lines):,} names", where=str(path), allowed=f"{count:,}")
    return tuple(lines)


def _mapped(path: Path, count: int) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError) as error:
        raise InputError(f"is no array: {error}", where=str(path)) from None
    if len(array) != count:
        raise InputError(f"has {len(array):,} samples", where=str(path), allowed=f"{count:,}")
    return array


def file_name(name: str) -> str:
    """File of an input."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:100] + ".npy"


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
