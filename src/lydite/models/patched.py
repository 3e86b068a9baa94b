"""Image encoders of language models that see: patches, layers, and a merger into their tokens."""

from __future__ import annotations

from dataclasses import replace

from lydite.graph import Builder, Graph, Tensor
from lydite.models.dimensions_towers import PatchTower
from lydite.models.tokens import Tokens, normed
from lydite.models.transformer import opset, stack


def patch_tower(
    size: PatchTower, *, batch: int, image_size: int = 0, dtype: str = "float32"
) -> Graph:
    """Tokens of the language model [batch, patches / merge^2, output], and those of tapped layers.

    Patches go in as [batch, patches, channels x frames x patch x patch], in the order in which
    the merger joins them.

    Args:
        size: Dimensions.
        batch: Images at once.
        image_size: Height and width in pixels; 0 for that of the dimensions.
        dtype: Precision of weights and activations.
    """
    size = replace(size, image_size=image_size or size.image_size)
    count = (size.image_size // size.patch) ** 2
    g = Builder("image-tower", dtype=dtype, opset=opset(size))
    width = size.channels * size.frames * size.patch**2
    patches = g.input("pixel_values", (batch, count, width))
    x = g.linear(patches, size.hidden, bias=size.patch_bias, name="patches")
    if size.table:
        rows = g.input("position_ids", (batch, count), "int64")
        x = x + g.op("Gather", g.weight((size.table, size.hidden), "position_embedding"), rows)
    outputs: list[Tensor] = []
    done = 0
    blocks = size.all_blocks
    for end in (*(layer + 1 for layer in size.tapped), size.layers):
        part = replace(size, layers=end - done, blocks=blocks[done:end])
        x = stack(x, part, Tokens(g, batch, count, causal=False)) if end > done else x
        if end - 1 in size.tapped:
            outputs.append(_merged(g, x, size, first=False))
        done = end
    return g.build(_merged(g, x, size, first=True), *outputs)


def _merged(g: Builder, x: Tensor, size: PatchTower, *, first: bool) -> Tensor:
    """A square of patches as one token; normalised by patch, or as a whole behind tapped layers."""
    wide = size.hidden * size.merge**2
    x = normed(g, x, size) if first else x
    x = g.reshape(x, [0, -1, wide])
    x = x if first else normed(g, x, size)
    inner = g.op("Gelu", g.linear(x, wide, name="merge"))
    return g.linear(inner, size.output, name="merge_output")
