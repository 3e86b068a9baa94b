"""Output types of ONNX Runtime's fused, quantised and blocked operators.

Each rule is a function of the operator, its input types and `std`, which types a standard operator
on given inputs. Shapes and semantics follow ONNX Runtime's ContribOperators.md; the domain
"com.microsoft.nchwc" holds the blocked-channel convolutions, whose channel count is padded to the
block (16 floats with AVX-512, 8 otherwise; the padded weight tells which).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from lydite.graph.op import Op
from lydite.opkey import Dim, TensorType

InputTypes: TypeAlias = Sequence[TensorType | None]
Std: TypeAlias = Callable[..., list[TensorType]]
TypeRule: TypeAlias = Callable[[Op, InputTypes, Std], list[TensorType]]


def like(index: int) -> TypeRule:
    """The output has the type of the input `index`."""

    def rule(op: Op, inputs: InputTypes, _: Std) -> list[TensorType]:
        source = _need(inputs, index)
        return [source] + [source] * (len(op.outputs) - 1)

    return rule


def typed_as(op_type: str) -> TypeRule:
    """Typed as another standard operator over the same inputs.

    ONNX infers an operator that is a function by its body, which for scalars gives no shape.
    """
    return lambda op, inputs, std: std(op_type, list(inputs), op.attrs)


def standard(op_type: str, keep: Sequence[int], *, dtype_of: int | None = None) -> TypeRule:
    """Typed as a standard operator over the inputs `keep`, all with the dtype of the first."""

    def rule(op: Op, inputs: InputTypes, std: Std) -> list[TensorType]:
        first = _need(inputs, keep[0])
        taken = [
            TensorType(first.dtype if first.dtype.startswith("f") else "float32", t.shape)
            if (t := _at(inputs, i))
            else None
            for i in keep
        ]
        while taken and taken[-1] is None:
            taken.pop()
        out = std(op_type, taken, op.attrs)[0]
        wanted = first if dtype_of is None else _need(inputs, dtype_of)
        return [TensorType(wanted.dtype, out.shape)]

    return rule


def _at(inputs: InputTypes, index: int) -> TensorType | None:
    return inputs[index] if index < len(inputs) else None


def _need(inputs: InputTypes, index: int) -> TensorType:
    type_ = _at(inputs, index)
    if type_ is None:
        raise ValueError(f"input {index} is missing")
    return type_


def _dims(inputs: InputTypes, index: int) -> tuple[Dim, ...]:
    shape = _need(inputs, index).shape
    if shape is None:
        raise ValueError(f"input {index} has no known rank")
    return shape


def _int(attrs: Mapping[str, Any], name: str, default: int = 0) -> int:
    return int(attrs.get(name, default))


def fused_matmul(op: Op, inputs: InputTypes, std: Std) -> list[TensorType]:
    """MatMul of operands that may be transposed."""
    sides: list[TensorType] = []
    for index, name in enumerate(("A", "B")):
        dims = list(_dims(inputs, index))
        if _int(op.attrs, f"transBatch{name}"):
            dims = [*dims[1:-1], dims[0], dims[-1]]
        if _int(op.attrs, f"trans{name}") and len(dims) > 1:
            dims[-1], dims[-2] = dims[-2], dims[-1]
        sides.append(TensorType(_need(inputs, index).dtype, tuple(dims)))
    return std("MatMul", sides, {})


def nchwc_conv(op: Op, inputs: InputTypes, std: Std) -> list[TensorType]:
    """Conv in blocked channels."""
    data, weight = _dims(inputs, 0), _dims(inputs, 1)
    group = _int(op.attrs, "group", 1)
    channels = data[1]
    depthwise = isinstance(weight[1], int) and weight[1] == 1 and group > 1
    fitted = (weight[0], 1 if depthwise else channels, *weight[2:])
    attrs = {**op.attrs, "group": channels if depthwise else 1}
    return std("Conv", [TensorType("float32", data), TensorType("float32", fitted)], attrs)


def reorder_input(op: Op, inputs: InputTypes, _: Std) -> list[TensorType]:
    """Channels are padded to the block."""
    dims = _dims(inputs, 0)
    if _int(op.attrs, "channels_last"):
        dims = (dims[0], dims[-1], *dims[1:-1])
    return [TensorType(_need(inputs, 0).dtype, (dims[0], _padded_channels(dims[1]), *dims[2:]))]


def _padded_channels(channels: Dim) -> Dim:
    return -(-channels // NCHWC_BLOCK) * NCHWC_BLOCK if isinstance(channels, int) else channels


NCHWC_BLOCK = 16


def reorder_output(op: Op, inputs: InputTypes, _: Std) -> list[TensorType]:
    """Channels without their padding."""
    dims = _dims(inputs, 0)
    channels, last = _int(op.attrs, "channels"), _int(op.attrs, "channels_last")
    shape = (dims[0], *dims[2:], channels) if last else (dims[0], channels, *dims[2:])
    return [TensorType(_need(inputs, 0).dtype, shape)]


def nchwc_upsample(op: Op, inputs: InputTypes, _: Std) -> list[TensorType]:
    """Sizes are multiplied by integer scales."""
    dims = _dims(inputs, 0)
    scales: Any = op.attrs["scales"]
    shape = tuple(
        dim * int(scale) if isinstance(dim, int) else dim
        for dim, scale in zip(dims, scales, strict=True)
    )
    return [TensorType(_need(inputs, 0).dtype, shape)]


def skip_norm(op: Op, inputs: InputTypes, _: Std) -> list[TensorType]:
    """Output, statistics, and the sum that was normalised."""
    source = _need(inputs, 0)
    shape = source.shape or ()
    stats = TensorType("float32", (*shape[:-1], 1))
    return [source, stats, stats, source][: max(1, len(op.outputs))]


def layer_norm(op: Op, inputs: InputTypes, _: Std) -> list[TensorType]:
    """Output and statistics."""
    source = _need(inputs, 0)
    dims = _dims(inputs, 0)
    axis = _int(op.attrs, "axis", -1) % max(1, len(dims))
    stats = TensorType("float32", (*dims[:axis], *[1] * (len(dims) - axis)))
    return [source, stats, stats][: max(1, len(op.outputs))]


def embed_norm(op: Op, inputs: InputTypes, _: Std) -> list[TensorType]:
    """[batch, sequence, hidden], the mask index, and the sum."""
    batch, sequence = _dims(inputs, 0)
    word = _need(inputs, 2)
    out = TensorType(word.dtype, (batch, sequence, _dims(inputs, 2)[1]))
    return [out, TensorType("int32", (batch,)), out][: len(op.outputs)]


def attention(op: Op, inputs: InputTypes, _: Std) -> list[TensorType]:
    """[batch, sequence, hidden], and the cache of keys and values."""
    source, dims, weight = _need(inputs, 0), _dims(inputs, 0), _dims(inputs, 1)
    sizes: Any = op.attrs.get("qkv_hidden_sizes")
    hidden = sizes[2] if sizes else (weight[1] // 3 if isinstance(weight[1], int) else weight[1])
    heads = _int(op.attrs, "num_heads", 1)
    head = hidden // heads if isinstance(hidden, int) else "head"
    present = TensorType(source.dtype, (2, dims[0], heads, dims[1], head))
    return [TensorType(source.dtype, (*dims[:2], hidden)), present][: len(op.outputs)]


def multi_head_attention(_op: Op, inputs: InputTypes, _: Std) -> list[TensorType]:
    """[batch, sequence, hidden size of the values]."""
    query = _need(inputs, 0)
    dims = _dims(inputs, 0)
    if len(dims) == 5:  # packed: batch, sequence, heads, 3, head size
        hidden = dims[2] * dims[4] if isinstance(dims[2], int) and isinstance(dims[4], int) else "h"
        return [TensorType(query.dtype, (dims[0], dims[1], hidden))]
    value = _at(inputs, 2)
    hidden = dims[2]
    if value is not None and value.shape is not None:
        v = value.shape
        if len(v) == 3:
            hidden = v[2]
        elif len(v) == 4 and isinstance(v[1], int) and isinstance(v[3], int):
            hidden = v[1] * v[3]
    return [TensorType(query.dtype, (dims[0], dims[1], hidden))]


def group_query_attention(op: Op, inputs: InputTypes, _: Std) -> list[TensorType]:
    """[batch, sequence, hidden], and the caches of keys and of values."""
    query, dims = _need(inputs, 0), _dims(inputs, 0)
    heads, kv_heads = _int(op.attrs, "num_heads", 1), _int(op.attrs, "kv_num_heads", 1)
    hidden = dims[2]
    if _at(inputs, 1) is None and isinstance(hidden, int):  # packed QKV
        hidden = hidden * heads // (heads + 2 * kv_heads)
    out = TensorType(query.dtype, (*dims[:2], hidden))
    past = [t for t in (_at(inputs, 3), _at(inputs, 4)) if t is not None]
    return [out, *past][: len(op.outputs)]


def matmul_nbits(op: Op, inputs: InputTypes, _: Std) -> list[TensorType]:
    """The last axis has the size in the attribute N."""
    return [TensorType(_need(inputs, 0).dtype, (*_dims(inputs, 0)[:-1], _int(op.attrs, "N")))]


def as_float(op_type: str) -> TypeRule:
    """Typed as a standard operator on float32 operands."""

    def rule(op: Op, inputs: InputTypes, std: Std) -> list[TensorType]:
        sides = [TensorType("float32", _dims(inputs, i)) for i in (0, 1)]
        return std(op_type, sides, op.attrs)

    return rule


def qlinear_binary(_op: Op, inputs: InputTypes, std: Std) -> list[TensorType]:
    """Inputs 0 and 3 are broadcast against each other."""
    out = std("Add", [TensorType("float32", _dims(inputs, i)) for i in (0, 3)], {})[0]
    return [TensorType(_need(inputs, 0).dtype, out.shape)]


def qlinear_concat(op: Op, inputs: InputTypes, std: Std) -> list[TensorType]:
    """Joined along the axis; after scale and zero point of the result come triples of each part."""
    parts = [TensorType("float32", _dims(inputs, i)) for i in range(2, len(inputs), 3)]
    joined = std("Concat", parts, {"axis": op.attrs.get("axis", 0)})[0]
    return [TensorType(_need(inputs, 1).dtype, joined.shape)]


def quantised_lstm(op: Op, inputs: InputTypes, _: Std) -> list[TensorType]:
    """States of all steps [S, D, B, H], then the last hidden and cell state [D, B, H]."""
    steps, batch, _width = _dims(inputs, 0)
    directions = 2 if op.attrs.get("direction") in ("bidirectional", b"bidirectional") else 1
    hidden = _int(op.attrs, "hidden_size")
    dtype = _need(inputs, 0).dtype
    last = TensorType(dtype, (directions, batch, hidden))
    return [TensorType(dtype, (steps, directions, batch, hidden)), last, last][: len(op.outputs)]


def cast_like(index: int, dtype: str | None = None) -> TypeRule:
    """The sizes of the first input, with the dtype of another input or a given one."""

    def rule(_op: Op, inputs: InputTypes, _: Std) -> list[TensorType]:
        return [TensorType(dtype or _need(inputs, index).dtype, _dims(inputs, 0))]

    return rule


def quantised_gemm(op: Op, inputs: InputTypes, std: Std) -> list[TensorType]:
    """ONNX Runtime's QGemm: inputs 0 and 3 are the operands; float32 without an output scale."""
    sides = [TensorType("float32", _dims(inputs, i)) for i in (0, 3)]
    shape = std("Gemm", sides, op.attrs)[0].shape
    quantised = _at(inputs, 7) is not None
    return [TensorType(_need(inputs, 0).dtype if quantised else "float32", shape)]


def embedded(_op: Op, inputs: InputTypes, _: Std) -> list[TensorType]:
    """Rows of a table, selected by index."""
    return [TensorType(_need(inputs, 0).dtype, (*_dims(inputs, 1), *_dims(inputs, 0)[1:]))]


def channels_last(op_type: str, keep: Sequence[int]) -> TypeRule:
    """Typed as a standard operator whose first input and output have their channels last."""

    def rule(op: Op, inputs: InputTypes, std: Std) -> list[TensorType]:
        dims, source = _dims(inputs, keep[0]), _need(inputs, keep[0])
        taken = [TensorType(source.dtype, (dims[0], dims[-1], *dims[1:-1]))]
        taken += [t for i in keep[1:] if (t := _at(inputs, i)) is not None]
        out = std(op_type, taken, op.attrs)[0]
        shape = out.shape
        if shape is None:
            return [out]
        return [TensorType(source.dtype, (shape[0], *shape[2:], shape[1]))]

    return rule


def single(dtype: str) -> TypeRule:
    """A scalar of the given dtype."""

    def rule(_op: Op, _inputs: InputTypes, _: Std) -> list[TensorType]:
        return [TensorType(dtype, ())]

    return rule


def pairs_of_rows(_op: Op, inputs: InputTypes, _: Std) -> list[TensorType]:
    """One number for each pair of rows."""
    return [TensorType(_need(inputs, 0).dtype, (_dims(inputs, 0)[0], _dims(inputs, 1)[0]))]


def ordered_matmul(_op: Op, inputs: InputTypes, std: Std) -> list[TensorType]:
    """ONNX Runtime's QOrderedMatMul: the operands are inputs 0 and 2."""
    sides = [TensorType("float32", _dims(inputs, i)) for i in (0, 2)]
    return [TensorType(_need(inputs, 0).dtype, std("MatMul", sides, {})[0].shape)]


def gathered_nd(_op: Op, inputs: InputTypes, _: Std) -> list[TensorType]:
    """Slices of the data, one for each tuple of indices."""
    data, indices = _dims(inputs, 0), _dims(inputs, 1)
    depth = indices[-1]
    if not isinstance(depth, int):
        raise ValueError("the length of the index tuples is unknown")
    return [TensorType(_need(inputs, 0).dtype, (*indices[:-1], *data[depth:]))]
