"""Attention among blocks of tokens: BigBird (arXiv:2007.14062), as transformers computes it.

The first and the last block attend to all tokens. Every other one attends to itself, its two
neighbours, the first, the last and some blocks at random.
"""

from __future__ import annotations

from lydite.graph import Builder, Tensor
from lydite.records import dataclass


def full_below(block: int, random: int) -> int:
    """Longest sequence of which every token attends to all others, as blocks would not pay."""
    return (5 + 2 * random) * block


def padded(g: Builder, x: Tensor, block: int) -> Tensor:
    """Token ids [batch, tokens] with zeros behind them, up to whole blocks."""
    missing = -int(x.shape[1]) % block
    return g.op("Pad", x, g.constant([0, 0, 0, missing], "pads")) if missing else x


@dataclass(frozen=True)
class _Keys:
    """Keys and values [batch, heads, blocks, tokens, size], and what is added to their scores.

    The last is [batch, 1, blocks, 1, tokens].
    """

    g: Builder
    key: Tensor
    value: Tensor
    penalty: Tensor

    @property
    def parts(self) -> tuple[Tensor, ...]:
        return self.key, self.value, self.penalty

    def blocks(self, start: int, stop: int) -> _Keys:
        """Those of some blocks."""
        return _Keys(self.g, *(_sliced(self.g, x, start, stop) for x in self.parts))

    def drawn(self, count: int) -> _Keys:
        """A block for each of some queries' blocks, gathered as those at random are."""
        g, first = self.g, [0] * count
        return _Keys(
            g, *(g.op("Gather", x, g.constant(first, "drawn"), axis=2) for x in self.parts)
        )

    def whole(self) -> _Keys:
        """All blocks as one."""
        g, (_, _, count, tokens, size) = self.g, self.key.shape
        key, value = (g.reshape(x, [0, 0, 1, count * tokens, size]) for x in self.parts[:2])
        return _Keys(g, key, value, g.reshape(self.penalty, [0, 1, 1, 1, count * tokens]))


def block_sparse(
    g: Builder,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    penalty: Tensor,
    block: int,
    random: int,
) -> Tensor:
    """Queries, keys and values [batch, heads, tokens, size], of six whole blocks at least.

    Args:
        g: The builder.
        query: Queries.
        key: Keys.
        value: Values.
        penalty: What is added to the scores of a key [batch, 1, 1, tokens].
        block: Tokens of a block.
        random: Number of random blocks. Without training transformers takes the first block for
            all of them, and so does this.

    Returns:
        The mixed values [batch, heads, tokens, size].
    """
    _, _, tokens, size = query.shape
    count = int(tokens) // block
    queries, keys, values = (g.reshape(x, [0, 0, count, block, size]) for x in (query, key, value))
    known = _Keys(g, keys, values, g.reshape(penalty, [0, 1, count, 1, block]))

    last, near, middle = count - 1, count - 2, count - 4
    ends, drawn = [known.blocks(0, 1), known.blocks(last, count)], [known.blocks(0, 1)] * random

    def edge(*indices: int) -> _Keys:
        return _joined([*(known.blocks(i, i + 1) for i in indices), *drawn])

    neighbours = _joined([known.blocks(i, i + middle) for i in (1, 2, 3)])
    at_random = [_joined([known.drawn(middle)] * random)] if random else []
    parts = [
        _mixed(_sliced(g, queries, 0, 1), known.whole()),
        _mixed(_sliced(g, queries, 1, 2), edge(0, 1, 2, last)),
        _mixed(_sliced(g, queries, 2, near), ends[0], neighbours, *at_random, ends[1]),
        _mixed(_sliced(g, queries, near, last), edge(0, count - 3, near, last)),
        _mixed(_sliced(g, queries, last, count), known.whole()),
    ]
    return g.reshape(g.concat(parts, 2), [0, 0, int(tokens), size])


def _mixed(query: Tensor, *groups: _Keys) -> Tensor:
    """One softmax over groups of keys, whose values are mixed group by group."""
    g = groups[0].g
    scale = g.constant(int(query.shape[-1]) ** 0.5, "scale", g.dtype)
    scores = g.concat(
        [
            g.op("Div", g.op("MatMul", query, g.transpose(x.key, (0, 1, 2, 4, 3))), scale)
            + x.penalty
            for x in groups
        ],
        4,
    )
    shares = g.softmax(scores)
    if len(groups) == 1:
        return g.op("MatMul", shares, groups[0].value)
    widths = g.constant([int(x.key.shape[3]) for x in groups], "widths")
    apart = g.ops("Split", shares, widths, axis=-1, outputs=len(groups))
    first, *rest = (g.op("MatMul", s, x.value) for s, x in zip(apart, groups, strict=True))
    for other in rest:
        first = first + other
    return first


def _joined(blocks: list[_Keys]) -> _Keys:
    """Keys behind keys, block by block."""
    g = blocks[0].g
    if len(blocks) == 1:
        return blocks[0]
    keys, values, penalties = zip(*(x.parts for x in blocks), strict=True)
    return _Keys(g, g.concat(keys, 3), g.concat(values, 3), g.concat(penalties, 4))


def _sliced(g: Builder, x: Tensor, start: int, stop: int) -> Tensor:
    return g.op("Slice", x, *(g.constant([v], "bound") for v in (start, stop, 2)))
