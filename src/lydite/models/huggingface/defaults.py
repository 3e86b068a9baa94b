"""What transformers takes where a config of a type leaves a field out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from lydite.models.huggingface.family import HIDDEN, LAYERS, VOCABULARY

_DERIVED: dict[str, dict[str, Any]] = {
    "axk1": {"first_k_dense_replace": 1},
    "axk2": {"first_k_dense_replace": 1},
    "beam": {"first_k_dense_replace": 3},
    "dots3_note_text": {"first_k_dense_replace": 1},
    "glm4_moe_lite": {"first_k_dense_replace": 1},
    "glm5_next_text": {"first_k_dense_replace": 3},
    "hy_v3": {"first_k_dense_replace": 1},
    "hy_v4": {"first_k_dense_replace": 1},
    "kimi_linear": {"first_k_dense_replace": 1},
    "laguna": {"first_k_dense_replace": 1},
    "mimo_v2_flash": {"first_k_dense_replace": 1},
    "unlimited_ocr_text": {"first_k_dense_replace": 1},
}
"""Fields of older files that are no fields of today's class, which lists every layer instead."""


MAIN = frozenset({*HIDDEN, *LAYERS, *VOCABULARY})
"""Sizes that a model's own file has to say; a part of a model of several may leave them out."""


def defaults_of(model_type: str, *, whole: bool = True) -> Mapping[str, Any]:
    """Usual values by field of a type; none for a type that transformers does not have.

    Args:
        model_type: The type.
        whole: Whether the fields are those of a whole file, which has to say its main sizes.
    """
    found = {**_table().get(model_type, {}), **_DERIVED.get(model_type, {})}
    return {k: v for k, v in found.items() if not (whole and k in MAIN)}


@cache
def _table() -> dict[str, dict[str, Any]]:
    """By type, as `benchmarks/_config_defaults.py` wrote them."""
    path = files("lydite.models.huggingface").joinpath("defaults.json")
    return json.loads(path.read_text())
