"""Operators that move data: no FLOPs, and only the bytes that are really taken and put."""

from __future__ import annotations

from lydite.graph.rules.call import VIEW, Call, Cost, Rule, itemsize


def _moved(_: Call) -> Cost:
    """Everything in, everything out."""
    return Cost(0)


def _view(_: Call) -> Cost:
    return VIEW


def _taken(call: Call) -> Cost:
    """Of the first input only what comes out; of the others (indices, bounds) all."""
    written = call.all_outputs()
    return Cost(0, written + call.bytes_of(*range(1, len(call.ins))), written)


def _written_only(_: Call) -> Cost:
    """Made from nothing but a shape."""
    return Cost(0, read=0)


def _first_in(flops: float) -> Rule:
    """Reads the first input, so many FLOPs per output element; the rest only steers."""

    def rule(call: Call) -> Cost:
        return Cost(flops * call.out_count(), call.bytes_of(0))

    return rule


def _scatter(data: int, indices: int, updates: int) -> Rule:
    """The data copied, then the updates put in; with a reduction, one operation for each."""

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
    """Rows of a table of quantised blocks, dequantised: a subtraction and a multiplication each."""
    out, written = call.out_count(), call.all_outputs()
    packed = out * call.integer("bits", 4) / 8
    block = call.integer("block_size", 128) or call.out_shape()[-1]
    scales = out / block * itemsize(call.ins[2] if call.has(2) else None)
    return Cost(2 * out, packed + scales + call.bytes_of(1), written)


def _gathered_packed(call: Call) -> Cost:
    """Rows of a table of packed bytes, dequantised as blocks are."""
    out, written = call.out_count(), call.all_outputs()
    return Cost(2 * out, call.count(1) * call.shape(0)[1] + call.bytes_of(1), written)


def _handed_over(index: int) -> Rule:
    """One of the inputs is copied, into a sequence or in pieces."""

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


_MS, _NCHWC = "com.microsoft:", "com.microsoft.nchwc:"
_VIEWS = (
    "Constant",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Shape",
    "Size",
    "Optional",
    "OptionalHasElement",
    "OptionalGetElement",
    "SequenceLength",
    "SequenceEmpty",
    "SequenceErase",
    _MS + "ExpandDims",
)
_COPIES = (
    "Transpose",
    "Concat",
    "DepthToSpace",
    "SpaceToDepth",
    "ReverseSequence",
    "Compress",
    "StringConcat",
    "MemcpyFromHost",
    "MemcpyToHost",
    _NCHWC + "ReorderInput",
    _NCHWC + "ReorderOutput",
    _MS + "RemovePadding",
    _MS + "RestorePadding",
    "com.ms.internal.nhwc:DepthToSpace",
    "com.ms.internal.nhwc:SpaceToDepth",
)
_TAKEN = (
    "Gather",
    "GatherElements",
    "GatherND",
    "Slice",
    "Split",
    "Crop",
    "DynamicSlice",
    _MS + "GatherND",
    _MS + "TorchEmbedding",
)

RULES: dict[str, Rule] = {
    **dict.fromkeys(_VIEWS, _view),
    **dict.fromkeys(_COPIES, _moved),
    **dict.fromkeys(_TAKEN, _taken),
    **dict.fromkeys(
        (
            "Tile",
            "Expand",
            "Pad",
            "Trilu",
            "CenterCropPad",
            _MS + "Pad",
            _MS + "Trilu",
            _MS + "UnfoldTensor",
        ),
        _first_in(0),
    ),
    **dict.fromkeys(("ConstantOfShape", "EyeLike"), _written_only),
    **dict.fromkeys(("Range", _MS + "Range"), _ramp),
    **dict.fromkeys(("Scatter", "ScatterElements", "ScatterND"), _scatter(0, 1, 2)),
    "TensorScatter": _cache_write,
    "OneHot": _one_hot,
    "Col2Im": _col2im,
    "NonZero": lambda call: Cost(call.count(0)),
    "SequenceConstruct": _sequence_made,
    "SequenceInsert": _handed_over(1),
    "SequenceAt": _sequence_taken,
    "ConcatFromSequence": _sequence_taken,
    "SplitToSequence": _handed_over(0),
    _MS + "GatherBlockQuantized": _gathered_blocks,
    _MS + "GatherPacked": _gathered_packed,
}
