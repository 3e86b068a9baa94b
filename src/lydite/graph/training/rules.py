"""All gradient rules, and what the forward pass has to save for them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points

from lydite.graph.training import (
    collective,
    elementwise,
    linear,
    losses,
    move,
    norm,
    sequence,
)
from lydite.graph.training.call import DOMAIN, GradientRule

_TABLES = (elementwise, linear, move, norm, sequence, losses, collective)

SAVING: Mapping[str, tuple[str, str, int]] = {
    "BatchNormalization": (DOMAIN, "BatchNormalizationTraining", 3),
    "GroupNormalization": (DOMAIN, "GroupNormalizationTraining", 3),
    "InstanceNormalization": (DOMAIN, "InstanceNormalizationTraining", 3),
    "LayerNormalization": ("", "LayerNormalization", 3),
    "MaxPool": ("", "MaxPool", 2),
    "LSTM": (DOMAIN, "LSTMTraining", 5),
    "GRU": (DOMAIN, "GRUTraining", 3),
    "RNN": (DOMAIN, "RNNTraining", 2),
    "Attention": (DOMAIN, "AttentionTraining", 2),
    "com.microsoft:MoE": (DOMAIN, "MoETraining", 2),
}
"""Operators whose training form has further outputs: domain, type and number of outputs.

Normalisations save mean and inverse deviation, pooling its indices, recurrent layers their gates
(and LSTM its cells), attention the logarithm of each row's sum of exponentials, experts what comes
out of their first product.
"""

NO_GRADIENT = frozenset(
    (
        "Shape",
        "Size",
        "Floor",
        "Ceil",
        "Round",
        "Sign",
        "ConstantOfShape",
        "Range",
        "EyeLike",
        "OneHot",
        "ArgMax",
        "ArgMin",
        "NonZero",
        "RandomNormal",
        "RandomUniform",
        "Constant",
    )
)
"""Operators whose derivative is zero everywhere, or that take no numbers."""


@cache
def gradient_rules() -> Mapping[str, GradientRule]:
    """All rows by qualified type; entry points "lydite.gradients" add mappings of the same form."""
    found: dict[str, GradientRule] = {}
    for table in _TABLES:
        found |= table.RULES
    for entry in entry_points(group="lydite.gradients"):
        found |= entry.load()
    return found
