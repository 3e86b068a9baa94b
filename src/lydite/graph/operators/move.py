"""Operators that move data: no FLOPs, and only the bytes actually read and written."""

from __future__ import annotations

from lydite.graph.operators import split, split_products
from lydite.graph.operators.call import VIEW, Call, Cost, WorkRule, itemsize
from lydite.graph.operators.decompositions import common, fused
from lydite.graph.operators.gradients import move as gradients
from lydite.graph.operators.missing import UNTYPED, WHOLE, no_gradient, runtimes, usual
from lydite.graph.operators.operator import ALIAS, HOST, ZERO, Family, Operator
from lydite.graph.operators.typing.contrib import (
    channels_last,
    embedded,
    gathered_nd,
    like,
    reorder_input,
    reorder_output,
)


def _moved(_: Call) -> Cost:
    """All inputs are read and all outputs written."""
    return Cost(0)


def _view(_: Call) -> Cost:
    return VIEW


def _taken(call: Call) -> Cost:
    """Reads the selected elements of the first input, and all of the others (indices, bounds)."""
    written = call.all_outputs()
    return Cost(0, written + call.bytes_of(*range(1, len(call.ins))), written)


def _written_only(_: Call) -> Cost:
    """Output generated from a shape alone; nothing is read."""
    return Cost(0, read=0)


def _first_in(flops: float) -> WorkRule:
    """Reads only the first input, at `flops` per output element; other inputs are settings."""

    def rule(call: Call) -> Cost:
        return Cost(flops * call.out_count(), call.bytes_of(0))

    return rule


def _scatter(data: int, indices: int, updates: int) -> WorkRule:
    """Copies the data, then writes the updates; a reduction adds one operation per update."""

    def rule(call: Call) -> Cost:
        reduced = call.text("reduction", "none") != "none"
        return Cost(call.count(updates) if reduced else 0, call.bytes_of(data, indices, updates))

    return rule


def _ramp(call: Call) -> Cost:
    return Cost(2 * call.out_count(), read=0)


def _col2im(call: Call) -> Cost:
    return Cost(call.count(0), call.bytes_of(0))


def _one_hot(call: Call) -> Cost:
    return Cost(0, call.bytes_of(0, 2))


def _cache_write(call: Call) -> Cost:
    """The cache is updated in place: only the new rows move."""
    moved = call.bytes_of(1)
    return Cost(0, moved + call.bytes_of(2), moved)


def _gathered_blocks(call: Call) -> Cost:
    """Rows of a table of quantised blocks, dequantised by a subtraction and a multiplication."""
    out, written = call.out_count(), call.all_outputs()
    packed = out * call.integer("bits", 4) / 8
    block = call.integer("block_size", 128) or call.out_shape()[-1]
    scales = out / block * itemsize(call.ins[2] if call.has(2) else None)
    return Cost(2 * out, packed + scales + call.bytes_of(1), written)


def _gathered_packed(call: Call) -> Cost:
    """Rows of a table of packed bytes, dequantised like blocks."""
    out, written = call.out_count(), call.all_outputs()
    return Cost(2 * out, call.count(1) * call.shape(0)[1] + call.bytes_of(1), written)


def _handed_over(index: int) -> WorkRule:
    """Copies one of the inputs, into a sequence or in pieces."""

    def rule(call: Call) -> Cost:
        moved = call.bytes_of(index)
        return Cost(0, moved, moved)

    return rule


def _sequence_made(call: Call) -> Cost:
    moved = call.all_inputs()
    return Cost(0, moved, moved)


def _sequence_taken(call: Call) -> Cost:
    moved = call.all_outputs()
    return Cost(0, moved, moved)


_MS, _NCHWC, _NHWC = "com.microsoft:", "com.microsoft.nchwc:", "com.ms.internal.nhwc:"
_standard = Family("move", usual(split=split.same_sizes))
_runtime = Family("move", runtimes(split=split.same_sizes))
_sequences = Family(
    "sequence", usual(split=WHOLE, gradient=no_gradient("sequences of tensors are not trained"))
)

OPERATORS: tuple[Operator, ...] = (
    _standard.row("Constant", _view, gradient=ZERO, array=ALIAS, split=split.source),
    _standard.row(
        "Reshape",
        _view,
        gradient=gradients.reshape,
        split=split.reshape,
        array=ALIAS,
        aliases=True,
        folds=True,
    ),
    *(
        _standard.row(
            name,
            _view,
            gradient=gradients.reshape,
            split=split.reordered,
            array=ALIAS,
            aliases=True,
            folds=name != "Flatten",
        )
        for name in ("Flatten", "Squeeze", "Unsqueeze")
    ),
    *(
        _standard.row(name, _view, gradient=ZERO, array=ALIAS, split=split.measured)
        for name in ("Shape", "Size")
    ),
    *_sequences.rows(
        (
            "Optional",
            "OptionalHasElement",
            "OptionalGetElement",
            "SequenceLength",
            "SequenceEmpty",
            "SequenceErase",
        ),
        _view,
        array=ALIAS,
    ),
    _runtime.row(_MS + "ExpandDims", _view, array=ALIAS, decomposition=common.reshaped),
    _standard.row(
        "Transpose", _moved, gradient=gradients.transpose, split=split.transpose, folds=True
    ),
    _standard.row("Concat", _moved, gradient=gradients.concat, split=split.joined, folds=True),
    _standard.row(
        "DepthToSpace",
        _moved,
        gradient=gradients.depth_space("SpaceToDepth"),
        split=split.rows_alone,
    ),
    _standard.row(
        "SpaceToDepth",
        _moved,
        gradient=gradients.depth_space("DepthToSpace"),
        split=split.rows_alone,
    ),
    _standard.row("ReverseSequence", _moved, gradient=gradients.reverse_sequence),
    _standard.row("Compress", _moved, array=HOST),
    _standard.row("StringConcat", _moved, gradient=ZERO, array=HOST, split=split.pointwise),
    *_standard.rows(
        ("MemcpyFromHost", "MemcpyToHost"), _moved, types=like(0), decomposition=common.same
    ),
    _runtime.row(_NCHWC + "ReorderInput", _moved, types=reorder_input, split=WHOLE),
    _runtime.row(_NCHWC + "ReorderOutput", _moved, types=reorder_output, split=WHOLE),
    *_runtime.rows((_MS + "RemovePadding", _MS + "RestorePadding"), _moved, split=WHOLE),
    *(
        _runtime.row(
            _NHWC + name,
            _moved,
            types=channels_last(name, [0]),
            split=split.rows_alone,
            decomposition=fused.channels_last(name, keep=("blocksize", "mode")),
        )
        for name in ("DepthToSpace", "SpaceToDepth")
    ),
    _standard.row(
        "Gather",
        _taken,
        gradient=gradients.gather,
        split=split_products.embedding,
        precision="mixed",
        folds=True,
    ),
    _standard.row(
        "GatherElements", _taken, gradient=gradients.gather_elements, split=WHOLE, folds=True
    ),
    _standard.row("GatherND", _taken, gradient=gradients.gather_nd, split=WHOLE, folds=True),
    _standard.row("Slice", _taken, gradient=gradients.sliced, aliases=True, folds=True),
    _standard.row(
        "Split", _taken, gradient=gradients.split, split=split.separated, aliases=True, folds=True
    ),
    *_standard.rows(("Crop", "DynamicSlice"), _taken, types=UNTYPED),
    _runtime.row(
        _MS + "GatherND",
        _taken,
        types=gathered_nd,
        split=WHOLE,
        decomposition=common.renamed("GatherND"),
    ),
    _runtime.row(
        _MS + "TorchEmbedding",
        _taken,
        types=embedded,
        split=split_products.embedding,
        decomposition=common.renamed("Gather"),
    ),
    _standard.row("Tile", _first_in(0), gradient=gradients.tile, folds=True),
    _standard.row(
        "Expand",
        _first_in(0),
        gradient=gradients.expand,
        split=split.expanded,
        aliases=True,
        folds=True,
    ),
    _standard.row("Pad", _first_in(0), gradient=gradients.pad),
    _standard.row("Trilu", _first_in(0), gradient=gradients.trilu, split=split.matrices),
    _standard.row("CenterCropPad", _first_in(0)),
    _runtime.row(_MS + "Pad", _first_in(0), decomposition=common.renamed("Pad", keep=("mode",))),
    _runtime.row(
        _MS + "Trilu",
        _first_in(0),
        types=like(0),
        split=split.matrices,
        decomposition=common.renamed("Trilu", keep=("upper",)),
    ),
    _runtime.row(_MS + "UnfoldTensor", _first_in(0)),
    _standard.row("ConstantOfShape", _written_only, gradient=ZERO, folds=True, split=split.source),
    _standard.row("EyeLike", _written_only, gradient=ZERO),
    _standard.row("Range", _ramp, gradient=ZERO, folds=True, split=split.source),
    _runtime.row(_MS + "Range", _ramp, gradient=ZERO, split=split.source),
    _standard.row(
        "Scatter",
        _scatter(0, 1, 2),
        gradient=gradients.scattered("GatherElements", "ScatterElements"),
        split=WHOLE,
    ),
    *(
        _standard.row(
            f"Scatter{kind}",
            _scatter(0, 1, 2),
            gradient=gradients.scattered(f"Gather{kind}", f"Scatter{kind}"),
            split=WHOLE,
            folds=True,
        )
        for kind in ("Elements", "ND")
    ),
    _standard.row("TensorScatter", _cache_write, split=WHOLE),
    _standard.row("OneHot", _one_hot, gradient=ZERO, split=WHOLE),
    _standard.row("Col2Im", _col2im, split=split.rows_alone),
    _standard.row(
        "NonZero",
        lambda call: Cost(call.count(0)),
        gradient=ZERO,
        array=HOST,
        folds=True,
        split=WHOLE,
    ),
    _sequences.row("SequenceConstruct", _sequence_made),
    _sequences.row("SequenceInsert", _handed_over(1)),
    _sequences.row("SequenceAt", _sequence_taken),
    _sequences.row("ConcatFromSequence", _sequence_taken),
    _sequences.row("SplitToSequence", _handed_over(0)),
    _runtime.row(_MS + "GatherBlockQuantized", _gathered_blocks, split=WHOLE),
    _runtime.row(_MS + "GatherPacked", _gathered_packed, split=WHOLE),
)
