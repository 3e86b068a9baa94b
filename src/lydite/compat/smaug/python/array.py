"""SMAUG's operators that move, split and join tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lydite.compat.smaug.python.graph import Tensor, add_node, get_graph, misfit

_FLAT = {("NCHW", "NC"), ("NHWC", "NC")}
_MOVES = {
    ("NCHW", "NHWC"): (0, 2, 3, 1),
    ("NHWC", "NCHW"): (0, 3, 1, 2),
    ("NTC", "NCT"): (0, 2, 1),
    ("NCT", "NTC"): (0, 2, 1),
    ("NC", "CN"): (1, 0),
    ("CN", "NC"): (1, 0),
}


def reorder(input_tensor: Tensor, target_layout: str, name: str = "reorder") -> Tensor:
    """The same elements in another layout; an image becomes a matrix with NC.

    Raises:
        GraphError: the layouts cannot be converted.
    """
    dims, change = input_tensor.dims, (input_tensor.layout, target_layout)
    if change in _FLAT:
        made = [dims[0], math.prod(dims[1:])]
    elif change in _MOVES:
        made = [dims[axis] for axis in _MOVES[change]]
    else:
        known = ", ".join(f"{a} to {b}" for a, b in sorted({*_MOVES, *_FLAT}))
        raise misfit(name, f"Reorder to {target_layout}", known, input_tensor)
    return add_node(name, "Reorder", [input_tensor], [made], layout=target_layout)[0]


def laid_out(tensor: Tensor, layout: str) -> Tensor:
    """The tensor in the layout that an operator needs; each tensor is reordered once."""
    if tensor.layout == layout or not get_graph().layout_trans_enabled:
        return tensor
    if layout not in tensor.reordered:
        tensor.reordered[layout] = reorder(tensor, layout)
    return tensor.reordered[layout]


def image_layout() -> str:
    """Image layout of the open graph's backend."""
    return "NHWC" if get_graph().backend == "SMV" else "NCHW"


def flatten(input_tensor: Tensor, name: str = "flatten") -> Tensor:
    """An image as a matrix [N, C]."""
    if len(input_tensor.dims) != 4:
        raise misfit(name, "Reorder", "four dimensions", input_tensor)
    return reorder(input_tensor, "NC", name)


def _checked_axis(tensor: Tensor, axis: int, name: str, op: str) -> int:
    if not -len(tensor.dims) <= axis < len(tensor.dims):
        raise misfit(name, f"{op} along axis {axis}", f"an axis below {len(tensor.dims)}", tensor)
    return axis % len(tensor.dims)


def concat(input_tensors: Sequence[Tensor], axis: int = 0, name: str = "concat") -> Tensor:
    """Tensors joined along an axis.

    Raises:
        GraphError: the tensors differ along another axis, or in layout.
    """
    first = input_tensors[0]
    axis = _checked_axis(first, axis, name, "Concat")
    for other in input_tensors[1:]:
        fits = len(first.dims) == len(other.dims) and first.layout == other.layout
        pairs = zip(first.dims, other.dims, strict=False)
        if not fits or any(a != b for i, (a, b) in enumerate(pairs) if i != axis):
            rule = f"equal layouts, and equal sizes but along axis {axis}"
            raise misfit(name, "Concat", rule, first, other)
    dims = list(first.dims)
    dims[axis] = sum(tensor.dims[axis] for tensor in input_tensors)
    return add_node(name, "Concat", input_tensors, [dims], params={"concat_axis": axis})[0]


def split(
    input_tensor: Tensor,
    num_or_size_splits: int | Sequence[int],
    axis: int = 0,
    name: str = "split",
) -> list[Tensor]:
    """A tensor split along an axis into equal parts, or into parts of the given sizes.

    Raises:
        GraphError: the sizes do not add up.
    """
    axis = _checked_axis(input_tensor, axis, name, "Split")
    size = input_tensor.dims[axis]
    if isinstance(num_or_size_splits, int):
        count = max(1, num_or_size_splits)
        sizes = [size // count] * count
    else:
        sizes = list(num_or_size_splits)
    if sum(sizes) != size or min(sizes, default=0) < 1:
        rule = f"parts of axis {axis} that add up to {size}"
        raise misfit(name, f"Split into {num_or_size_splits}", rule, input_tensor)
    if len(sizes) == 1:
        return [input_tensor]
    parts = [[*input_tensor.dims[:axis], n, *input_tensor.dims[axis + 1 :]] for n in sizes]
    return add_node(name, "Split", [input_tensor], parts, params={"split_axis": axis})


def reshape(
    input_tensor: Tensor, shape: Sequence[int], layout: str, name: str = "reshape"
) -> Tensor:
    """The same elements, in the same order, with another shape."""
    if math.prod(input_tensor.dims) != math.prod(shape):
        raise misfit(name, f"Reshape to {list(shape)}", "as many elements", input_tensor)
    return add_node(name, "Reshape", [input_tensor], [shape], layout=layout)[0]


def expand_dims(input_tensor: Tensor, axis: int = 0, name: str = "expand_dims") -> Tensor:
    """A matrix with a dimension of size 1 inserted before (1) or after (2) its channels."""
    if input_tensor.layout != "NC" or axis not in (1, 2):
        raise misfit(name, f"expand_dims at {axis}", "NC, and axis 1 or 2", input_tensor)
    dims = list(input_tensor.dims)
    dims.insert(axis, 1)
    return reshape(input_tensor, dims, "NCT" if axis == 2 else "NTC", name)


def squeeze(input_tensor: Tensor, axis: int, name: str = "squeeze") -> Tensor:
    """The matrix of a tensor NTC or NCT whose given dimension has size 1."""
    dims = list(input_tensor.dims)
    if input_tensor.layout not in ("NTC", "NCT") or not 0 <= axis < 3 or dims[axis] != 1:
        raise misfit(name, f"squeeze of axis {axis}", "NTC or NCT with size 1 there", input_tensor)
    del dims[axis]
    return reshape(input_tensor, dims, "NC", name)


def repeat(input_tensor: Tensor, multiples: Sequence[int], name: str = "repeat") -> Tensor:
    """A tensor repeated the given number of times along every dimension."""
    if len(multiples) != len(input_tensor.dims) or min(multiples) < 1:
        raise misfit(name, f"Repeat by {list(multiples)}", "one count per dimension", input_tensor)
    dims = [dim * count for dim, count in zip(input_tensor.dims, multiples, strict=True)]
    return add_node(name, "Repeat", [input_tensor], [dims])[0]


def stack(input_tensor: Tensor, multiple: int, axis: int, name: str = "stack") -> Tensor:
    """A matrix repeated along a new dimension."""
    output = expand_dims(input_tensor, axis, f"{name}:expand_dims")
    counts = [multiple if i == axis else 1 for i in range(len(output.dims))]
    return repeat(output, counts, f"{name}:repeat")


def unstack(input_tensor: Tensor, axis: int, name: str = "unstack") -> list[Tensor]:
    """The matrices along one dimension of a tensor NTC or NCT."""
    axis = _checked_axis(input_tensor, axis, name, "unstack")
    parts = split(input_tensor, input_tensor.dims[axis], axis, f"{name}:split")
    return [squeeze(part, axis, f"{name}:squeeze") for part in parts]


def padding(input_tensor: Tensor, padding_size: Sequence[int], name: str = "padding") -> Tensor:
    """A tensor with zeros before and after every dimension: [before0, after0, before1, ...]."""
    rank = len(input_tensor.dims)
    if len(padding_size) != 2 * rank or min(padding_size) < 0:
        raise misfit(name, f"Padding {list(padding_size)}", f"{2 * rank} sizes", input_tensor)
    dims = [
        d + padding_size[2 * i] + padding_size[2 * i + 1] for i, d in enumerate(input_tensor.dims)
    ]
    params = {"padding_size": tuple(padding_size)}
    return add_node(name, "Padding", [input_tensor], [dims], params=params)[0]
