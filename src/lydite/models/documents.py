"""Readers of documents: T5 whose encoder reads words where they stand on a page, and the page.

UDOP, arXiv:2212.02623. A word's state is its embedding, that of the patch of the page below it and
that of the corners of its box; the patches follow behind the words.
"""

from __future__ import annotations

from typing import Any

from lydite.graph import Builder, Graph, Tensor
from lydite.graph.dtypes import dtype_number
from lydite.models.dimensions_sequences import DocumentReader, EncoderDecoder
from lydite.models.seq2seq import attention_of, encoder_decoder, layered
from lydite.models.tokens import Tokens, relative_bias

_SCALE = 100
"""A page is so many units wide and high when distances of boxes are put into buckets."""


def document_reader(size: DocumentReader, **options: Any) -> Graph:
    """A reader of documents in the phases of `encoder_decoder`, whose options it takes."""

    def encode(g: Builder, _: EncoderDecoder, batch: int, sequence: int, table: Tensor) -> Tensor:
        return _encoded(g, size, batch, sequence, table)

    return encoder_decoder(size, **options, encode=encode)


def _encoded(g: Builder, size: DocumentReader, batch: int, sequence: int, table: Tensor) -> Tensor:
    tokens = Tokens(g, batch, sequence + size.patches, causal=False)
    ids = g.input("input_ids", (batch, sequence), "int64")
    boxes = g.input("bbox", (batch, sequence, 4), "float32")
    patches = _patches(g, size, batch)
    words = g.op("Gather", table, ids) + _below(g, size, boxes, patches)
    x = g.concat([words, patches], 1)
    boxes = g.concat([boxes, _grid(g, size, batch)], 1)
    x = x + _corners(g, size, boxes)
    x = layered(g, x, size, tokens, _bias(g, size, boxes, tokens.count))
    _unread(g, size)
    return x


def _patches(g: Builder, size: DocumentReader, batch: int) -> Tensor:
    """Embedded patches of the page: [batch, patches, hidden]."""
    hidden, side = size.encoder.hidden, size.image_size
    page = g.input("pixel_values", (batch, size.channels, side, side))
    x = g.conv(page, hidden, size.patch, stride=size.patch, name="patches")
    return g.transpose(g.reshape(x, [0, hidden, -1]), (0, 2, 1))


def _middle(g: Builder, boxes: Tensor, axis: int) -> Tensor:
    """Where the middle of a box is, from left to right or from top to bottom: [batch, tokens]."""
    sides = g.op("Gather", boxes, g.constant([axis, axis + 2], "sides"), axis=2)
    return g.op("ReduceMean", sides, g.constant([2], "axes"), keepdims=0)


def _below(g: Builder, size: DocumentReader, boxes: Tensor, patches: Tensor) -> Tensor:
    """The patch in which the middle of each word lies: [batch, words, hidden]."""
    side = size.image_size // size.patch

    def cell(axis: int) -> Tensor:
        place = _middle(g, boxes, axis) * g.constant(float(side), "side", "float32")
        return g.op("Cast", g.clip(g.op("Floor", place), 0, side - 1), to=dtype_number("int64"))

    found = cell(0) + cell(1) * g.constant(side, "side")
    shape = g.constant([*found.shape, int(patches.shape[-1])], "shape")
    index = g.op("Expand", g.op("Unsqueeze", found, g.constant([2], "axes")), shape)
    return g.op("GatherElements", patches, index, axis=1)


def _grid(g: Builder, size: DocumentReader, batch: int) -> Tensor:
    """Boxes of the patches: [batch, patches, 4]."""
    side = size.image_size // size.patch
    order = g.op("Range", *(g.constant(value, "bound") for value in (0, size.patches, 1)))
    column = g.op("Mod", order, g.constant(side, "side"))
    row = g.op("Div", order, g.constant(side, "side"))
    one = g.constant(1, "one")
    corners = [g.reshape(x, [-1, 1]) for x in (column, row, column + one, row + one)]
    places = g.op("Cast", g.concat(corners, 1), to=dtype_number("float32"))
    places = g.op("Div", places, g.constant(float(side), "side", "float32"))
    return g.op("Expand", places, g.constant([batch, size.patches, 4], "shape"))


def _corners(g: Builder, size: DocumentReader, boxes: Tensor) -> Tensor:
    """Embeddings of the four sides of a box, added: [batch, tokens, hidden]."""
    last = g.constant(float(size.cells - 1), "last", "float32")
    inside = g.clip(boxes, 0, 1)
    cells = g.op("Cast", inside * last, to=dtype_number("int64"))
    across, down = (
        g.weight((size.cells, size.encoder.hidden), f"{name}_embedding") for name in ("x", "y")
    )
    sides = g.ops("Split", cells, axis=2, num_outputs=4, outputs=4)
    found = [
        g.op("Gather", table, g.reshape(side, [0, -1]))
        for side, table in zip(sides, (across, down, across, down), strict=True)
    ]
    first, *rest = found
    for other in rest:
        first = first + other
    return first


def _bias(g: Builder, size: DocumentReader, boxes: Tensor, count: int) -> Tensor:
    """Biases by distance in the text, and on the page in both directions: [batch, heads, n, n]."""
    heads = attention_of(size.encoder).heads
    total = relative_bias(g, size.buckets, heads, count, count)
    for axis in (0, 1):
        place = _middle(g, boxes, axis)
        rows, columns = (g.op("Unsqueeze", place, g.constant([side], "axes")) for side in (2, 1))
        apart = g.op("Abs", g.op("Sub", columns, rows))
        apart = apart * g.constant(float(_SCALE), "scale", "float32")
        bucket = g.op("Cast", g.clip(apart, 0, size.buckets - 1), to=dtype_number("int64"))
        table = g.weight((size.buckets, heads), "page_positions")
        total = total + g.transpose(g.op("Gather", table, bucket), (0, 3, 1, 2))
    return total


def _unread(g: Builder, size: DocumentReader) -> None:
    """The decoder has patches and places on a page too, which it never reads."""
    hidden, heads = size.decoder.hidden, attention_of(size.decoder).heads
    g.weight((hidden, size.channels, size.patch, size.patch), "unread.patches")
    g.weight((hidden,), "unread.patches_bias")
    for _ in range(2):
        g.weight((size.buckets, heads), "unread.page_positions")
