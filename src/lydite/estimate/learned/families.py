"""The table of families: what describes an operator of each, and its base time and features."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from lydite.estimate.learned.attention import (
    DECODE_NAMES,
    PREFILL_NAMES,
    decode_attention,
    prefill_attention,
)
from lydite.estimate.learned.experts import EXPERT_NAMES, experts
from lydite.estimate.learned.physics import STREAM_NAMES, Problem, streams
from lydite.estimate.learned.products import (
    FLOAT32_NAMES,
    TENSOR_NAMES,
    float32_products,
    tensor_products,
)
from lydite.estimate.learned.sheet import Sheet
from lydite.records import dataclass


@dataclass(frozen=True)
class FamilyKind:
    """A family of operators.

    Attributes:
        sizes: Names of the numbers that describe an operator.
        features: Names of its features.
        dtype: Data type of the arithmetic of the rows that it was learned from.
        make: Base times and features from sizes, one array each, and a device's sheet.
    """

    sizes: tuple[str, ...]
    features: tuple[str, ...]
    dtype: str
    make: Callable[..., Problem]

    def problem(self, sizes: np.ndarray, sheet: Sheet) -> Problem:
        """Base times and features of operators with `sizes` [operators, numbers]."""
        return self.make(*np.ascontiguousarray(sizes.T, np.float64), sheet)


_PRODUCT = ("count", "m", "n", "k")
FAMILIES: Mapping[str, FamilyKind] = {
    "product32": FamilyKind(_PRODUCT, FLOAT32_NAMES, "float32", float32_products),
    "product16": FamilyKind(_PRODUCT, TENSOR_NAMES, "bfloat16", tensor_products),
    "product8": FamilyKind(_PRODUCT, TENSOR_NAMES, "float8e4m3fn", tensor_products),
    "experts": FamilyKind(
        ("tokens", "hidden", "inner", "chosen", "experts", "gated"),
        EXPERT_NAMES,
        "bfloat16",
        experts,
    ),
    "attention_prefill": FamilyKind(
        ("batch", "heads", "groups", "queries", "keys", "size", "window", "causal"),
        PREFILL_NAMES,
        "bfloat16",
        prefill_attention,
    ),
    "attention_decode": FamilyKind(
        ("batch", "heads", "groups", "keys", "size", "window"),
        DECODE_NAMES,
        "bfloat16",
        decode_attention,
    ),
    "stream": FamilyKind(
        ("kind", "moved", "width", "rows", "operands"), STREAM_NAMES, "float32", streams
    ),
}
