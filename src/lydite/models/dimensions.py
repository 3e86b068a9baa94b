"""Dimensions of the transformer families: what tells one member from another.

Nothing here builds a graph, so that the table of models and configuration files are read without
importing onnx.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any, Literal

from lydite.errors import InputError
from lydite.models.blocks import Activation, Attention, Block, Dense, Experts, Mixer, Order
from lydite.records import dataclass

PHASES = ("forward", "prefill", "decode")
"""What a language model can be asked for; see `lydite.models.decoder`."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Transformer layers, one after another: all alike, or as `blocks` lists them.

    Attributes:
        layers: Number of layers.
        hidden: Width of a token.
        heads: Number of query heads.
        feed_forward: Inner width of the dense part, or of one expert.
        kv_heads: Number of key and value heads; None for as many as query heads.
        head_size: Width of a head; None for `hidden / heads`.
        norm: "layer" normalises mean and variance, "rms" the root mean square alone.
        norm_bias: Whether a "layer" norm has a bias beside its scale.
        norm_scale: Whether norms have weights at all.
        eps: Epsilon of the norms.
        order: Place of the norms: "before" a part, "after" it (OLMo 2), "around" it (Gemma 2),
            "last" behind the addition (BERT), or before both parts side by side ("parallel").
        parallel_norms: Whether each of two parallel parts has its own norm.
        activation: Function of the dense part.
        gated: Whether a second product multiplies the activated one.
        qkv_bias: Whether the query, key and value projections have a bias.
        output_bias: Whether the output projection of attention has one.
        dense_bias: Whether the products of the dense part have one.
        packed: Whether query, key and value come out of one product.
        experts: Number of experts of a layer; 0 for one dense part.
        experts_per_token: Number of experts that a token goes through.
        windowed: Number of tokens that a query attends to; None for all.
        rope_theta: Base of rotary positions; None for none.
        norm_gate: Width of the product of low rank by which norms before attention and experts are
            gated (A.X K2); 0 for none.
        plain_after: Whether the norm after what mixes tokens has no weights (Muse Spark).
        residual_gates: Whether learned shares of each entry weight a part's output and its input.
        part_gate: Whether a learned number scales each part's output (Llama 3.2 Vision's pictures).
        residual_scales: What learned numbers of each entry weight where a part's output is added
            to its input: the "input" (Doge), or "both", which are shifted as well (ZAYA).
        kernel: Width of a causal convolution over the output of each part, which is added to it
            (Inkling); 0 for none.
        blocks: Layers that differ, in order; empty where all are alike as said above.

    Raises:
        InputError: the heads do not divide the width or each other, or there are not as many
            blocks as layers.
    """

    layers: int
    hidden: int
    heads: int
    feed_forward: int
    kv_heads: int | None = None
    head_size: int | None = None
    norm: Literal["layer", "rms"] = "layer"
    norm_bias: bool = True
    norm_scale: bool = True
    eps: float = 1e-5
    order: Order = "before"
    parallel_norms: bool = False
    activation: Activation = "gelu"
    gated: bool = False
    qkv_bias: bool = True
    output_bias: bool = True
    dense_bias: bool = True
    packed: bool = False
    experts: int = 0
    experts_per_token: int = 0
    windowed: int | None = None
    rope_theta: float | None = None
    norm_gate: int = 0
    plain_after: bool = False
    residual_gates: bool = False
    part_gate: bool = False
    residual_scales: Literal["", "input", "both"] = ""
    kernel: int = 0
    blocks: tuple[Block, ...] = ()

    def __post_init__(self) -> None:
        if self.head_size is None and self.hidden % self.heads and not self.blocks:
            raise InputError(f"hidden {self.hidden} is not divisible by heads {self.heads}")
        if self.heads % self.key_heads:
            raise InputError(f"heads {self.heads} is not divisible by kv_heads {self.kv_heads}")
        if self.experts_per_token > self.experts:
            raise InputError(
                f"experts_per_token {self.experts_per_token} is more than experts {self.experts}"
            )
        if self.blocks and len(self.blocks) != self.layers:
            raise InputError(f"{len(self.blocks)} blocks are not {self.layers} layers")

    @property
    def key_heads(self) -> int:
        """Number of key and value heads."""
        return self.kv_heads or self.heads

    @property
    def size(self) -> int:
        """Width of a head."""
        return self.head_size or self.hidden // self.heads

    @property
    def all_blocks(self) -> tuple[Block, ...]:
        """Every layer, in order."""
        return self.blocks or (Block(mixers=(self._attention(),), feed=self._feed()),) * self.layers

    @property
    def attended(self) -> int | None:
        """Number of tokens that every layer attends to at most; None for all."""
        windows = [m.window for b in self.all_blocks for m in b.mixers if isinstance(m, Attention)]
        return None if None in windows or not windows else max(w for w in windows if w is not None)

    def _attention(self) -> Attention:
        return Attention(
            heads=self.heads,
            size=self.size,
            kv_heads=self.key_heads,
            qkv_bias=self.qkv_bias,
            output_bias=self.output_bias,
            packed=self.packed,
            window=self.windowed,
            rotary=self.size if self.rope_theta is not None else 0,
            rope_theta=self.rope_theta or 1e4,
        )

    def _feed(self) -> Dense | Experts:
        if self.experts:
            return Experts(
                count=self.experts, per_token=self.experts_per_token, inner=self.feed_forward
            )
        return Dense(
            inner=self.feed_forward,
            activation=self.activation,
            gated=self.gated,
            bias=self.dense_bias,
        )


@dataclass(frozen=True, kw_only=True)
class Decoder(Stack):
    """A causal language model.

    Attributes:
        vocabulary: Number of tokens.
        positions: Length of the longest sequence.
        learned: Whether there is a table of learned positions.
        position_offset: Rows of that table before the first position.
        embedding: Width of the token embedding; 0 for that of the layers. Another one is projected
            there, and back before the last product (OPT-350M).
        embedding_norm: Whether the embedding is normalised (BLOOM).
        plain_embedding_norm: Whether that norm has no weights.
        segments: Rows of a table that tells text from pictures, whose first one is added to every
            token (Kosmos-2.5); 0 for none.
        embedding_scale: Whether every entry of it is shifted and scaled (ZAYA).
        last_norm: Whether the last layer's states are normalised.
        tied: Whether the token embedding is the weight of the last product as well.
        head: "scores" of the next token, "classes" of the last one, or "" for all states.
        head_bias: Whether the last product has a bias.
        classes: Number of classes where the head is "classes".
        per_layer: Width of the input that each layer gets of its own (Gemma 4); 0 for none.
        per_layer_vocabulary: Rows of the table of those inputs.
        updates: Number of states of a token, of which a layer computes one and predicts the others
            (AltUp in Gemma 3n); 0 for one state.
        laurel: Width of the learned augmented residual beside attention (Gemma 3n); 0 for none.
        streams: Number of states of a token that each part reads a mean of and adds to
            (hyper-connections); 0 for one state.
        streams_mixed: Whether a part mixes them as well.
        streams_rank: Width of the product of low rank by which each entry of each state is gated
            before the mean, in place of one number a state (Qwen 4); 0 for none.
        streams_head: Whether the last norm's input is a learned mean of them, not the plain one.
        cycles: Numbers of rounds of a slow stack of layers, and of a fast one in each of them; both
            have as many layers, and a round has the weights of the one before (HRM-Text).
        kept_every: Number of layers after which a token's state is kept; later parts read a mean of
            those kept and their own (Inkling 2). 0 where parts read their own alone.
        extra_rows: Rows of the token embedding beyond the vocabulary (Molmo 2).
        transform: Function of one more product, then normalised, before the last one (ModernBERT);
            "" for none.
        transform_bias: Whether that product has a bias.
        marked: Whether one token has an embedding of its own beside the table (T5Gemma 2's end of a
            picture).
        prompt: Number of learned tokens before the text, to which all attend (CPM-Ant).
        buckets: Rows of a table of biases by distance, which all layers add to their scores; tokens
            attend to later ones as well then (CPM-Ant). 0 for none.
    """

    vocabulary: int
    positions: int
    learned: bool | None = None
    position_offset: int = 0
    embedding: int = 0
    embedding_norm: bool = False
    plain_embedding_norm: bool = False
    segments: int = 0
    embedding_scale: bool = False
    last_norm: bool = True
    tied: bool = True
    head: Literal["scores", "classes", ""] = "scores"
    head_bias: bool = False
    classes: int = 0
    per_layer: int = 0
    per_layer_vocabulary: int = 0
    updates: int = 0
    laurel: int = 0
    streams: int = 0
    streams_mixed: bool = True
    streams_rank: int = 0
    streams_head: bool = True
    cycles: tuple[int, int] | None = None
    kept_every: int = 0
    extra_rows: int = 0
    transform: Activation | Literal[""] = ""
    transform_bias: bool = False
    marked: bool = False
    prompt: int = 0
    buckets: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rope_theta is not None and self.size % 2 and not self.blocks:
            raise InputError(f"head_size {self.size} is odd, so that no pairs can be turned")

    @property
    def has_positions(self) -> bool:
        """Whether there is a table of learned positions."""
        return self.rope_theta is None if self.learned is None else self.learned


def with_repeated_heads(size: Decoder, ranks: int) -> Decoder:
    """The model in which each of some ranks has a key and value head of its own.

    Layers with fewer heads than ranks repeat them, if the ranks are a multiple of them (vLLM's
    `QKVParallelLinear`, SGLang and TensorRT-LLM alike); other layers stay as they are.
    """

    def repeated(mixer: Mixer) -> Mixer:
        if not isinstance(mixer, Attention) or mixer.heads % ranks or ranks % mixer.key_heads:
            return mixer
        return replace(mixer, kv_heads=ranks)

    few = [
        m.key_heads < ranks for b in size.all_blocks for m in b.mixers if isinstance(m, Attention)
    ]
    if not any(few):
        return size
    blocks = [replace(b, mixers=tuple(map(repeated, b.mixers))) for b in size.all_blocks]
    return replace(size, blocks=tuple(blocks))


def lazily(function: str, dimensions: object) -> Callable[..., Any]:
    """A model's `build` that imports "module:function" when it is called."""
    return partial(_call, function, dimensions)


def _call(path: str, dimensions: object, **options: Any) -> Any:
    module, _, function = path.partition(":")
    return getattr(import_module(module), function)(dimensions, **options)
