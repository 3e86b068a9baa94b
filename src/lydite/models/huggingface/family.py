"""Causal language models from their configs: what a family's members have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from lydite.errors import InputError
from lydite.models.blocks import Attention, Block, Dense, Experts, Mixer, Order, QkNorm
from lydite.models.dimensions import Decoder
from lydite.models.huggingface.config import REQUIRED, Bias, Config
from lydite.records import dataclass

HIDDEN = ("hidden_size", "n_embd", "d_model", "dim", "model_dim", "embed_dim")
LAYERS = (
    "num_hidden_layers",
    "n_layer",
    "n_layers",
    "num_layers",
    "num_transformer_layers",
    "layers",
)
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads")
KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_kv_heads", "n_head_kv")
INNER = ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size", "d_ff")
POSITIONS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "model_max_length",
    "max_sequence_length",
    "n_ctx",
    "max_context_length",
)
VOCABULARY = ("vocab_size", "padded_vocab_size")
EPSILON = (
    "rms_norm_eps",
    "layer_norm_epsilon",
    "layer_norm_eps",
    "layernorm_epsilon",
    "norm_eps",
    "norm_epsilon",
    "eps",
)


ATTENTION_TYPES = (
    "full_attention",
    "sliding_attention",
    "chunked_attention",
    "sliding",
    "attention",
    "hybrid",
)
"""Types of layers with softmax attention, over all tokens or a window."""


@dataclass(frozen=True)
class Family:
    """What the models of one `model_type` share, and transformers' defaults of their fields.

    Attributes:
        kv: Number of key and value heads where no field says it; 0 for as many as query heads.
        head: Width of a head where no field says it; 0 for `hidden / heads`.
        qkv, out, dense: Biases of the query, key and value, output and dense products.
        norm, norm_bias, norm_scale, order, parallel_norms: As in `lydite.models.dimensions.Stack`.
        eps: Epsilon of the norms.
        activation: Function of the dense part.
        gated: Whether a second product multiplies the activated one.
        inner: Inner width as multiple of the hidden one where no field says it; 0 to require it.
        theta, partial: Base of rotary positions and share of a head that they turn.
        rotary: Whether positions are rotary.
        learned: Whether positions are a learned table.
        position_offset: Rows of that table before the first position.
        tied: Whether the embedding is the last weight where no field says it.
        positions: Longest sequence where no field says it.
        vocabulary: Number of tokens where no field says it.
        qk_norm: Normalisation of queries and keys, or a field and the normalisation it switches on.
        packed: Whether query, key and value come out of one product.
        window: Tokens that a layer attends to, from the config, the layer and its type.
        types: Type of every layer where no field lists them.
        mixers: What mixes the tokens of a layer, in place of attention.
        feed: Feed-forward part of a layer, in place of a dense one.
        change: Changes the finished description.
        head_bias: Whether the last product has a bias.
        embedding_norm: Whether the embedding is normalised.
        uneven_heads: Whether the heads need not divide the hidden width, which is rounded down.
    """

    kv: int = 0
    head: int = 0
    qkv: Bias = False
    out: Bias = False
    dense: Bias = False
    norm: Literal["layer", "rms"] = "rms"
    norm_bias: bool = True
    norm_scale: bool = True
    order: Order = "before"
    parallel_norms: bool = False
    eps: float = 1e-6
    activation: str = "silu"
    gated: bool = True
    inner: int = 0
    theta: float = 1e4
    partial: float = 1.0
    rotary: bool = True
    learned: bool = False
    position_offset: int = 0
    tied: bool = False
    positions: int = 2048
    vocabulary: int = 0
    qk_norm: QkNorm | tuple[str, bool, QkNorm] = ""
    packed: bool = False
    window: Callable[[Config, str], int | None] | None = None
    types: Callable[[Config, int], list[str]] | None = None
    mixers: Callable[[Config, Layer], tuple[Mixer, ...]] | None = None
    feed: Callable[[Config, Layer], Dense | Experts | None] | None = None
    change: Callable[[Config, dict[str, Any]], None] | None = None
    head_bias: bool = False
    embedding_norm: bool = False
    uneven_heads: bool = False


@dataclass(frozen=True)
class Layer:
    """One layer while its block is put together.

    Attributes:
        index: Its number.
        count: Number of layers.
        type: Its type, such as "full_attention".
        hidden: Width of a token.
        family: Family of the model.
    """

    index: int
    count: int
    type: str
    hidden: int
    family: Family


def decoder(c: Config, family: Family) -> Decoder:
    """The dimensions of a language model.

    Raises:
        InputError: a field is missing or impossible, or fields do not fit each other.
    """
    hidden = c.size(*HIDDEN)
    listed = c.raw("layer_types", "layers_block_type", "hybrid_override_pattern")
    layers = c.size(*LAYERS, default=len(listed) if isinstance(listed, list | str) else REQUIRED)
    types = c.texts("layer_types", layers) or _types(c, layers, family)
    parts = [Layer(i, layers, types[i], hidden, family) for i in range(layers)]
    blocks = tuple(_block(c, layer) for layer in parts)
    heads = c.size(*HEADS, default=1)
    values: dict[str, Any] = {
        "layers": layers,
        "hidden": hidden,
        "heads": heads,
        "head_size": _first_head(blocks),
        "feed_forward": 0,
        "norm": family.norm,
        "norm_bias": family.norm_bias,
        "norm_scale": family.norm_scale,
        "eps": c.number(*EPSILON, default=family.eps),
        "order": family.order,
        "parallel_norms": family.parallel_norms,
        "blocks": blocks,
        "vocabulary": c.size(*VOCABULARY, default=family.vocabulary or REQUIRED),
        "positions": c.size(*POSITIONS, default=family.positions),
        "learned": family.learned,
        "position_offset": family.position_offset,
        "tied": c.flag("tie_word_embeddings", "share_input_output_layers", default=family.tied),
        "head_bias": family.head_bias,
        "embedding_norm": family.embedding_norm,
    }
    if family.change is not None:
        family.change(c, values)
    try:
        return Decoder(**values)
    except InputError as error:
        raise InputError(error.what, where=c.where) from error


def _first_head(blocks: tuple[Block, ...]) -> int:
    """Width of a head of the first layer that has attention; 1 where none has."""
    mixers = (mixer for block in blocks for mixer in block.mixers)
    return next((mixer.size for mixer in mixers if isinstance(mixer, Attention)), 1)


def _types(c: Config, layers: int, family: Family) -> list[str]:
    return family.types(c, layers) if family.types is not None else ["full_attention"] * layers


def _block(c: Config, layer: Layer) -> Block:
    family = layer.family
    mixers = family.mixers(c, layer) if family.mixers else (attention(c, layer),)
    feed = family.feed(c, layer) if family.feed else dense(c, layer)
    return Block(mixers=mixers, feed=feed)


def _head(c: Config, family: Family, hidden: int, heads: int) -> int:
    size = c.size("head_dim", "kv_channels", "attention_head_dim", default=family.head)
    if not size and hidden % heads and not family.uneven_heads:
        raise InputError(
            f"hidden {hidden} is not divisible by heads {heads}",
            where=c.where,
            hint=f"fields {c.name_of(*HIDDEN)}, {c.name_of(*HEADS)}",
        )
    return size or hidden // heads


def attention(c: Config, layer: Layer, **changes: Any) -> Attention:
    """A layer's attention."""
    if layer.type not in ATTENTION_TYPES:
        raise InputError(
            f"layers of the type {layer.type[:60]!r} are not built",
            where=c.where,
            allowed=", ".join(ATTENTION_TYPES),
        )
    family, heads = layer.family, changes.get("heads") or c.size(*HEADS)
    kv = changes.get("kv_heads") or c.size(*KV_HEADS, default=family.kv or heads)
    if heads % kv:
        raise InputError(f"heads {heads} is not divisible by kv_heads {kv}", where=c.where)
    head = changes.get("size") or _head(c, family, layer.hidden, heads)
    theta, partial = c.rotary(theta=family.theta, partial=family.partial, layer_type=layer.type)
    turned = c.size("rotary_dim", default=int(head * partial) // 2 * 2) if family.rotary else 0
    norm = family.qk_norm
    if not isinstance(norm, str):
        norm = norm[2] if c.flag(norm[0], default=norm[1]) else ""
    values: dict[str, Any] = {
        "heads": heads,
        "size": head,
        "kv_heads": kv,
        "qkv_bias": c.bias(family.qkv),
        "output_bias": c.bias(family.out),
        "packed": family.packed,
        "window": family.window(c, layer.type) if family.window else None,
        "rotary": turned,
        "rope_theta": theta,
        "qk_norm": norm,
    }
    return Attention(**{**values, **changes})


def with_sinks(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Attention with a learned score of each head that takes part in the softmax."""
    return (attention(c, layer, sinks=True),)


def dense(c: Config, layer: Layer, *names: str, **changes: Any) -> Dense:
    """A layer's dense part."""
    family = layer.family
    usual = family.inner * layer.hidden if family.inner else REQUIRED
    values: dict[str, Any] = {
        "inner": changes.get("inner") or c.size(*(names or INNER), default=usual),
        "activation": activation(c, family),
        "gated": family.gated,
        "bias": c.bias(family.dense),
    }
    return Dense(**{**values, **changes})


def activation(c: Config, family: Family) -> Any:
    """The function of the dense part and of the experts."""
    return c.activation(
        "hidden_activation",
        "hidden_act",
        "activation_function",
        "mlp_hidden_act",
        "activation",
        "activation_fn_name",
        default=family.activation,
    )


def sliding(default: int | None, *, types: bool = True, switch: str = "") -> Any:
    """Attention to a window: in all layers, or in those whose type says so.

    Args:
        default: Tokens of the window where no field says it; None for no window.
        types: Whether only layers of the type "sliding_attention" have it.
        switch: Field that turns the window on; "" where it always holds.
    """

    def window(c: Config, layer_type: str) -> int | None:
        names = ("sliding_window", "attention_chunk_size", "sliding_window_size")
        size = c.size(*names, default=default, low=0) or None
        if switch and not c.flag(switch, default=False):
            return None
        if types and layer_type not in ("sliding_attention", "chunked_attention", "sliding"):
            return None
        return size

    return window


def every(period: int, *fields: str, last: str = "full_attention") -> Any:
    """Layers of a window, each `period`-th of which attends to all tokens."""

    def types(c: Config, layers: int) -> list[str]:
        size = c.size(*fields, default=period, low=0) if fields else period
        return [last if size and not (i + 1) % size else "sliding_attention" for i in range(layers)]

    return types


def first_of(period: int) -> Any:
    """Layers of a window; the first of every `period` attends to all tokens."""

    def types(c: Config, layers: int) -> list[str]:
        del c
        return ["sliding_attention" if i % period else "full_attention" for i in range(layers)]

    return types
