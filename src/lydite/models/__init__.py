"""The model set: one file a family, each nothing but calls of the building API.

    graph = build_model("resnet50", batch=8)
    graph = build_model("bert-base", sequence=384, dtype="float16")

Names are listed without importing onnx. A package outside adds its models by entry points of the
group "lydite.models": the entry's name is the model's, its object a `ModelInfo`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from lydite.errors import InputError, LyditeError, unknown_name
from lydite.models.table import FLOATS, MODELS, ModelInfo

if TYPE_CHECKING:
    from lydite.graph import Graph

__all__ = ["ModelInfo", "build_model", "describe", "model_names"]

GROUP = "lydite.models"


def model_names() -> list[str]:
    """Names of all models, those of installed packages too."""
    return sorted({*MODELS, *entry_points(group=GROUP).names})


def describe(name: str) -> ModelInfo:
    """What a model is; spelling is free in case, "-" and "_" ("ResNet-50" is "resnet50").

    Raises:
        InputError: no such model (names the nearest).
        LyditeError: a package's model has the name of another, or is no `ModelInfo`.
    """
    known = {_plain(known): known for known in model_names()}
    full = known.get(_plain(name))
    if full is None:
        raise unknown_name("model", name, known.values(), "or give the path of an .onnx file")
    found = [MODELS[full]] if full in MODELS else []
    found += [entry.load() for entry in entry_points(group=GROUP, name=full)]
    if len(found) > 1 or not isinstance(found[0], ModelInfo):
        raise LyditeError(
            "two packages give a model of this name" if len(found) > 1 else "is no ModelInfo",
            where=f"model '{full}' of the entry points '{GROUP}'",
        )
    return found[0]


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def build_model(
    name: str,
    *,
    batch: int = 1,
    image_size: int | None = None,
    sequence: int | None = None,
    dtype: str = "float32",
) -> Graph:
    """Build a model of the set; a size left out takes the paper's.

    Args:
        name: one of `model_names`.
        batch: samples at once.
        image_size: height and width in pixels, for models that see.
        sequence: tokens a sample, for models that read.
        dtype: element type of weights and activations: float32, float16 or bfloat16.

    Raises:
        InputError: an unknown name or dtype, an option that the model does not take, or a size
            that does not fit it.
    """
    info = describe(name)
    given = {"image_size": image_size, "sequence": sequence}
    for option, value in given.items():
        if value is not None and option not in info.defaults:
            raise InputError(f"takes no {option}", where=info.name, allowed=_options(info))
    sizes = {"batch": batch, **info.defaults}
    sizes |= {option: value for option, value in given.items() if value is not None}
    for option, value in sizes.items():
        low, high = info.limits.get(option, (1, None))
        if value < low or (high is not None and value > high):
            bounds = f"{low} to {high}" if high is not None else f"{low} and more"
            raise InputError(f"{option} {value} is impossible", where=info.name, allowed=bounds)
    if dtype not in FLOATS:
        raise unknown_name("precision", dtype, FLOATS)
    build = info.build
    if isinstance(build, str):
        module, _, function = build.partition(":")
        build = getattr(import_module(module), function)
    return build(**sizes, dtype=dtype).renamed(info.name)


def _options(info: ModelInfo) -> str:
    return ", ".join(["batch", *info.defaults, "dtype"])
