"""Single operators by name and size, as the lowered graph of a net would hold them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lydite.backends import Settings, find_backend
from lydite.backends.lowered import lowered
from lydite.backends.tuned.task import Task, operator_types, task_of
from lydite.errors import InputError, unknown_name
from lydite.graph import Builder, Graph, Tensor, keys_of
from lydite.records import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of an operator.

    Attributes:
        shape: Shape of the input.
        filters: Number of output channels or columns.
        kernel: Height and width of the kernel.
        stride: Stride in both directions.
    """

    shape: tuple[int, ...]
    filters: int = 0
    kernel: int = 3
    stride: int = 1


def _conv(g: Builder, x: Tensor, sizes: Sizes) -> Tensor:
    return g.conv(x, sizes.filters, sizes.kernel, stride=sizes.stride, pad=sizes.kernel // 2)


def _depthwise(g: Builder, x: Tensor, sizes: Sizes) -> Tensor:
    channels = sizes.shape[1]
    pad = sizes.kernel // 2
    return g.conv(x, channels, sizes.kernel, stride=sizes.stride, pad=pad, group=channels)


def _dense(g: Builder, x: Tensor, sizes: Sizes) -> Tensor:
    return g.linear(x, sizes.filters)


def _softmax(g: Builder, x: Tensor, sizes: Sizes) -> Tensor:
    del sizes
    return g.op("Softmax", x, axis=-1)


def _norm(g: Builder, x: Tensor, sizes: Sizes) -> Tensor:
    del sizes
    return g.layer_norm(x)


def _gelu(g: Builder, x: Tensor, sizes: Sizes) -> Tensor:
    del sizes
    return g.op("Gelu", x)


OPERATORS: dict[str, tuple[int, bool, Callable[[Builder, Tensor, Sizes], Tensor]]] = {
    "conv2d": (4, True, _conv),
    "depthwise": (4, False, _depthwise),
    "matmul": (2, True, _dense),
    "softmax": (2, False, _softmax),
    "layernorm": (2, False, _norm),
    "gelu": (2, False, _gelu),
}
"""Rank of the input, whether --filters is needed, and how it is built, by name."""


def single_operator(name: str, sizes: Sizes) -> Graph:
    """A net of one operator.

    Raises:
        InputError: the operator is unknown, or a size is missing or out of range.
    """
    if name not in OPERATORS:
        raise unknown_name("operator", name, OPERATORS)
    rank, filters, build = OPERATORS[name]
    if len(sizes.shape) != rank or min(sizes.shape, default=0) < 1:
        given = ",".join(map(str, sizes.shape))
        allowed = "N,C,H,W" if rank == 4 else "ROWS,COLUMNS"
        raise InputError(f"the shape {given} is not that of {name}", allowed=allowed)
    if filters and sizes.filters < 1:
        raise InputError(f"{name} needs its number of outputs", hint="add --filters N")
    g = Builder(f"{name}-{'x'.join(map(str, sizes.shape))}")
    return g.build(build(g, g.input("x", sizes.shape), sizes))


def task_of_operator(name: str, sizes: Sizes) -> Task:
    """The task of the operator as ONNX Runtime's graph holds it.

    Raises:
        InputError: as `single_operator`; also if no schedule space can be written for it.
    """
    graph = lowered(find_backend("onnxruntime"), single_operator(name, sizes), Settings())
    tasks = [task for key in keys_of(graph).values() if (task := task_of(key)) is not None]
    if not tasks:
        raise no_space(name, graph.ops[0].qualified_type)
    return tasks[0]


def no_space(name: str, op_type: str) -> InputError:
    """The error for an operator without a schedule space."""
    return InputError(
        f"no schedule space for {name} ({op_type})",
        allowed=", ".join(operator_types()),
        hint="ONNX Runtime's kernel stays; a space is one file, see lydite.backends.tuned.spaces",
    )


def parse_shape(text: str) -> tuple[int, ...]:
    """A shape such as 1,64,56,56.

    Raises:
        InputError: it is not a list of positive numbers.
    """
    parts: Sequence[str] = text.replace("x", ",").split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise InputError(f"'{text}' is not a shape", where="--shape", allowed="such as 1,64,56,56")
    return tuple(int(part) for part in parts)
