"""The parts of a model of several: its language model, what sees and what hears."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from lydite.errors import InputError
from lydite.models.huggingface.types import TEXT_OF, TYPES

_PARTS = {
    "text": ("text_config", "llm_config", "language_config", "text_model_config"),
    "vision": ("vision_config", "vision_encoder_config", "vit_config"),
    "audio": ("audio_config",),
}
_HALVES = {"text": ("decoder",), "vision": ("encoder",), "audio": ()}
"""The same where a decoder attends to what an encoder made of a picture."""
_OF_TYPE = {
    "t5gemma2": {"text": ("decoder",), "vision": (), "audio": ()},
    "vision-encoder-decoder": _HALVES,
}
_DECODERS = {"bert": "bert_decoder"}
"""Types whose decoder is built by a row of its own."""
_SHARED = ("tie_word_embeddings", "dtype", "torch_dtype", "projection_dim", "quantization_config")
_CARRIED = {name: ("vision_config",) for name in ("blip", "mllama")}
"""Fields of the whole that its language model reads as well, by type."""
_THINKERS = {
    "qwen2_5_omni": "qwen2_5_omni_thinker",
    "qwen3_omni_moe": "qwen3_omni_moe_thinker",
}
"""Types whose field `thinker_config` is the model that answers in text, and its type."""

_TIES: dict[str, str] = dict(
    line.split()
    for line in files("lydite.models.huggingface").joinpath("ties.txt").read_text().splitlines()
)
"""How a type decides whether the embedding is the last weight as well: "tied" unless the config
of the whole denies it, as the "whole" says, or as "either" that or the language model's says."""


def of_part(data: dict[str, Any], part: str, where: str) -> tuple[dict[str, Any], list[str]]:
    """The fields of one part of a model of several, with those that the whole says for all.

    Args:
        data: Fields of the whole.
        part: As in `lydite.models.huggingface.read_config`.
        where: File, for messages.

    Returns:
        The part's fields, and what is to be said of the choice.

    Raises:
        InputError: the model has no such part.
    """
    kind = str(data.get("model_type"))
    thinker = data.get("thinker_config")
    if kind in _THINKERS and isinstance(thinker, dict):
        common = {k: data[k] for k in _SHARED if data.get(k) is not None}
        return of_part({**common, **thinker, "model_type": _THINKERS[kind]}, part, where)
    fields_of = _OF_TYPE.get(kind, _PARTS)
    known = {name: _inner(data, fields) for name, fields in fields_of.items()}
    present = [name for name, inner in known.items() if inner is not None]
    if part and part not in present and not (part == "text" and kind in TEXT_OF):
        allowed = ", ".join(present) or "none; the model is one"
        raise InputError(f"has no part '{part}'", where=where, allowed=allowed)
    if not part and kind in TYPES:
        alone = present and "phase" in TYPES[kind].options
        return data, ["the language model alone"] if alone else []
    if not part and known["text"] is None and kind not in TEXT_OF:
        return data, []
    notes = []
    if not part:
        part = "text"
        others = [name for name in present if name != "text"]
        also = f"; its other parts: --part {' or '.join(others)}" if others else ""
        notes = [f"the language model alone{also}"]
    inner = known[part]
    if inner is None:
        inner = {k: v for k, v in data.items() if not k.endswith("_config")}
    elif part == "text":
        tied, said = _tied(kind, data, inner)
        inner = inner if tied is None else {**inner, "tie_word_embeddings": tied}
        notes += said
        carried = {k: data[k] for k in _CARRIED.get(kind, ()) if isinstance(data.get(k), dict)}
        inner = {**carried, **inner}
    if kind in _OF_TYPE and part == "text":
        own = str(inner.get("model_type"))
        own = _DECODERS.get(own, own)
        inner = {**inner, "architectures": ["DecoderForCausalLM"], "model_type": own}
    common = {k: data[k] for k in _SHARED if data.get(k) is not None}
    return {**common, **inner, "model_type": _part_type(kind, part, inner)}, notes


def _tied(
    kind: str, data: Mapping[str, Any], inner: Mapping[str, Any]
) -> tuple[bool | None, list[str]]:
    """Whether the embedding is the last weight as well, as transformers decides for the whole.

    None leaves it to the language model's own fields.
    """
    whole, own = (x.get("tie_word_embeddings") for x in (data, inner))
    if not all(value is None or isinstance(value, bool) for value in (whole, own)):
        return None, []
    rule = _TIES.get(kind)
    if rule is None:
        return None, []
    if rule != "tied":
        return bool(whole) or (rule == "either" and bool(own)), []
    if whole is None and not own:
        said = "the embedding is the last weight as well: transformers' default of this type"
        return True, [said]
    return whole is None or whole, []


def _inner(data: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, Any] | None:
    return next((data[name] for name in fields if isinstance(data.get(name), dict)), None)


def _part_type(kind: str, part: str, inner: Mapping[str, Any]) -> str:
    own = str(inner.get("model_type"))
    if part == "text" and (own in TYPES or kind in TEXT_OF):
        return own if own in TYPES else TEXT_OF[kind]
    named = f"{kind}_{part}_model" if f"{kind}_{part}_model" in TYPES else f"{kind}_{part}"
    return own if own in TYPES and own != kind else named
