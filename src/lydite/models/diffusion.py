"""Stable Diffusion 1.5: the U-Net that removes noise, and the decoder from latents to pixels.

As diffusers builds them (UNet2DConditionModel, AutoencoderKL). Latents are an eighth of the image
in height and width. Group normalisation is written as PyTorch exports it, over instances: ONNX's
own operator has no shape inference, and ONNX Runtime no kernel for it.
"""

from __future__ import annotations

import math

from lydite.graph import Builder, Graph, Tensor
from lydite.graph.dtypes import dtype_number
from lydite.models.parts import divisible, resized
from lydite.models.transformer import ATTENTION_OPSET

_LATENT, _SCALE, _GROUPS, _HEADS, _TEXT = 4, 8, 32, 8, 768
_WIDTHS = (320, 640, 1280, 1280)
_DECODER_WIDTHS = (512, 512, 256, 128)


def unet(batch: int, image_size: int, sequence: int, dtype: str) -> Graph:
    """Noise in noisy latents at a time step, under a text: [batch, 4, size / 8, size / 8].

    Args:
        batch: samples at once; guidance without a second network takes two for an image.
        image_size: height and width of the image, in pixels.
        sequence: tokens of the text.
        dtype: of weights and activations.

    Raises:
        InputError: the image does not halve six times.
    """
    side = divisible(image_size, 64, "sd15-unet") // _SCALE
    g = Builder("sd15-unet", dtype=dtype, opset=ATTENTION_OPSET)
    x = g.input("latents", (batch, _LATENT, side, side))
    time = _time(g, g.input("timestep", (batch,)))
    text = g.input("text", (batch, sequence, _TEXT))
    x = g.conv(x, _WIDTHS[0], 3, pad=1)
    skips = [x]
    for level, width in enumerate(_WIDTHS):
        for _ in range(2):
            x = _residual(g, x, width, time=time)
            x = _transformer(g, x, text) if level < 3 else x
            skips.append(x)
        if level < 3:
            x = g.conv(x, width, 3, stride=2, pad=1)
            skips.append(x)
    x = _residual(g, x, x.shape[1], time=time)
    x = _residual(g, _transformer(g, x, text), x.shape[1], time=time)
    for level, width in reversed(list(enumerate(_WIDTHS))):
        for _ in range(3):
            x = _residual(g, g.concat([x, skips.pop()], 1), width, time=time)
            x = _transformer(g, x, text) if level < 3 else x
        x = _doubled(g, x) if level else x
    x = g.conv(_swish(g, _group_norm(g, x)), _LATENT, 3, pad=1)
    return g.build(x)


def vae_decoder(batch: int, image_size: int, dtype: str) -> Graph:
    """An image [batch, 3, size, size] from latents [batch, 4, size / 8, size / 8].

    Raises:
        InputError: the image does not halve three times.
    """
    side = divisible(image_size, _SCALE, "sd15-vae-decoder") // _SCALE
    g = Builder("sd15-vae-decoder", dtype=dtype, opset=ATTENTION_OPSET)
    x = g.conv(g.input("latents", (batch, _LATENT, side, side)), _LATENT, 1)
    x = g.conv(x, _DECODER_WIDTHS[0], 3, pad=1)
    x = _residual(g, x, x.shape[1], eps=1e-6)
    x = _residual(g, _spatial_attention(g, x), x.shape[1], eps=1e-6)
    for level, width in enumerate(_DECODER_WIDTHS):
        for _ in range(3):
            x = _residual(g, x, width, eps=1e-6)
        x = _doubled(g, x) if level < 3 else x
    return g.build(g.conv(_swish(g, _group_norm(g, x, 1e-6)), 3, 3, pad=1))


def _time(g: Builder, step: Tensor) -> Tensor:
    """Sines of the time step (DDPM, arXiv:2006.11239), through two layers: [batch, 1280]."""
    half, width = _WIDTHS[0] // 2, 4 * _WIDTHS[0]
    float32 = dtype_number("float32")
    indices = g.op("Range", *(g.constant(value, "bound") for value in (0, half, 1)))
    slope = g.constant(-math.log(10000) / half, "slope", "float32")
    rates = g.op("Exp", g.op("Cast", indices, to=float32) * slope)
    angles = g.reshape(g.op("Cast", step, to=float32), [-1, 1]) * rates
    x = g.concat([g.op("Cos", angles), g.op("Sin", angles)], -1)
    x = g.linear(g.op("Cast", x, to=dtype_number(g.dtype)), width, name="time")
    return g.linear(_swish(g, x), width, name="time")


def _swish(g: Builder, x: Tensor) -> Tensor:
    return g.op("Swish", x)


def _group_norm(g: Builder, x: Tensor, eps: float = 1e-5) -> Tensor:
    """Channels in 32 groups, each normalised as one instance, then scaled and shifted."""
    channels = x.shape[1]
    units = (
        g.op("Cast", g.constant([value] * _GROUPS, "unit"), to=dtype_number(g.dtype))
        for value in (1, 0)
    )
    y = g.op("InstanceNormalization", g.reshape(x, [0, _GROUPS, -1]), *units, epsilon=eps)
    y = g.reshape(y, list(x.shape)) * g.weight((channels, 1, 1), "gn.scale")
    return y + g.weight((channels, 1, 1), "gn.bias")


def _doubled(g: Builder, x: Tensor) -> Tensor:
    """Twice the height and width, then a convolution."""
    return g.conv(resized(g, x, 2), x.shape[1], 3, pad=1)


def _residual(
    g: Builder, x: Tensor, channels: int, *, time: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Two convolutions, each after a norm; the time step shifts the channels between them."""
    y = g.conv(_swish(g, _group_norm(g, x, eps)), channels, 3, pad=1)
    if time is not None:
        shift = g.linear(_swish(g, time), channels, name="time_shift")
        y = y + g.reshape(shift, [0, 0, 1, 1])
    y = g.conv(_swish(g, _group_norm(g, y, eps)), channels, 3, pad=1)
    return y + (x if x.shape[1] == channels else g.conv(x, channels, 1, name="shortcut"))


def _transformer(g: Builder, x: Tensor, text: Tensor) -> Tensor:
    """One layer over the positions: attention among themselves, to the text, a gated dense part."""
    batch, channels, height, width = x.shape
    y = g.conv(_group_norm(g, x, 1e-6), channels, 1, name="proj_in")
    y = g.transpose(g.reshape(y, [0, 0, -1]), (0, 2, 1))
    z = g.layer_norm(y, eps=1e-5)
    y = y + _attention(g, z, z)
    y = y + _attention(g, g.layer_norm(y, eps=1e-5), text)
    up = g.linear(g.layer_norm(y, eps=1e-5), 8 * channels, name="up")
    value, gate = g.ops("Split", up, g.constant([4 * channels] * 2, "widths"), axis=-1, outputs=2)
    y = y + g.linear(value * g.op("Gelu", gate), channels, name="down")
    y = g.reshape(g.transpose(y, (0, 2, 1)), [batch, channels, height, width])
    return x + g.conv(y, channels, 1, name="proj_out")


def _attention(
    g: Builder, x: Tensor, source: Tensor, heads: int = _HEADS, *, bias: bool = False
) -> Tensor:
    """Queries of x, keys and values of `source`, each [batch, tokens, channels]."""
    channels = x.shape[2]
    query = g.linear(x, channels, bias=bias, name="query")
    key, value = (g.linear(source, channels, bias=bias, name=part) for part in ("key", "value"))
    mixed = g.op("Attention", query, key, value, q_num_heads=heads, kv_num_heads=heads)
    return g.linear(mixed, channels, name="attention_output")


def _spatial_attention(g: Builder, x: Tensor) -> Tensor:
    """One head over all positions."""
    y = g.transpose(g.reshape(_group_norm(g, x, 1e-6), [0, 0, -1]), (0, 2, 1))
    y = g.transpose(_attention(g, y, y, 1, bias=True), (0, 2, 1))
    return x + g.reshape(y, list(x.shape))
