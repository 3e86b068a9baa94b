"""What a transformer layer is made of: one mixer over tokens and one feed-forward part.

Nothing here builds a graph, so that configuration files are read without importing onnx. The
builders are `lydite.models.mixers` and `lydite.models.transformer`.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from lydite.models.blocks_attention import (
    Attention,
    ClippedAttention,
    CompressedAttention,
    ConvolvedAttention,
    CrossAttention,
    DifferentialAttention,
    LatentAttention,
    MergedAttention,
    QkNorm,
    RoutedAttention,
)
from lydite.models.blocks_states import (
    Activation,
    ChannelMix,
    GatedDelta,
    LightningAttention,
    Mamba,
    Mamba2,
    MatrixMemory,
    RecurrentUnit,
    ShortConvolution,
    StateMixer,
    TimeMix,
)
from lydite.records import dataclass

__all__ = [
    "Activation",
    "Attention",
    "Block",
    "ChannelMix",
    "ClippedAttention",
    "CompressedAttention",
    "ConvolvedAttention",
    "CrossAttention",
    "Dense",
    "DifferentialAttention",
    "Experts",
    "GatedDelta",
    "LatentAttention",
    "LightningAttention",
    "Mamba",
    "Mamba2",
    "MatrixMemory",
    "MergedAttention",
    "Mixer",
    "Order",
    "Phrases",
    "QkNorm",
    "RecurrentUnit",
    "RoutedAttention",
    "SharedPart",
    "ShortConvolution",
    "StateMixer",
    "TimeMix",
]

Order = Literal["before", "after", "around", "last", "none", "parallel"]


Mixer: TypeAlias = (
    Attention
    | ClippedAttention
    | ConvolvedAttention
    | CompressedAttention
    | CrossAttention
    | DifferentialAttention
    | LatentAttention
    | MergedAttention
    | RoutedAttention
    | StateMixer
)


@dataclass(frozen=True, kw_only=True)
class Dense:
    """A feed-forward part that all tokens share.

    Attributes:
        inner: Inner width.
        activation: Function between the products.
        gated: Whether a second product multiplies the activated one.
        bias: Whether the products have a bias.
        inner_norm: Whether what goes into the last product is normalised (BitNet).
        scale: Whether a learned number scales the output.
        sparsity: Share of the entries before the activation that are set to zero (Gemma 3n).
        adapter: Width of a product of low rank that is added before the activation (Zamba 2); 0 for
            none.
    """

    inner: int
    activation: Activation = "silu"
    gated: bool = True
    bias: bool = False
    inner_norm: bool = False
    scale: bool = False
    sparsity: float = 0.0
    adapter: int = 0


@dataclass(frozen=True, kw_only=True)
class Experts:
    """Feed-forward parts of which a router chooses some for each token.

    Attributes:
        count: Number of experts.
        per_token: Number of experts that a token goes through.
        inner: Inner width of an expert.
        activation: Function between the products.
        gated: Whether a second product multiplies the activated one.
        bias: Whether the experts' products have a bias.
        sum_bias: Whether the weighted sum of all has one.
        router_bias: Whether the router has one.
        correction: Whether a learned bias corrects the router's scores (counted as a parameter).
        shared: Inner width of the part that all tokens go through as well; 0 for none.
        shared_gate: Whether a learned gate weights that part.
        beside: Inner width of a dense part beside the experts, where both have norms of their own
            and the router scales of its input and of each expert (Gemma 4); 0 for none.
        sigmoid: Whether scores are sigmoids instead of a softmax.
        idle: Number of experts that do nothing, which the router chooses among as well (LongCat).
        latent: Width that tokens are projected to before the experts and back after; 0 for none.
        norm: Whether the sum of all is normalised (A.X K1).
        latent_norms: Whether tokens in that width are normalised before and after the experts.
        scale: Whether a learned number scales the router's weights (counted as a parameter).
        asleep: Inner width of as many experts, with a router of their own, that tokens of text
            never go through (those of pictures in ERNIE 4.5 VL); 0 for none.
        router: Width of the router's own layers (ZAYA); 0 for one product.
        router_joined: Whether the states of the router of the layer before are added to them.
    """

    count: int
    per_token: int
    inner: int
    activation: Activation = "silu"
    gated: bool = True
    bias: bool = False
    sum_bias: bool = False
    router_bias: bool = False
    correction: bool = False
    shared: int = 0
    shared_gate: bool = False
    beside: int = 0
    sigmoid: bool = False
    idle: int = 0
    latent: int = 0
    norm: bool = False
    latent_norms: bool = False
    scale: bool = False
    asleep: int = 0
    router: int = 0
    router_joined: bool = False


@dataclass(frozen=True, kw_only=True)
class SharedPart:
    """Attention and a dense part over states and embedding, side by side (Zamba).

    A product of the layer's own takes what comes out into the input of its mixer.

    Attributes:
        key: Layers of the same number have the same weights, but for adapters.
        attention: The attention, over twice the width.
        feed: The dense part.
    """

    key: int
    attention: Attention
    feed: Dense


@dataclass(frozen=True, kw_only=True)
class Phrases:
    """Embeddings of the last few tokens as one, found by hashes, added to every state (Qwen 4).

    Attributes:
        rows: Rows of the table, of all hashes together.
        hashes: Number of hashes of a token, for each length of a phrase.
        width: Width of all embeddings of a token together.
        kernel: Width of the convolution over what is added.
        dilation: Distance of the tokens that it reads.
    """

    rows: int
    hashes: int
    width: int
    kernel: int
    dilation: int


@dataclass(frozen=True, kw_only=True)
class Block:
    """One layer.

    Attributes:
        mixers: What mixes tokens, side by side on the same input (two in Falcon-H1); may be empty.
        feed: The feed-forward part; None for none.
        order: Place of the norms, where it is not that of the other layers (OLMo Hybrid).
        shared: What comes before the mixer and has its weights in common with other layers (Zamba).
        phrases: What comes before it and reads the last tokens themselves (Qwen 4).
    """

    mixers: tuple[Mixer, ...] = ()
    feed: Dense | Experts | None = None
    order: Order | None = None
    shared: SharedPart | None = None
    phrases: Phrases | None = None
