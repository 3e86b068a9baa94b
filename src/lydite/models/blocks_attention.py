"""Mixers that attend to tokens, or to states from elsewhere."""

from __future__ import annotations

from typing import Literal

from lydite.records import dataclass

QkNorm = Literal["", "each", "head", "plain", "whole"]


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Softmax attention with grouped queries.

    Attributes:
        heads: Number of query heads.
        size: Width of a head.
        kv_heads: Number of key and value heads; 0 for as many as query heads.
        value: Width of a value's head; 0 for that of a key's.
        qkv_bias: Whether the query, key and value projections have a bias.
        key_bias: Whether the key projection has one, where query and value do (not in Whisper).
        output_bias: Whether the output projection has a bias.
        packed: Whether query, key and value come out of one product.
        window: Number of tokens that a query attends to, itself included; None for all.
        rotary: Number of entries of each head that rotary positions turn; 0 for none.
        rope_theta: Base of the rotary positions.
        qk_norm: Normalisation of queries and keys: "head" for each head by itself, "each" for the
            same with weights of its own for each, "plain" without weights, "whole" over all heads,
            "" for none.
        gated: Whether a second half of the query projection gates the output (Qwen3-Next).
        gate_bias: Whether that half has a bias where the first one has.
        gate_shift: Whether one learned number a head is added to the gate (Beam).
        sinks: Whether each head has a learned score that takes part in the softmax (GPT-OSS).
        softcap: Limit of the scores by a scaled tanh; 0 for none.
        key_is_value: Whether the key projection is the value as well (Gemma 4).
        shared_from: Layer whose keys and values are used instead of own ones; None for own.
        head_gate: Whether one number a head, a product of the states, gates the output (LFM3).
        value_norm: Whether values are normalised head by head, without weights (Gemma 3n).
        output_norm: Whether the output is normalised before its projection (BitNet).
        head_norm: Whether the output is normalised head by head, without weights (Muse Spark).
        relative: Width of a head's weights of learned biases by distance (Inkling); 0 for none.
        distances: Number of distances that have a bias.
        kv_kernel: Width of causal convolutions over keys and values, which are added to them; 0 for
            none.
        adapter: Width of products of low rank that are added to query, key and value (Zamba 2); 0
            for none.
        value_bias: Whether a score is added that a product of each token's values gives (Doge);
            with `index_top`, the keys where it is greatest are attended to.
        index_heads: Heads of an indexer that selects pools of tokens (Qwen 4); 0 for none.
        index_size: Width of an indexer's head.
        index_top: Number of tokens that a query attends to at most; 0 for all.
        index_pool: Number of tokens whose keys of the indexer are one mean.
    """

    heads: int
    size: int
    kv_heads: int = 0
    value: int = 0
    qkv_bias: bool = True
    key_bias: bool = True
    output_bias: bool = True
    packed: bool = False
    window: int | None = None
    rotary: int = 0
    rope_theta: float = 1e4
    qk_norm: QkNorm = ""
    gated: bool = False
    gate_bias: bool = True
    gate_shift: bool = False
    sinks: bool = False
    softcap: float = 0.0
    key_is_value: bool = False
    shared_from: int | None = None
    head_gate: bool = False
    value_norm: bool = False
    output_norm: bool = False
    head_norm: bool = False
    relative: int = 0
    distances: int = 0
    kv_kernel: int = 0
    adapter: int = 0
    value_bias: bool = False
    index_heads: int = 0
    index_size: int = 0
    index_top: int = 0
    index_pool: int = 1

    @property
    def key_heads(self) -> int:
        """Number of key and value heads."""
        return self.kv_heads or self.heads

    @property
    def value_size(self) -> int:
        """Width of a value's head."""
        return self.value or self.size


@dataclass(frozen=True, kw_only=True)
class LatentAttention:
    """Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, section 2.1).

    Attributes:
        heads: Number of heads.
        query_rank: Width of the compressed query; 0 for a direct projection.
        kv_rank: Width of the compressed keys and values, which is what the cache holds.
        nope: Entries of a head's query and key without positions.
        rope: Entries with rotary positions; those of the key are shared by all heads.
        value: Width of a head's value.
        bias: Whether the compressing and the output projections have a bias.
        rope_theta: Base of the rotary positions.
        index_heads: Heads of the indexer that selects tokens (DeepSeek-V3.2); 0 for none.
        index_size: Width of an indexer's head.
        index_top: Number of tokens that a query attends to at most, where there is an indexer.
        head_gate: Whether one number a head, a product of the states, gates the output.
        index_shared: Whether the tokens that an earlier layer's indexer selected are taken.
        index_pool: Number of tokens whose keys of the indexer are one weighted mean, with weights
            of their own (GLM-5.3); 0 for each by itself.
        index_scaled: Whether the indexer's query is made of the normalised states, and scaled by
            position head by head (Mistral Large 4).
        scaled: Whether queries are scaled by position head by head, with learned numbers.
        gated: Whether a product of the states gates the output entry by entry (Hunyuan 4).
        query_gate: Whether query and such a gate come out of one product of the compressed query,
            before and after its norm (A.X K2).
        rope_norm: Whether the entries of the key with positions are normalised (dots3-note).
        sinks: As in `Attention`.
        window: As in `Attention`.
        shared_from: Layer whose latents are used instead of own ones; None for own.
    """

    heads: int
    query_rank: int
    kv_rank: int
    nope: int
    rope: int
    value: int
    bias: bool = False
    rope_theta: float = 1e4
    index_heads: int = 0
    index_size: int = 0
    index_top: int = 0
    head_gate: bool = False
    index_shared: bool = False
    index_pool: int = 0
    index_scaled: bool = False
    scaled: bool = False
    gated: bool = False
    query_gate: bool = False
    rope_norm: bool = False
    sinks: bool = False
    window: int | None = None
    shared_from: int | None = None


@dataclass(frozen=True, kw_only=True)
class CompressedAttention:
    """Attention to a window of tokens and to compressed earlier ones (DeepSeek-V4, section 2.3).

    One head of keys, which are the values as well, serves all queries. Every `rate` tokens become
    one more such key: their mean with learned weights, entry by entry.

    Attributes:
        heads: Number of query heads.
        size: Width of a head.
        query_rank: Width of the compressed query.
        window: Number of tokens that a query attends to as they are, itself included.
        rate: Number of tokens that are compressed to one; 0 for the window alone.
        overlapped: Whether a mean is over the tokens before its own as well, with other keys.
        groups: Number of groups of heads whose outputs are compressed by themselves.
        output_rank: Width that each is compressed to.
        rotary: Number of entries of a head with rotary positions.
        rope_theta: Base of the rotary positions.
        index_heads: Heads of the indexer that selects compressed tokens; 0 for all of them.
        index_size: Width of an indexer's head.
        index_top: Number of compressed tokens that a query attends to at most.
    """

    heads: int
    size: int
    query_rank: int
    window: int
    rate: int
    overlapped: bool
    groups: int
    output_rank: int
    rotary: int
    rope_theta: float
    index_heads: int = 0
    index_size: int = 0
    index_top: int = 0


@dataclass(frozen=True, kw_only=True)
class CrossAttention:
    """Attention to states from elsewhere, such as a picture's, whose keys and values are cached.

    Attributes:
        heads: Number of query heads.
        size: Width of a head.
        kv_heads: Number of key and value heads.
        count: Number of those states of a sample.
        width: Width of each.
        bias: Whether the products have a bias.
        normed: Whether queries and keys are normalised head by head.
        gated: Whether a learned number scales the output (Llama 3.2 Vision).
        cached: Whether keys and values are kept; if not, every step makes them anew (IDEFICS in
            transformers).
    """

    heads: int
    size: int
    kv_heads: int
    count: int
    width: int
    bias: bool = False
    normed: bool = False
    gated: bool = False
    cached: bool = True


@dataclass(frozen=True, kw_only=True)
class DifferentialAttention:
    """Two attentions of the same scores to halves of the values, subtracted (arXiv:2410.05258).

    Attributes:
        heads: Number of query heads.
        size: Width of a head.
        kv_heads: Number of key and value heads, an even one.
        bias: Whether the products have a bias.
        rope_theta: Base of the rotary positions.
    """

    heads: int
    size: int
    kv_heads: int
    bias: bool
    rope_theta: float


@dataclass(frozen=True, kw_only=True)
class ConvolvedAttention:
    """Attention whose queries and keys go through two convolutions (ZAYA, arXiv:2510.04476).

    Half of every token's values are those that the token before has made.

    Attributes:
        attention: Heads, positions and window; its query and key are normalised without weights.
        channelwise: Width of the convolution of each channel by itself.
        by_head: Width of the convolution of all channels of a head.
    """

    attention: Attention
    channelwise: int
    by_head: int


@dataclass(frozen=True, kw_only=True)
class RoutedAttention:
    """Attention whose queries and output go through matrices that a router chooses (JetMoE).

    Mixture of attention heads, arXiv:2210.05144: a token has as many groups of queries as matrices
    are chosen for it, and all groups share the keys and values.

    Attributes:
        attention: Heads of all groups together, and their keys and values, which come out of one
            product.
        count: Number of matrices to choose among.
        per_token: Number of them that a token goes through.
    """

    attention: Attention
    count: int
    per_token: int


@dataclass(frozen=True, kw_only=True)
class MergedAttention:
    """Attention to tokens and to an encoder's states at once (T5Gemma 2).

    Attributes:
        attention: Heads, positions and window of the tokens; queries and keys are normalised.
        width: Width of the encoder's states.
    """

    attention: Attention
    width: int


@dataclass(frozen=True, kw_only=True)
class ClippedAttention:
    """Attention with clipped lengths, gates, sinks and biases by distance (Inkling 2).

    Attributes:
        attention: Heads, window, and weights of the biases by distance.
        kernel: Width of the convolutions over keys and values, which are added to them.
        apart: Whether queries, keys and values are made of inputs of their own, and the
            convolutions have weights that a product of these changes token by token.
    """

    attention: Attention
    kernel: int
    apart: bool
