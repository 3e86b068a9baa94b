"""Mixers that keep a state of constant size instead of all tokens."""

from __future__ import annotations

from typing import Literal, TypeAlias

from lydite.records import dataclass

Activation = Literal["gelu", "gelu_tanh", "quick_gelu", "relu", "relu2", "silu", "xielu"]


@dataclass(frozen=True, kw_only=True)
class Mamba:
    """Selective state space with a state for each channel (Mamba, arXiv:2312.00752).

    Attributes:
        inner: Number of channels.
        state: Entries of a channel's state.
        kernel: Width of the causal convolution.
        rank: Width of the compressed time step.
        bias: Whether the input and output projections have a bias.
        conv_bias: Whether the convolution has one.
        norms: Whether time step, input and output matrices are normalised with weights (Jamba).
        heads: Number of groups of channels with time steps and matrices of their own (Zamba).
    """

    inner: int
    state: int
    kernel: int
    rank: int
    bias: bool = False
    conv_bias: bool = True
    norms: bool = False
    heads: int = 1


@dataclass(frozen=True, kw_only=True)
class Mamba2:
    """State space duality: heads with one decay each (Mamba-2, arXiv:2405.21060).

    Attributes:
        heads: Number of heads.
        size: Width of a head.
        state: Entries of the state for each of them.
        groups: Number of groups of heads that share input and output matrices.
        kernel: Width of the causal convolution.
        bias: Whether the input and output projections have a bias.
        conv_bias: Whether the convolution has one.
        norm: Whether the gated output is normalised with weights.
    """

    heads: int
    size: int
    state: int
    groups: int
    kernel: int
    bias: bool = False
    conv_bias: bool = True
    norm: bool = True


@dataclass(frozen=True, kw_only=True)
class GatedDelta:
    """Gated delta rule: linear attention with a decaying state (arXiv:2412.06464).

    Attributes:
        key_heads: Number of heads of queries and keys.
        value_heads: Number of heads of values.
        key: Width of a query's and key's head.
        value: Width of a value's head.
        kernel: Width of the causal convolution.
        rank: Width that the gates are compressed to, which then decay every entry of a key by
            itself (Kimi Linear, arXiv:2510.26692); 0 for gates of full products.
        by_entry: Whether every entry of a key decays by itself although gates are not compressed.
    """

    key_heads: int
    value_heads: int
    key: int
    value: int
    kernel: int
    rank: int = 0
    by_entry: bool = False


@dataclass(frozen=True, kw_only=True)
class LightningAttention:
    """Linear attention whose state decays at a fixed rate, gated (MiniMax-01, arXiv:2501.08313).

    Attributes:
        heads: Number of heads.
        size: Width of a head.
    """

    heads: int
    size: int


@dataclass(frozen=True, kw_only=True)
class ShortConvolution:
    """A gated causal convolution over few tokens (LFM2).

    Attributes:
        kernel: Width of the convolution.
        bias: Whether convolution and projections have a bias.
    """

    kernel: int
    bias: bool = False


@dataclass(frozen=True, kw_only=True)
class RecurrentUnit:
    """Real-gated linear recurrent unit: every channel decays by itself (Griffin, arXiv:2402.19427).

    Attributes:
        width: Number of channels.
        heads: Number of groups of channels whose gates are products of the group alone.
        kernel: Width of the causal convolution.
        activation: Function of the branch that the recurrence is multiplied with.
    """

    width: int
    heads: int
    kernel: int
    activation: Activation = "gelu_tanh"


@dataclass(frozen=True, kw_only=True)
class TimeMix:
    """RWKV's weighted mean over earlier tokens (RWKV-4, arXiv:2305.13048, section 3.1).

    Attributes:
        width: Number of channels.
    """

    width: int


@dataclass(frozen=True, kw_only=True)
class ChannelMix:
    """RWKV's feed-forward part, which also sees the token before (arXiv:2305.13048, section 3.1).

    Attributes:
        inner: Inner width.
    """

    inner: int


@dataclass(frozen=True, kw_only=True)
class MatrixMemory:
    """xLSTM's matrix memory with gates of each head (mLSTM, arXiv:2405.04517, section 2.3).

    Attributes:
        heads: Number of heads.
        key: Width of a query's and key's head.
        value: Width of a value's head.
        bias: Whether the products other than those of the gates have a bias.
    """

    heads: int
    key: int
    value: int
    bias: bool = False


StateMixer: TypeAlias = (
    ChannelMix
    | GatedDelta
    | LightningAttention
    | Mamba
    | Mamba2
    | MatrixMemory
    | RecurrentUnit
    | ShortConvolution
    | TimeMix
)
