"""The model set: one file a family, each nothing but calls of the building API.

    graph = build_model("resnet50", batch=8)
    graph = build_model("bert-base", sequence=384, dtype="float16")

Names are listed without importing onnx. A package outside adds its models by entry points of the
group "lydite.models": the entry's name is the model's, its object a `ModelInfo`.
"""

from __future__ import annotations

import json
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lydite.errors import InputError, LyditeError, unknown_name
from lydite.models.info import FLOATS, ModelInfo, Published
from lydite.models.table import ALIASES, ELSEWHERE, MODELS
from lydite.registry import entry_points

if TYPE_CHECKING:
    from lydite.graph import Graph

__all__ = ["ModelInfo", "Published", "aliases", "build_model", "describe", "figures", "model_names"]

GROUP = "lydite.models"


def model_names() -> list[str]:
    """Names of all models, those of installed packages too."""
    return sorted({*MODELS, *ELSEWHERE, *entry_points(group=GROUP).names})


def describe(name: str) -> ModelInfo:
    """What a model is; spelling is free in case, "-" and "_" ("ResNet-50" is "resnet50").

    Names that other systems have for it are known too (`lydite.models.table.ALIASES`).

    Raises:
        InputError: no such model (names the nearest).
        LyditeError: a package's model has the name of another, or is no `ModelInfo`.
    """
    known = {_plain(alias): full for alias, full in ALIASES.items()}
    known |= {_plain(known): known for known in model_names()}
    full = known.get(_plain(name))
    if full is None:
        raise unknown_name("model", name, model_names(), "or give the path of an .onnx file")
    found = [MODELS[full]] if full in MODELS else []
    found += [EntryPoint(full, ELSEWHERE[full], GROUP).load()] if full in ELSEWHERE else []
    found += [entry.load() for entry in entry_points(group=GROUP, name=full)]
    if len(found) > 1 or not isinstance(found[0], ModelInfo):
        raise LyditeError(
            "two packages give a model of this name" if len(found) > 1 else "is no ModelInfo",
            where=f"model '{full}' of the entry points '{GROUP}'",
        )
    return found[0]


def aliases(name: str) -> list[str]:
    """Names that other systems have for a model of the set."""
    return sorted(alias for alias, full in ALIASES.items() if full == name)


def figures() -> dict[str, dict[str, Any]]:
    """Parameters, FLOPs, multiply-adds, operators and inputs of all models at their defaults.

    Our own are kept in a file, so that listing them builds none; those of other packages are built.
    """
    known = json.loads(Path(__file__).with_name("figures.json").read_text("utf-8"))
    others = [name for name in model_names() if name not in known]
    if others:
        from lydite.models.counts import figures_of

        known |= {name: figures_of(build_model(name)) for name in others}
    return {name: known[name] for name in model_names()}


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def build_model(
    name: str, *, batch: int = 1, dtype: str = "float32", **options: int | str | None
) -> Graph:
    """Build a model of the set.

    Args:
        name: one of `model_names`.
        batch: samples at once.
        dtype: element type of weights and activations: float32, float16 or bfloat16.
        options: what the model's row lists under `defaults`, such as `image_size` (height and
            width in pixels), `sequence` (tokens a sample) or `phase`; None takes the default.

    Raises:
        InputError: an unknown name or dtype, an option that the model does not take, or a value
            that does not fit it.
    """
    info = describe(name)
    given = {option: value for option, value in options.items() if value is not None}
    for option in given:
        if option not in info.defaults:
            raise InputError(f"takes no {option}", where=info.name, allowed=_options(info))
    values = {"batch": batch, **info.defaults, **given}
    for option, value in values.items():
        _check(info, option, value)
    if dtype not in FLOATS:
        raise unknown_name("precision", dtype, FLOATS)
    build = info.build
    if isinstance(build, str):
        module, _, function = build.partition(":")
        build = getattr(import_module(module), function)
    return build(**values, dtype=dtype).renamed(info.name)


def _check(info: ModelInfo, option: str, value: int | str) -> None:
    if isinstance(value, str) or option in info.choices:
        if value not in info.choices.get(option, ()):
            raise unknown_name(option, str(value), info.choices.get(option, ()))
        return
    low, high = info.limits.get(option, (1, None))
    if value < low or (high is not None and value > high):
        bounds = f"{low} to {high}" if high is not None else f"{low} and more"
        raise InputError(f"{option} {value} is impossible", where=info.name, allowed=bounds)


def _options(info: ModelInfo) -> str:
    return ", ".join(["batch", *info.defaults, "dtype"])
