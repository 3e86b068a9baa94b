"""Attention in blocks of queries by keys, so that scores stay on the chip.

A block takes some queries past some keys: scores, softmax, weighted sum. Sums of a block of queries
stay on the chip until all keys are past, rescaled on the way, so keys and values are loaded once
for each block of queries and scores never leave the chip.

Source: Dao et al., "FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness"
(NeurIPS 2022), algorithm 1, with the queries as the outer loop.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import cache
from typing import Protocol, TypeAlias

import numpy as np

from lydite.chip.invocations import Invocation
from lydite.chip.mapped import MappedLayer, loaded_by_size, moved_bytes
from lydite.chip.memory import ELEMENT_BYTES, element_bytes
from lydite.chip.pipeline import Stages, pipelined_s, unit_counts
from lydite.chip.plan import ARRAY, LayerCost
from lydite.chip.product import Product, ProductCost
from lydite.errors import InputError
from lydite.graph import Graph, Op
from lydite.hardware.chip import Chip
from lydite.records import dataclass

Rooms: TypeAlias = tuple[float, float, float]
"""Bytes that a left operand, a right operand and sums may have on the chip at a time."""

_SUM_BYTES = 4

BlockCost: TypeAlias = Callable[[int, int], tuple[dict[str, float], float, float]]
"""Of so many queries and keys: cycles by part, bytes of scratchpads and of processing elements."""


class OnChip(Protocol):
    """What attention needs of an array."""

    def product_cost(self, product: Product, chip: Chip) -> ProductCost:
        """What a product takes whose operands are on the chip already."""
        ...

    def kernel(self, chip: Chip) -> str:
        """Name of what the array runs."""
        ...


@dataclass(frozen=True)
class Heads:
    """Attention of all heads and samples.

    Attributes:
        rows: Queries of a head of keys, those of all heads that share it.
        keys: Keys.
        key_size: Length of a key.
        value_size: Length of a value.
        pairs: Heads of keys times samples.
        products: Products of a block; the first makes the scores.
    """

    rows: int
    keys: int
    key_size: int
    value_size: int
    pairs: int
    products: int

    def of_block(self, rows: int, keys: int, together: int) -> list[Product]:
        """Products of a block, of so many pairs one after the other."""
        scores = Product(rows, self.key_size, keys, together)
        return [scores, *[Product(rows, keys, self.value_size, together)] * (self.products - 1)]


@dataclass(frozen=True)
class Block:
    """Queries by keys, pairs taken together in an invocation, and accelerators."""

    rows: int
    keys: int
    together: int
    units: int


@dataclass(frozen=True)
class Traffic:
    """Bytes of attention between memory and chip, everything once.

    Attributes:
        queries: Bytes loaded for each block of queries, and what else is loaded once.
        keys: Bytes of all keys and values, loaded once for each block of queries.
        out: Bytes stored.
    """

    queries: float
    keys: float
    out: float


def map_attention(
    op: Op,
    graph: Graph,
    chip: Chip,
    products: Sequence[Product],
    array: OnChip,
    made: tuple[bool, float],
    rooms: Rooms,
) -> MappedLayer:
    """Attention in the blocks that promise to take least time.

    Args:
        op: the operator.
        graph: its graph.
        chip: where.
        products: scores, weighted sum, and of gradients the others.
        array: what runs the products of a block.
        made: whether queries and keys were made by a product inside the operator, and how many
            bytes of them did not stay on the chip.
        rooms: bytes that operands may have.

    Raises:
        InputError: not even one query and one key fit.
    """
    first, last = products[0], products[1]
    m, keys, key_size, value_size, pairs = (
        int(size) for size in (first.m, first.n, first.k, last.n, first.count)
    )
    heads = Heads(m, keys, key_size, value_size, pairs, len(products))
    traffic = _traffic(op, graph, chip, heads, made)

    @cache
    def cost_of(rows: int, keys: int) -> tuple[dict[str, float], float, float]:
        """Cycles by part, bytes of scratchpads and of processing elements, of one pair's block."""
        split: dict[str, float] = {}
        costs = [array.product_cost(each, chip) for each in heads.of_block(rows, keys, 1)]
        for cost in costs:
            for name, cycles in cost.cycles.items():
                split[name] = split.get(name, 0.0) + cycles
            split["weight load"] = split.get("weight load", 0.0) - cost.hidden_cycles
        split["vector"] = rows * keys * chip.vector.special_cycles / chip.vector.lanes
        return split, sum(c.sram_bytes for c in costs), sum(c.local_bytes for c in costs)

    block = _best(chip, heads, traffic, rooms, f"{graph.name}: {op.name}", cost_of)
    row_parts, key_parts = _parts(heads.rows, block.rows), _parts(heads.keys, block.keys)
    groups = _parts(heads.pairs, block.together)
    query_bytes = traffic.queries / (heads.pairs * heads.rows)
    key_bytes = traffic.keys / (heads.pairs * heads.keys)
    out_bytes = traffic.out / (heads.pairs * heads.rows)
    rows: list[Invocation] = []
    cycles: dict[str, float] = {}
    sram = local = 0.0
    blocks = list(itertools.product(groups, row_parts))
    for start in range(0, len(blocks), block.units):  # all accelerators begin at once
        turn = enumerate(blocks[start : start + block.units])
        for (at, of_keys), (unit, (pairs, of_rows)) in itertools.product(
            enumerate(key_parts), turn
        ):
            split, in_sram, in_elements = cost_of(of_rows, of_keys)
            for name, each in split.items():
                cycles[name] = cycles.get(name, 0.0) + pairs * each
            sram, local = sram + pairs * in_sram, local + pairs * in_elements
            load = of_keys * key_bytes + (of_rows * query_bytes if at == 0 else 0.0)
            store = of_rows * out_bytes if at == len(key_parts) - 1 else 0.0
            rows.append(Invocation(pairs * load, pairs * sum(split.values()), pairs * store, unit))
    loaded = sum(row.load_bytes for row in rows)
    stored = sum(row.store_bytes for row in rows)
    macs = sum(float(np.sum(product.macs)) for product in products)
    cost = LayerCost(
        op.name,
        op.op_type,
        array.kernel(chip),
        ARRAY,
        len(rows),
        cycles,
        macs,
        loaded,
        stored,
        sram + loaded + stored,
        float(heads.rows) * heads.keys * heads.pairs,
        local_bytes=local,
    )
    return MappedLayer(cost, rows, loaded_by_size(op, graph, chip, loaded))


def _traffic(op: Op, graph: Graph, chip: Chip, heads: Heads, made: tuple[bool, float]) -> Traffic:
    """Queries, keys and results in memory; those made inside the operator may have stayed."""
    size = ELEMENT_BYTES[chip.dtype]
    loaded, stored = moved_bytes(op, graph, size)
    inside, spilled = made
    if inside:
        cached = [name for name in op.inputs[3:] if name and name not in graph.initializers]
        past = sum(size * (graph.type_of(name).numel or 0) for name in cached)
        return Traffic(spilled / 3, spilled * 2 / 3 + past, stored)
    types = [t for t in graph.input_types(op)[1:2] if t is not None]
    each = element_bytes(types[0], chip) if types else float(size)
    keys = each * heads.pairs * heads.keys * (heads.key_size + heads.value_size)
    queries = float(size) * heads.pairs * heads.rows * heads.key_size
    if "window" in op.attrs:
        return Traffic(queries, keys, stored)
    return Traffic(max(queries, loaded - keys), keys, stored)


def _best(
    chip: Chip, heads: Heads, traffic: Traffic, rooms: Rooms, where: str, cost_of: BlockCost
) -> Block:
    """The block that promises to take least time among those that fit."""
    size = ELEMENT_BYTES[chip.dtype]
    grid = np.meshgrid(
        _cuts(heads.rows),
        _cuts(heads.keys),
        _cuts(heads.pairs),
        np.array(unit_counts(chip)),
        indexing="ij",
    )
    rows, keys, together, units = (axis.ravel() for axis in grid)
    widest = max(heads.key_size, heads.value_size)
    fits = together * rows * (keys + widest) * size <= rooms[0]
    fits &= together * keys * (heads.key_size + heads.value_size) * size <= rooms[1]
    fits &= together * rows * (keys + widest) * _SUM_BYTES <= rooms[2]
    if not fits.any():
        raise InputError(
            f"a key and a value of {heads.key_size} and {heads.value_size} numbers do not fit",
            where=f"{where} on {chip.name}",
            allowed="scratchpads that hold two blocks of attention",
        )
    rows, keys, together, units = (each[fits] for each in (rows, keys, together, units))
    of_rows, of_keys = -(-heads.rows // rows), -(-heads.keys // keys)
    outputs = of_rows * -(-heads.pairs // together)
    count = outputs * of_keys
    whole = np.array(
        [_cycles(heads, int(a), int(b), cost_of) for a, b in zip(rows, keys, strict=True)]
    )
    stages = Stages(
        count,
        -(-outputs // np.minimum(units, outputs)) * of_keys,
        np.minimum(units, outputs),
        (traffic.queries + of_rows * traffic.keys) / count,
        heads.pairs * whole / count / chip.clock_hz,
        traffic.out / count,
        together
        * (traffic.queries * rows / heads.rows + traffic.keys * keys / heads.keys)
        / heads.pairs,
        together * traffic.out * rows / heads.rows / heads.pairs,
    )
    best = int(np.argmin(pipelined_s(chip, stages)))
    return Block(*(int(each[best]) for each in (rows, keys, together, units)))


def _cycles(heads: Heads, rows: int, keys: int, cost_of: BlockCost) -> float:
    """Cycles of one pair in such blocks, the last ones as short as they are."""
    whole = 0.0
    for of_rows, rows_times in _sizes(heads.rows, rows):
        for of_keys, keys_times in _sizes(heads.keys, keys):
            whole += rows_times * keys_times * sum(cost_of(of_rows, of_keys)[0].values())
    return whole


def _sizes(length: int, part: int) -> list[tuple[int, int]]:
    """Sizes of parts and how many there are of each."""
    count = -(-length // part)
    return [(part, count - 1), (length - part * (count - 1), 1)][count == 1 :]


def _parts(length: int, part: int) -> list[int]:
    return [size for size, times in _sizes(length, part) for _ in range(times)]


def _cuts(length: int) -> np.ndarray:
    """A length cut into 1, 2, 4, ... parts."""
    return np.unique([-(-length // (1 << shift)) for shift in range(length.bit_length())])
