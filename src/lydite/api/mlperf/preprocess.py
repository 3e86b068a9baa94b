"""`mlperf preprocess`: images to a prepared data set."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from typing_extensions import TypedDict

from lydite.api.mlperf.benchmark import Target, target_of
from lydite.api.mlperf.options import PreprocessOptions, RunOptions
from lydite.api.options import chosen
from lydite.errors import InputError
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.mlperf.dataset import DataSet
    from lydite.mlperf.preprocess import Recipe


class MlperfPreprocessDocument(TypedDict):
    """A prepared data set; `resumed` images were done by an earlier run."""

    benchmark: str
    name: str
    folder: str
    samples: int
    classes: int
    resumed: int
    input: str
    shape: list[int]
    dtype: str
    recipe: dict[str, Any]
    digest: str
    bytes: int


@dataclass(frozen=True, eq=False, repr=False)
class MlperfPreprocessResult(Result):
    """A prepared data set.

    Attributes:
        target: What it is for.
        data: Data set.
        recipe: How its images were treated.
        resumed: Number of images that an earlier run had done.
    """

    verb = "mlperf-preprocess"

    target: Target
    data: DataSet
    recipe: Recipe
    resumed: int

    def document(self) -> MlperfPreprocessDocument:
        """Folder, counts, digest and recipe."""
        ((name, array),) = self.data.inputs.items()
        assert self.data.labels is not None
        return {
            "benchmark": self.target.name,
            "name": self.data.name,
            "folder": str(self.data.folder),
            "samples": self.data.samples,
            "classes": _classes(self.data.labels),
            "resumed": self.resumed,
            "input": name,
            "shape": list(array.shape[1:]),
            "dtype": str(array.dtype),
            "recipe": asdict(self.recipe),
            "digest": self.data.digest,
            "bytes": array.nbytes,
        }

    def summary(self) -> str:
        """Counts, folder and digest."""
        told = self.document()
        resumed = f", {told['resumed']:,} of them by an earlier run" if told["resumed"] else ""
        shape = " x ".join(map(str, told["shape"]))
        return (
            f"{told['samples']:,} images of {told['classes']:,} classes prepared{resumed}\n"
            f"input    {told['input']} {shape} {told['dtype']}, {told['bytes'] / 2**20:,.1f} MiB\n"
            f"digest   {told['digest']}\n"
            f"folder   {told['folder']}"
        )

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row."""
        return [self.document()]


def _classes(labels: np.ndarray) -> int:
    """Number of classes: of the images, or of their boxes."""
    found = np.unique(labels if labels.ndim == 1 else labels[:, 1:, 0])
    return int(np.sum(found >= 0))


def preprocess(
    session: Session,
    model: str,
    *,
    data: Path,
    out: Path,
    options: PreprocessOptions | None = None,
    **given: Any,
) -> MlperfPreprocessResult:
    """Prepare a folder of images for a network.

    Args:
        session: Session.
        model: Benchmark of the round, name of the model set, or file.
        data: Folder of the images.
        out: Folder of the prepared data set.
        options: How images become inputs.
        given: Fields of `PreprocessOptions`.

    Raises:
        InputError: missing, unreadable, too few or too many images, or a model without one image
            as its input.
    """
    from lydite.mlperf.preprocess import preprocess as prepare

    how = chosen(PreprocessOptions, options, given)
    target = target_of(model, RunOptions())
    name, recipe = _recipe(session, target, how)
    count = how.count or (target.row.total if target.row is not None else None)
    jobs = how.jobs or os.cpu_count() or 1
    with session.bar(f"{target.name} images") as show:
        made, resumed = prepare(
            data,
            out,
            name,
            recipe,
            listed=how.map,
            annotations=how.annotations,
            count=count,
            jobs=jobs,
            progress=show,
        )
    return MlperfPreprocessResult(target, made, recipe, resumed)


def _recipe(session: Session, target: Target, how: PreprocessOptions) -> tuple[str, Recipe]:
    """Name of the model's input, and how images become it."""
    from lydite.mlperf.preprocess import Recipe

    if not target.model:
        raise InputError(f"no model of the set is {target.name}", hint="give its .onnx file")
    graph = session.load(target.model).graph
    types = {name: graph.type_of(name) for name in graph.inputs}
    (name, type_) = next(iter(types.items()))
    shape = tuple(type_.shape or ())
    sizes = {"NCHW": shape[2:], "NHWC": shape[1:3]}
    layout = "NCHW" if len(shape) == 4 and shape[1] == 3 else "NHWC"
    channels = len(shape) == 4 and 3 in (shape[1], shape[3])
    height, width = sizes[layout] if channels else (None, None)
    if len(types) != 1 or not isinstance(height, int) or not isinstance(width, int):
        raise InputError(
            f"takes {', '.join(f'{n} {t}' for n, t in types.items())}",
            where=target.name,
            allowed="one input of three channels and known height and width",
            hint="describe its preprocessing in an adapter (--adapter)",
        )
    dtype = "uint8" if type_.dtype == "uint8" else "float32"
    is_whole = how.annotations is not None
    if is_whole and how.resize is not None:
        raise InputError("images with boxes are not cropped", where="--resize")
    resize = max(height, width) if is_whole else how.resize or -(-max(height, width) * 8 // 7)
    fit = "stretch" if is_whole else "crop"
    mean, std = _three(how.mean, "--mean"), _three(how.std, "--std")
    return name, Recipe((height, width), resize, layout, mean, std, dtype, fit)


def _three(text: str, where: str) -> tuple[float, float, float]:
    try:
        red, green, blue = (float(word) for word in text.split(","))
    except ValueError:
        raise InputError(
            f"'{text}' is no mean of three channels", where=where, allowed="R,G,B"
        ) from None
    return red, green, blue
