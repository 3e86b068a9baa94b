"""Reading a config: which part of it, which row, which sizes; and the graph it describes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lydite.errors import InputError, unknown_name
from lydite.models.dimensions import PHASES
from lydite.models.huggingface.config import Config
from lydite.models.huggingface.defaults import MAIN, defaults_of
from lydite.models.huggingface.parts import of_part
from lydite.models.huggingface.quantisation import weight_format
from lydite.models.huggingface.types import NOT_BUILT, TYPES, ConfigType
from lydite.models.info import FLOATS
from lydite.models.quantised import WeightFormat
from lydite.records import dataclass

if TYPE_CHECKING:
    from lydite.graph import Graph

MAX_BYTES = 4 << 20
"""A larger file is no config."""

LONGEST = 4096
"""Tokens that a model reads where nothing is said: as many as it takes, at most these."""


@dataclass(frozen=True)
class ReadConfig:
    """What a config says.

    Attributes:
        name: Name of the model.
        type: How it is built.
        dimensions: Dimensions of the model.
        dtype: Precision of the weights.
        notes: What the reader could not honour, in sentences.
        weights: Format of weights of few bits; None where all are in `dtype`.
    """

    name: str
    type: ConfigType
    dimensions: Any
    dtype: str
    notes: tuple[str, ...]
    weights: WeightFormat | None = None

    @property
    def options(self) -> tuple[str, ...]:
        """Options that the builder takes beside batch and dtype."""
        return self.type.options

    @property
    def positions(self) -> int | None:
        """Length of the longest sequence; None where there are no sequences."""
        return getattr(self.dimensions, "positions", None)


def read_config(path: Path | str, *, part: str = "") -> ReadConfig:
    """The model that a config describes.

    Args:
        path: A `config.json`, or the folder that holds it.
        part: Part of a model of several: "text", "vision" or "audio"; "" for all of it, or for the
            language model of one that sees or hears.

    Raises:
        InputError: no JSON object, an unknown `model_type`, a field that is missing or has an
            impossible value; names file and field.
    """
    path = Path(path)
    path = path / "config.json" if path.is_dir() else path
    loaded = _loaded(path)
    data, notes = of_part(loaded, part, str(path))
    kind = str(data.get("model_type"))
    config = Config(data, str(path), defaults_of(kind, whole=data is loaded))
    row = TYPES.get(kind)
    if kind in NOT_BUILT:
        raise InputError(f"{kind} is not built: {NOT_BUILT[kind]}", where=str(path))
    if row is None:
        error = unknown_name("model_type", kind, TYPES)
        raise InputError(error.what, where=str(path), allowed=error.allowed, hint=error.hint)
    dimensions = row.read(config)
    weights, said = weight_format(config)
    if weights is not None and "phase" not in row.options:
        said = f"its {weights.label} weights are built in full precision"
    notes += [*config.said, said] if said else config.said
    usual = sorted(MAIN & config.taken.keys())
    if usual:
        listed = ", ".join(f"{name} {config.taken[name]}" for name in usual)
        notes.append(f"sizes that the file leaves out are transformers': {listed}")
    config.skip(
        "quantization_config",
        "compression_config",
        "quantization",
        "text_config",
        "vision_config",
        "audio_config",
    )
    config.check_names()
    unread = config.unread()
    if unread:
        listed = ", ".join(unread[:20]) + (" ..." if len(unread) > 20 else "")
        notes.append(f"fields that were not understood and may matter: {listed}")
    dtype = data.get("dtype") or data.get("torch_dtype")
    return ReadConfig(
        _name(path, data),
        row,
        dimensions,
        dtype if dtype in FLOATS else "float32",
        tuple(notes),
        weights,
    )


def graph_from_config(
    path: Path | str,
    *,
    batch: int = 1,
    sequence: int | None = None,
    context: int | None = None,
    phase: str | None = None,
    dtype: str | None = None,
    part: str = "",
    kv_ranks: int | None = None,
) -> Graph:
    """Build the graph that a config describes.

    Args:
        path: A `config.json`, or the folder that holds it.
        batch: Samples at once.
        sequence: Tokens of a sample; None for as many as the model takes, at most 4,096.
        context: Tokens in a language model's cache; None in the phase "decode" for as many as the
            model takes, at most 4,096.
        phase: Phase of a language model: "forward", "prefill" or "decode".
        dtype: Precision of weights and activations; None for the config's own, or float32.
        part: As in `read_config`.
        kv_ranks: As in `lydite.models.decoder`.

    Raises:
        InputError: as `read_config`, or an option that the model does not take.
    """
    read = read_config(path, part=part)
    given: dict[str, Any] = {"sequence": sequence, "context": context, "phase": phase}
    given["kv_ranks"] = kv_ranks
    options = {name: value for name, value in given.items() if value is not None}
    _check(read, {"batch": batch, **options}, str(path))
    if dtype is not None and dtype not in FLOATS:
        raise unknown_name("precision", dtype, FLOATS)
    options = {**_lengths(read, options), **options}
    if read.weights is not None and read.type.build.endswith(":decoder"):
        options["weights"] = read.weights
    module, _, function = read.type.build.partition(":")
    build: Callable[..., Graph] = getattr(import_module(module), function)
    try:
        graph = build(read.dimensions, batch=batch, dtype=dtype or read.dtype, **options)
    except InputError as error:
        raise InputError(error.what, where=str(path), allowed=error.allowed) from error
    return graph.renamed(read.name)


def graph_from_values(
    values: Mapping[str, Any], *, batch: int, dtype: str, **options: Any
) -> Graph:
    """Build a language model from the fields of a config, its options as `decoder`'s.

    Weights of few bits are for inference; the phase "forward", which is trained, has none.
    """
    from lydite.models.decoder import decoder

    kind = str(values["model_type"])
    config = Config(dict(values), kind, defaults_of(kind))
    size = TYPES[kind].read(config)
    weights, _ = weight_format(config)
    if options.get("phase") == "forward":
        weights = None
    return decoder(size, batch=batch, dtype=dtype, weights=weights, **options)


def _lengths(read: ReadConfig, options: Mapping[str, Any]) -> dict[str, int]:
    """As many tokens as the model takes, at most `LONGEST`."""
    positions = read.positions
    if positions is None or "sequence" not in read.options:
        return {}
    if options.get("phase") == "decode":
        new = options.get("sequence", 1)
        return {"sequence": 1, "context": max(0, min(LONGEST, positions) - new)}
    return {"sequence": max(1, min(LONGEST, positions) - options.get("context", 0))}


def _check(read: ReadConfig, options: Mapping[str, Any], where: str) -> None:
    lows = {"context": 0}
    highs = {"sequence": read.positions}
    for name, value in options.items():
        if name not in ("batch", *read.options):
            allowed = ", ".join(("batch", *read.options, "dtype"))
            raise InputError(f"{read.name} takes no {name}", where=where, allowed=allowed)
        if name == "phase":
            if value not in PHASES:
                raise unknown_name("phase", str(value), PHASES)
            continue
        low, high = lows.get(name, 1), highs.get(name)
        if value < low or (high is not None and value > high):
            bounds = f"{low} to {high}" if high is not None else f"{low} and more"
            raise InputError(f"{name} {value} is impossible", where=where, allowed=bounds)


def _loaded(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError("too large for a config", where=str(path), allowed="up to 4 MiB")
        data = json.loads(path.read_bytes().decode())
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON: {str(error)[:200]}", where=str(path)) from error
    if not isinstance(data, dict):
        raise InputError("is not a JSON object", where=str(path))
    return data


def _name(path: Path, data: Mapping[str, Any]) -> str:
    """The model's name: as the config has it, or its file or folder, or else its type."""
    stated = data.get("_name_or_path")
    if isinstance(stated, str) and stated.strip("./ "):
        return stated.rstrip("/").rpartition("/")[2][:80]
    if path.name != "config.json":
        stem = path.stem.removesuffix("_config").removesuffix("-config").rpartition("--")[2]
        return stem or str(data.get("model_type"))
    folder = path.resolve().parent.name
    return folder or str(data.get("model_type"))
