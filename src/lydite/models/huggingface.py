"""Graphs from the `config.json` of Hugging Face's transformers.

A config is read as data: no package is imported, no code run, no weight fetched. Each `model_type`
is one row of `TYPES`: which field is which dimension, which value it has where a file leaves it out
(transformers' own), and which fields do not matter. What a row does not know is refused.

Language models come with their head, ViT with its classifier, CLIP's encoders with their
projection, BERT with its pooler. Scaled rotary positions turn by other angles, which is no other
work: the graph has the unscaled ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lydite.errors import InputError, unknown_name
from lydite.models.dimensions import PHASES
from lydite.models.huggingface_types import IGNORED, REQUIRED, TYPES, ConfigType
from lydite.models.info import FLOATS

if TYPE_CHECKING:
    from lydite.graph import Graph

MAX_BYTES = 4 << 20
"""A larger file is no config."""


def read_config(path: Path | str, *, part: str = "") -> tuple[ConfigType, Any, str]:
    """The row, the dimensions and the dtype that a config asks for.

    Args:
        path: a `config.json`, or the folder that holds it.
        part: of a model of several parts ("clip"), which: "text" or "vision".

    Raises:
        InputError: no JSON object, an unknown `model_type` or field, a field that is missing or
            has an impossible value; names file and field.
    """
    path = Path(path)
    path = path / "config.json" if path.is_dir() else path
    data = _of_part(_loaded(path), part, str(path))
    row = TYPES.get(str(data.get("model_type")))
    if row is None:
        error = unknown_name("model_type", str(data.get("model_type")), TYPES)
        raise InputError(
            error.what, where=str(path), allowed=", ".join(sorted(TYPES)), hint=error.hint
        )
    values = _values(row, data, str(path))
    given = data.get("dtype") or data.get("torch_dtype")
    return row, _dimensions(row, values, str(path)), given if given in FLOATS else "float32"


def graph_from_config(
    path: Path | str,
    *,
    batch: int = 1,
    sequence: int | None = None,
    context: int | None = None,
    phase: str | None = None,
    dtype: str | None = None,
    part: str = "",
) -> Graph:
    """Build the graph that a config describes.

    Args:
        path: a `config.json`, or the folder that holds it.
        batch: samples at once.
        sequence: tokens a sample; None for the usual.
        context: tokens in a language model's cache; see `lydite.models.decoder`.
        phase: of a language model: "forward", "prefill" or "decode".
        dtype: of weights and activations; None for the config's own, or float32.
        part: as in `read_config`.

    Raises:
        InputError: as `read_config`, or an option that the model does not take.
    """
    row, dimensions, own = read_config(path, part=part)
    options: dict[str, Any] = {"sequence": sequence, "context": context, "phase": phase}
    options = {name: value for name, value in options.items() if value is not None}
    _check(row, dimensions, {"batch": batch, **options}, str(path))
    if dtype is not None and dtype not in FLOATS:
        raise unknown_name("precision", dtype, FLOATS)
    if "sequence" in row.options and "phase" not in row.options:
        options.setdefault("sequence", min(128, dimensions.positions))
    module, _, function = row.build.partition(":")
    build: Callable[..., Graph] = getattr(import_module(module), function)
    try:
        graph = build(dimensions, batch=batch, dtype=dtype or own, **options)
    except InputError as error:
        raise InputError(error.what, where=str(path), allowed=error.allowed) from error
    return graph.renamed(row.name)


def _check(row: ConfigType, dimensions: Any, options: Mapping[str, Any], where: str) -> None:
    lows = {"context": 0}
    highs = {"sequence": getattr(dimensions, "positions", None)}
    for name, value in options.items():
        if name not in ("batch", *row.options):
            allowed = ", ".join(("batch", *row.options, "dtype"))
            raise InputError(f"{row.name} takes no {name}", where=where, allowed=allowed)
        if name == "phase":
            if value not in PHASES:
                raise unknown_name("phase", str(value), PHASES)
            continue
        low, high = lows.get(name, 1), highs.get(name)
        if value < low or (high is not None and value > high):
            bounds = f"{low} to {high}" if high is not None else f"{low} and more"
            raise InputError(f"{name} {value} is impossible", where=where, allowed=bounds)


def _loaded(path: Path) -> dict[str, Any]:
    def refuse(text: str) -> None:
        raise ValueError(f"{text} is no finite number")

    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError("too large for a config", where=str(path), allowed="up to 4 MiB")
        data = json.loads(path.read_bytes().decode(), parse_constant=refuse)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON: {str(error)[:200]}", where=str(path)) from error
    if not isinstance(data, dict):
        raise InputError("is not a JSON object", where=str(path))
    return data


def _of_part(data: dict[str, Any], part: str, where: str) -> dict[str, Any]:
    """Of CLIP one of its two configs, which may leave the common width to the whole."""
    if data.get("model_type") != "clip":
        if part:
            raise InputError(f"has no parts, so no '{part}'", where=where)
        return data
    inner = data.get(f"{part}_config")
    if part not in ("text", "vision") or not isinstance(inner, dict):
        raise InputError(
            "the model_type 'clip' has two parts, each a config of its own",
            where=where,
            allowed="part 'text' (text_config) or 'vision' (vision_config)",
        )
    common = {k: data[k] for k in ("projection_dim", "dtype", "torch_dtype") if k in data}
    return {**inner, **common, "model_type": f"clip_{part}_model"}


def _values(row: ConfigType, data: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Dimensions by name; those whose field is null are left to `_dimensions`."""
    known = {*row.fields, *row.ignored, *IGNORED}
    for name in data:
        if name not in known:
            error = unknown_name("field", name, known)
            understood = ", ".join(sorted(row.fields))
            raise InputError(error.what, where=where, allowed=understood, hint=error.hint)
    missing = [n for n, f in row.fields.items() if f.default is REQUIRED and n not in data]
    if missing:
        raise InputError(
            f"the field(s) {', '.join(missing)} of {row.name} are missing", where=where
        )
    found: dict[str, Any] = {}
    for name, field in row.fields.items():
        try:
            value = field.check(data[name]) if name in data else field.default
        except ValueError as error:
            shown = json.dumps(data[name])[:60]
            raise InputError(
                f"{name} {shown} is impossible", where=where, allowed=str(error)
            ) from error
        if value is not None:
            found |= dict.fromkeys(field.dimensions, value)
    return found


def _dimensions(row: ConfigType, values: Mapping[str, Any], where: str) -> Any:
    values = {**row.fixed, **values}
    values.setdefault("feed_forward", 4 * values["hidden"])
    if values.pop("embedding", values["hidden"]) != values["hidden"]:
        raise InputError("word_embed_proj_dim other than hidden_size is not built", where=where)
    try:
        return row.dimensions(**values)
    except InputError as error:
        words = error.what.split()
        names = [n for n, f in row.fields.items() if set(f.dimensions) & set(words)]
        raise InputError(error.what, where=where, hint=f"fields {', '.join(names)}") from error
