"""Vision transformers and CLIP's two encoders."""

from __future__ import annotations

from lydite.errors import InputError
from lydite.graph import Builder, Graph, Tensor
from lydite.models.dimensions import TextEncoder, VisionEncoder
from lydite.models.transformer import OPSET, norm, stack


def vision_transformer(
    size: VisionEncoder, *, batch: int, image_size: int = 0, dtype: str = "float32"
) -> Graph:
    """Scores of classes, or CLIP's projected image [batch, classes].

    Args:
        size: dimensions.
        batch: images at once.
        image_size: height and width; only that of the position table fits.
        dtype: of weights and activations.

    Raises:
        InputError: another image size.
    """
    if image_size not in (0, size.image_size):
        raise InputError(
            f"image_size {image_size} does not fit the position table",
            allowed=str(size.image_size),
        )
    g = Builder("vit", dtype=dtype, opset=OPSET)
    image = g.input("image", (batch, size.channels, size.image_size, size.image_size))
    x = _patches(g, image, size)
    x = norm(g, x, size) if size.clip else x
    x, _ = stack(g, x, size, causal=False)
    first = g.constant(0, "first")
    if size.clip:  # all tokens but the first go unread
        x = norm(g, g.op("Gather", x, first, axis=1), size)
        return g.build(g.linear(x, size.classes, bias=False, name="projection"))
    x = g.op("Gather", norm(g, x, size), first, axis=1)
    return g.build(g.linear(x, size.classes, name="classifier"))


def _patches(g: Builder, image: Tensor, size: VisionEncoder) -> Tensor:
    """A class token, then the patches row by row, with positions: [batch, tokens, hidden]."""
    batch, hidden = image.shape[0], size.hidden
    x = g.conv(image, hidden, size.patch, stride=size.patch, bias=not size.clip, name="patches")
    x = g.transpose(g.reshape(x, [0, 0, -1]), (0, 2, 1))
    shape = g.constant([batch, 1, hidden], "shape")
    token = g.op("Expand", g.weight((1, 1, hidden), "class_token"), shape)
    x = g.concat([token, x], 1)
    return x + g.weight((1, x.shape[1], hidden), "position_embedding")


def text_encoder(size: TextEncoder, *, batch: int, sequence: int, dtype: str = "float32") -> Graph:
    """CLIP's text encoder: the projected end token [batch, projection], or all states.

    The end token has the highest id of the vocabulary, by which it is found.
    """
    g = Builder("clip-text", dtype=dtype, opset=OPSET)
    ids = g.input("input_ids", (batch, sequence), "int64")
    words = g.op("Gather", g.weight((size.vocabulary, size.hidden), "token_embedding"), ids)
    bounds = (g.constant(value, "bound") for value in (0, sequence, 1))
    table = g.weight((size.positions, size.hidden), "position_embedding")
    x = words + g.op("Gather", table, g.op("Range", *bounds))
    x, _ = stack(g, x, size, causal=True)
    x = norm(g, x, size)
    if not size.projection:
        return g.build(x)
    end = g.op("ArgMax", ids, axis=1, keepdims=1)
    x = g.op("GatherND", x, end, batch_dims=1)
    return g.build(g.linear(x, size.projection, bias=False, name="projection"))
