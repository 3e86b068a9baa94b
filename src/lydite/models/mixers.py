"""What mixes tokens in a layer, by the class of its description.

A mixer takes states [batch, tokens, hidden] and gives as many back. In a phase with a cache it
takes what earlier tokens left and gives it back with the new tokens; see
`lydite.models.tokens.Tokens`.
"""

from __future__ import annotations

from collections.abc import Callable

from lydite.graph import Tensor
from lydite.models import recurrences, states
from lydite.models.attention import attention
from lydite.models.blocks import (
    Attention,
    ChannelMix,
    CompressedAttention,
    ConvolvedAttention,
    CrossAttention,
    DifferentialAttention,
    GatedDelta,
    LatentAttention,
    LightningAttention,
    Mamba,
    Mamba2,
    MatrixMemory,
    MergedAttention,
    Mixer,
    RecurrentUnit,
    RoutedAttention,
    ShortConvolution,
    TimeMix,
)
from lydite.models.compressed import compressed
from lydite.models.convolved import convolved_attention
from lydite.models.cross import cross, differential
from lydite.models.dimensions import Stack
from lydite.models.latent import latent
from lydite.models.merged import merged
from lydite.models.routed_attention import routed_attention
from lydite.models.tokens import Tokens

_BUILDERS: dict[type, Callable[..., Tensor]] = {
    Attention: attention,
    CompressedAttention: compressed,
    ConvolvedAttention: convolved_attention,
    CrossAttention: cross,
    DifferentialAttention: differential,
    LatentAttention: latent,
    LightningAttention: states.lightning,
    MergedAttention: merged,
    RoutedAttention: routed_attention,
    Mamba: states.mamba,
    Mamba2: states.mamba2,
    GatedDelta: states.gated_delta,
    ShortConvolution: states.short_convolution,
    RecurrentUnit: recurrences.recurrent_unit,
    TimeMix: recurrences.time_mix,
    ChannelMix: recurrences.channel_mix,
    MatrixMemory: recurrences.matrix_memory,
}


def mix(x: Tensor, mixer: Mixer, size: Stack, tokens: Tokens) -> Tensor:
    """States [batch, tokens, hidden] through a mixer."""
    return _BUILDERS[type(mixer)](x, mixer, size, tokens)
