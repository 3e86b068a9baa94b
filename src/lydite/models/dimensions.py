"""Dimensions of the transformer families: what tells one member from another.

Nothing here builds a graph, so that the table of models and configuration files are read without
importing onnx.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Literal

from lydite.errors import InputError

Activation = Literal["gelu", "gelu_tanh", "quick_gelu", "relu", "silu"]
PHASES = ("forward", "prefill", "decode")
"""What a language model can be asked for; see `lydite.models.decoder`."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Transformer layers, one after another.

    Attributes:
        layers, hidden, heads: their number, the width of a token, heads of the queries.
        feed_forward: inner width of the dense part (of one expert, where there are experts).
        kv_heads: heads of keys and values; None for as many as of the queries.
        head_size: width of a head; None for `hidden / heads`.
        norm, eps: "layer" normalises mean and variance, "rms" the root mean square alone.
        activation, gated: of the dense part; a gated one multiplies with a second product.
        qkv_bias, output_bias, dense_bias: whether projections carry a bias.
        packed: query, key and value come out of one product.
        experts, experts_per_token: dense parts of a layer, and how many a token goes through; 0
            for one that all tokens share.
        windowed: tokens that a query looks back at; None for all.

    Raises:
        InputError: the heads do not divide the width, or each other.
    """

    layers: int
    hidden: int
    heads: int
    feed_forward: int
    kv_heads: int | None = None
    head_size: int | None = None
    norm: Literal["layer", "rms"] = "layer"
    eps: float = 1e-5
    activation: Activation = "gelu"
    gated: bool = False
    qkv_bias: bool = True
    output_bias: bool = True
    dense_bias: bool = True
    packed: bool = False
    experts: int = 0
    experts_per_token: int = 0
    windowed: int | None = None

    def __post_init__(self) -> None:
        if self.head_size is None and self.hidden % self.heads:
            raise InputError(f"hidden {self.hidden} is not divisible by heads {self.heads}")
        if self.heads % self.key_heads:
            raise InputError(f"heads {self.heads} is not divisible by kv_heads {self.kv_heads}")
        if self.experts_per_token > self.experts:
            raise InputError(
                f"experts_per_token {self.experts_per_token} is more than experts {self.experts}"
            )

    @property
    def key_heads(self) -> int:
        """Heads of keys and values."""
        return self.kv_heads or self.heads

    @property
    def size(self) -> int:
        """Width of a head."""
        return self.head_size or self.hidden // self.heads


@dataclass(frozen=True, kw_only=True)
class Decoder(Stack):
    """A causal language model.

    Attributes:
        vocabulary: tokens.
        positions: the longest sequence.
        rope_theta: base of rotary positions; None for learned ones.
        position_offset: rows of the learned table before the first position.
        tied: the token embedding is the last product's weight as well.
    """

    vocabulary: int
    positions: int
    rope_theta: float | None = None
    position_offset: int = 0
    tied: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rope_theta is not None and self.size % 2:
            raise InputError(f"head_size {self.size} is odd, so that no pairs can be turned")


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """A BERT encoder: layers that normalise after they add.

    Attributes:
        layers, hidden, heads, feed_forward: as in `Stack`.
        vocabulary, positions, token_types: rows of the three embeddings that are added.
        task_types: rows of a fourth one (ERNIE); 0 for none.
        eps, activation: as in `Stack`.
        head: "pooler" gives all states and a summary of the first, "answer" start and end scores.
    """

    layers: int
    hidden: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    token_types: int = 2
    task_types: int = 0
    eps: float = 1e-12
    activation: Activation = "gelu"
    head: Literal["pooler", "answer"] = "pooler"

    def __post_init__(self) -> None:
        if self.hidden % self.heads:
            raise InputError(f"hidden {self.hidden} is not divisible by heads {self.heads}")


@dataclass(frozen=True, kw_only=True)
class VisionEncoder(Stack):
    """A vision transformer over patches and a class token.

    Attributes:
        patch: side of a patch in pixels.
        image_size: side of the image that the position table is made for, in pixels.
        channels: of the image.
        classes: outputs of the classifier, or of CLIP's projection.
        clip: CLIP's form: no bias on the patches, a norm before the layers, none on the last.
    """

    patch: int
    image_size: int = 224
    channels: int = 3
    classes: int
    clip: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size % self.patch:
            raise InputError(f"image_size {self.image_size} is not divisible by patch {self.patch}")


@dataclass(frozen=True, kw_only=True)
class TextEncoder(Stack):
    """CLIP's causal text encoder.

    Attributes:
        vocabulary, positions: rows of the two embeddings.
        projection: width of the projected last token; 0 gives all states instead.
    """

    vocabulary: int
    positions: int
    projection: int = 0


def lazily(function: str, dimensions: object) -> Callable[..., Any]:
    """A model's `build` that imports "module:function" when it is called."""
    return partial(_call, function, dimensions)


def _call(path: str, dimensions: object, **options: Any) -> Any:
    module, _, function = path.partition(":")
    return getattr(import_module(module), function)(dimensions, **options)
