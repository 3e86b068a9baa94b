"""The image encoder of Llama 3.2 Vision, over the tiles of a picture."""

from __future__ import annotations

from dataclasses import replace

from lydite.errors import InputError
from lydite.graph import Builder, Graph, Tensor
from lydite.models.dimensions_towers import TileTower
from lydite.models.tokens import Tokens
from lydite.models.transformer import opset, stack

_MULTIPLE = 8
"""Tokens of a tile are padded to a multiple of these."""


def tile_tower(
    size: TileTower, *, batch: int, image_size: int = 0, dtype: str = "float32"
) -> Graph:
    """States of every patch, those of tapped layers beside them: [batch, tokens, widths].

    A picture goes in as [batch, tiles, channels, side, side] with the number of its layout. The
    mask that hides tiles a picture lacks is left out: all are there.

    Args:
        size: Dimensions.
        batch: Pictures at once.
        image_size: Side of a tile; only that of the position table fits.
        dtype: Precision of weights and activations.

    Raises:
        InputError: another image size.
    """
    if image_size not in (0, size.image_size):
        raise InputError(
            f"image_size {image_size} does not fit the position table",
            allowed=str(size.image_size),
        )
    g = Builder("tile-tower", dtype=dtype, opset=opset(size))
    shape = (batch, size.tiles, size.channels, size.image_size, size.image_size)
    image, layout = g.input("pixel_values", shape), g.input("aspect_ratio_ids", (batch,), "int64")
    x = _embedded(g, image, layout, size, batch)
    padded = -(-size.patches // _MULTIPLE) * _MULTIPLE
    x = g.op("Pad", x, g.constant([0] * 6 + [padded - size.patches, 0], "pads"))
    states: list[Tensor] = []
    done = 0
    blocks = size.all_blocks
    tokens = Tokens(g, batch, size.tiles * padded, causal=False)
    x = g.reshape(x, [0, -1, size.hidden])
    for end in (*(layer + 1 for layer in size.tapped), size.layers):
        part = replace(size, layers=end - done, blocks=blocks[done:end], tapped=())
        x = stack(x, part, tokens) if end > done else x
        states += [x] if len(states) < len(size.tapped) else []
        done = end
    x = g.reshape(g.layer_norm(x, eps=1e-5), [batch, size.tiles, padded, size.hidden])
    x = g.reshape(x + _of_tile(g, layout, size, batch), [0, -1, size.hidden])
    last = replace(size, layers=size.last, blocks=blocks[:1] * size.last, tapped=(), part_gate=True)
    x = stack(x, last, tokens)
    return g.build(_unpadded(g, g.concat([x, *states], 2), size, padded))


def _embedded(g: Builder, image: Tensor, layout: Tensor, size: TileTower, batch: int) -> Tensor:
    """Patches with positions and tiles: [batch, tiles, patches, hidden]."""
    count, hidden = size.patches, size.hidden
    each = g.reshape(image, [batch * size.tiles, *image.shape[2:]])
    x = g.conv(each, hidden, size.patch, stride=size.patch, bias=False, name="patches")
    x = g.transpose(g.reshape(x, [0, 0, -1]), (0, 2, 1))
    x = g.reshape(x, [batch, size.tiles, count - 1, hidden]) + _of_tile(g, layout, size, batch)
    token = g.weight((1, 1, 1, hidden), "class_token")
    shape = g.constant([batch, size.tiles, 1, hidden], "shape")
    x = g.concat([g.op("Expand", token, shape), x], 2)
    gate = g.op("Tanh", g.weight((1,), "position.gate"))
    rest = g.constant(1.0, "one", g.dtype) + g.op("Neg", gate)
    x = x + g.weight((1, 1, count, hidden), "position_embedding") * rest
    table = g.weight((size.shapes + 1, size.tiles * count * hidden), "tile_positions")
    places = g.reshape(g.op("Gather", table, layout), [batch, size.tiles, count, hidden])
    return g.layer_norm(x + places * gate, eps=1e-5)


def _of_tile(g: Builder, layout: Tensor, size: TileTower, batch: int) -> Tensor:
    """A gated embedding of every tile: [batch, tiles, 1, hidden]."""
    table = g.weight((size.shapes + 1, size.tiles * size.hidden), "tile_embedding")
    found = g.reshape(g.op("Gather", table, layout), [batch, size.tiles, 1, size.hidden])
    return found * g.op("Tanh", g.weight((1,), "tile.gate"))


def _unpadded(g: Builder, x: Tensor, size: TileTower, padded: int) -> Tensor:
    apart = g.reshape(x, [0, size.tiles, padded, x.shape[-1]])
    bounds = (g.constant([value], "bound") for value in (0, size.patches, 2))
    return g.reshape(g.op("Slice", apart, *bounds), [0, -1, x.shape[-1]])
