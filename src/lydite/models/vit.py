"""Vision transformers and CLIP's two encoders."""

from __future__ import annotations

from lydite.errors import InputError
from lydite.graph import Builder, Graph, Tensor
from lydite.models.dimensions_towers import DualEncoder, TextEncoder, VisionEncoder
from lydite.models.tokens import Tokens, normed
from lydite.models.transformer import activated, opset, stack


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
    g = Builder("vit", dtype=dtype, opset=opset(size))
    return g.build(*_image(g, size, batch))


def _image(g: Builder, size: VisionEncoder, batch: int) -> list[Tensor]:
    """The outputs of an image encoder, whose input it makes."""
    image = g.input("image", (batch, size.channels, size.image_size, size.image_size))
    x = _patches(g, image, size)
    x = normed(g, x, size) if size.clip else x
    x = stack(x, size, Tokens(g, batch, x.shape[1], causal=False))
    first = g.constant(0, "first")
    if size.clip:  # all tokens but the first go unread
        x = normed(g, g.op("Gather", x, first, axis=1), size)
        return [g.linear(x, size.classes, bias=False, name="projection") if size.classes else x]
    x = normed(g, x, size)
    if size.pooler == "attention":
        return [_probed(g, x, size)]
    if not size.classes and not size.pooler:
        return [x]
    token = g.op("Gather", x, first, axis=1)
    if size.pooler == "dense":
        return [x, g.op("Tanh", g.linear(token, size.hidden, name="pooler"))]
    return [g.linear(token, size.classes, name="classifier")]


def _probed(g: Builder, x: Tensor, size: VisionEncoder) -> Tensor:
    """SigLIP's pooling: a learned query attends to all patches (arXiv:2303.15343)."""
    batch, hidden = x.shape[0], size.hidden
    probe = g.weight((1, 1, hidden), "probe")
    query = g.op("Expand", probe, g.constant([batch, 1, hidden], "shape"))
    query, key, value = (
        g.linear(part, hidden, name=name)
        for part, name in ((query, "query"), (x, "key"), (x, "value"))
    )
    heads = {"q_num_heads": size.heads, "kv_num_heads": size.heads}
    y = g.linear(g.op("Attention", query, key, value, **heads), hidden, name="attention_output")
    inner = g.linear(normed(g, y, size), size.feed_forward, name="up")
    y = y + g.linear(activated(g, inner, size.activation), hidden, name="down")
    return g.op("Gather", y, g.constant(0, "first"), axis=1)


def dual_encoder(size: DualEncoder, *, batch: int, sequence: int, dtype: str = "float32") -> Graph:
    """Similarities of images and texts [images, texts], as many of one as of the other."""
    g = Builder("clip", dtype=dtype, opset=opset(size.text))
    text, image = (
        _unit(g, x) for x in (_text(g, size.text, batch, sequence), _image(g, size.image, batch)[0])
    )
    scale = g.op("Exp", g.weight((1,), "logit_scale"))
    scores = g.op("MatMul", image, g.transpose(text, (1, 0)), name="similarity") * scale
    return g.build(scores + g.weight((1,), "logit_bias") if size.bias else scores)


def _unit(g: Builder, x: Tensor) -> Tensor:
    """Vectors of length 1."""
    return g.op("Div", x, g.op("ReduceL2", x, g.constant([-1], "axes"), keepdims=1))


def _patches(g: Builder, image: Tensor, size: VisionEncoder) -> Tensor:
    """A class token, then the patches row by row, with positions: [batch, tokens, hidden]."""
    batch, hidden = image.shape[0], size.hidden
    x = g.conv(image, hidden, size.patch, stride=size.patch, bias=not size.clip, name="patches")
    x = g.transpose(g.reshape(x, [0, 0, -1]), (0, 2, 1))
    if size.class_token:
        shape = g.constant([batch, 1, hidden], "shape")
        token = g.op("Expand", g.weight((1, 1, hidden), "class_token"), shape)
        x = g.concat([token, x], 1)
    return x + g.weight((1, x.shape[1], hidden), "position_embedding")


def text_encoder(size: TextEncoder, *, batch: int, sequence: int, dtype: str = "float32") -> Graph:
    """CLIP's text encoder: the projected end token [batch, projection], or all states.

    The end token has the highest id of the vocabulary, by which it is found.
    """
    g = Builder("clip-text", dtype=dtype, opset=opset(size))
    return g.build(_text(g, size, batch, sequence))


def _text(g: Builder, size: TextEncoder, batch: int, sequence: int) -> Tensor:
    ids = g.input("input_ids", (batch, sequence), "int64")
    words = g.op("Gather", g.weight((size.vocabulary, size.hidden), "token_embedding"), ids)
    tokens = Tokens(g, batch, sequence, causal=size.causal)
    table = g.weight((size.positions, size.hidden), "position_embedding")
    x = words + g.op("Gather", table, tokens.positions)
    x = normed(g, stack(x, size, tokens), size)
    if not size.projection:
        return x
    if size.causal:
        x = g.op("GatherND", x, g.op("ArgMax", ids, axis=1, keepdims=1), batch_dims=1)
    else:
        x = g.op("Gather", x, g.constant(sequence - 1, "last"), axis=1)
    return g.linear(x, size.projection, bias=size.projection_bias, name="projection")
