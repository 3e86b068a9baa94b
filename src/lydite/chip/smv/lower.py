"""Lowering of ONNX graphs to SMV's operators; the CPU runs what SMV cannot, with a reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from lydite.chip.smv.limits import VECTOR
from lydite.chip.smv.program import Activation, HostOp, SmvOp, SmvProgram
from lydite.chip.tiling.problem import (
    Dims,
    Kind,
    Problem,
    batch_norm,
    convolution,
    flat,
    inner_product,
    pooling,
    rows,
)
from lydite.errors import GraphError, InputError
from lydite.graph.attributes import default_attrs
from lydite.graph.graph import Graph, Op
from lydite.records import dataclass

ACTIVATIONS = {
    "Relu": "relu",
    "LeakyRelu": "lrelu",
    "Elu": "elu",
    "Selu": "selu",
    "Tanh": "tanh",
    "Clip": "hard_tanh",
    "Sigmoid": "sigmoid",
}
"""SMV's names of activations, by ONNX's names."""

ELTWISE = {
    "Add": "add",
    "Mul": "mul",
    "Less": "less",
    "LessOrEqual": "less_equal",
    "Greater": "greater",
    "GreaterOrEqual": "greater_equal",
}


def lower(graph: Graph, *, fuse: bool = True) -> SmvProgram:
    """Lower a graph; operators that SMV cannot run become operators of the CPU.

    Args:
        graph: Graph with fixed sizes.
        fuse: Whether to fuse an activation into the convolution, inner product or batch norm whose
            output only it reads.

    Raises:
        GraphError: the size of a tensor is not fixed or unknown.
    """
    lowering, steps, fused = _Lowering(graph), [], set()
    for op in graph.ops:
        if op.name in fused:
            continue
        try:
            made = lowering.lower(op)
        except _Refused as refused:
            steps.append(HostOp(op, str(refused)))
            continue
        after = _sole_reader(graph, made[-1]) if fuse else None
        if after is not None and (found := lowering.activation(after)) is not None:
            made = [_fused(made[-1], after, found)]
            fused.add(after.name)
        steps += made
    return SmvProgram(graph.name, tuple(steps))


class _Refused(Exception):
    """Reason why SMV cannot run an operator."""


_FUSING = (Kind.CONVOLUTION, Kind.INNER_PRODUCT, Kind.BATCH_NORM)


def _sole_reader(graph: Graph, step: SmvOp | HostOp) -> Op | None:
    if not isinstance(step, SmvOp) or step.problem.kind not in _FUSING:
        return None
    readers = graph.consumers.get(step.output, [])
    return readers[0] if len(readers) == 1 and step.output not in graph.outputs else None


def _fused(step: SmvOp | HostOp, after: Op, activation: Activation) -> SmvOp:
    assert isinstance(step, SmvOp)
    return replace(step, output=after.outputs[0], activation=activation)


@dataclass
class _Lowering:
    graph: Graph

    def lower(self, op: Op) -> list[SmvOp | HostOp]:
        """Lower one operator to steps."""
        lowering = _LOWERINGS.get(op.qualified_type)
        if lowering is None:
            raise _Refused(f"SMV has no {op.qualified_type}")
        for name in (*op.inputs[:1], *op.outputs[:1]):
            self.dims(op, name)
        read = self.graph.type_of(op.inputs[0]).dtype
        if not read.startswith(("float16", "float32")):
            raise _Refused(f"SMV computes in float16, and the input is {read}")
        return lowering(self, op)

    def dims(self, op: Op, name: str) -> Dims:
        """Sizes of a tensor, which must be fixed."""
        type_ = self.graph.type_of(name)
        if type_.shape is None or not type_.is_static:
            raise GraphError(
                f"'{name}' is {type_}",
                where=f"{self.graph.name}: {op.name} ({op.op_type})",
                allowed="fixed sizes",
            )
        dims = tuple(int(dim) for dim in type_.shape)
        if 0 in dims:
            raise _Refused(f"'{name}' is empty")
        return dims

    def attrs(self, op: Op) -> Mapping[str, Any]:
        """Attributes, with ONNX's defaults."""
        return {**default_attrs(op.op_type, "", self.graph.opsets.get("", 20)), **op.attrs}

    def image(self, op: Op, name: str) -> Dims:
        """Sizes of an image, as NHWC."""
        dims = self.dims(op, name)
        if len(dims) != 4:
            raise _Refused(f"SMV takes images of 4 dimensions, not {list(dims)}")
        return dims[0], dims[2], dims[3], dims[1]

    def window(self, op: Op) -> tuple[Any, Any, tuple[int, int, int, int]]:
        """Kernel, stride and pads (top, bottom, left, right) of a window."""
        attrs, image = self.attrs(op), self.image(op, op.inputs[0])
        kernel = tuple(attrs.get("kernel_shape") or self.dims(op, op.inputs[1])[2:])
        stride = tuple(attrs.get("strides") or (1, 1))
        if any(size != 1 for size in attrs.get("dilations") or ()):
            raise _Refused("SMV has no dilation")
        auto = attrs.get("auto_pad", "NOTSET")
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            pads = _auto_pads(image[1:3], kernel, stride, auto == "SAME_LOWER")
        else:
            top, left, bottom, right = attrs.get("pads") or (0, 0, 0, 0)
            pads = top, bottom, left, right
        if min(pads) < 0 or max(pads[:2]) >= kernel[0] or max(pads[2:]) >= kernel[1]:
            raise _Refused(f"SMV pads by less than its kernel {kernel}, not by {pads}")
        return kernel, stride, pads

    def activation(self, op: Op) -> Activation | None:
        """The operator as an activation of SMV's, or None."""
        name = ACTIVATIONS.get(op.qualified_type)
        if name is None or not self.graph.type_of(op.inputs[0]).dtype.startswith("float"):
            return None
        if name == "hard_tanh":
            bounds = [self.graph.constant(each) if each else None for each in op.inputs[1:3]]
            if len(bounds) != 2 or any(b is None or b.size != 1 for b in bounds):
                return None
            low, high = (float(b.item()) for b in bounds if b is not None)
            return Activation(name, low=low, high=high)
        attrs = self.attrs(op)
        return Activation(name, float(attrs.get("alpha", 0.0)), float(attrs.get("gamma", 1.0)))

    # --- one operator each --------------------------------------------------------------------

    def conv(self, op: Op) -> list[SmvOp | HostOp]:
        if self.attrs(op).get("group", 1) != 1:
            raise _Refused("SMV has no grouped or depthwise convolution")
        kernel, stride, pads = self.window(op)
        image, channels = self.image(op, op.inputs[0]), self.dims(op, op.inputs[1])[0]
        problem = _checked(lambda: convolution(image, channels, kernel, stride, pads))
        return self.with_bias(op, "smv_conv3d_nhwc_vec_fxp", problem, op.inputs[2:3])

    def with_bias(
        self, op: Op, kernel: str, problem: Problem, bias: tuple[str, ...], transposed: bool = False
    ) -> list[SmvOp | HostOp]:
        """A step without bias, which SMV cannot add, followed by an Add on the CPU."""
        out, dims = op.outputs[0], self.dims(op, op.outputs[0])
        name = f"{op.name}.without_bias" if any(bias) else out
        step = SmvOp(op.name, kernel, problem, op.inputs[:2], name, None, transposed, dims)
        if not any(bias):
            return [step]
        add = Op(f"{op.name}.bias", "Add", (name, bias[0]), (out,))
        return [step, HostOp(add, "SMV adds no bias", is_bias=True)]

    def gemm(self, op: Op) -> list[SmvOp | HostOp]:
        attrs = self.attrs(op)
        if attrs.get("transA", 0) or attrs.get("alpha", 1.0) != 1 or attrs.get("beta", 1.0) != 1:
            raise _Refused("SMV has no transposed input and no factors of a Gemm")
        return self.product(op, bool(attrs.get("transB", 0)), op.inputs[2:3])

    def matmul(self, op: Op) -> list[SmvOp | HostOp]:
        return self.product(op, False, ())

    def product(self, op: Op, stored: bool, bias: tuple[str, ...]) -> list[SmvOp | HostOp]:
        """An inner product; `stored` if the weights are already [outputs, inputs]."""
        left, right = (self.dims(op, name) for name in op.inputs[:2])
        if len(right) != 2 or len(left) < 2:
            raise _Refused(f"SMV multiplies by one matrix, not {list(left)} by {list(right)}")
        if not stored and not self.graph.is_constant(op.inputs[1]):
            raise _Refused("SMV takes the second matrix transposed, and it is not a constant")
        batch = 1
        for dim in left[:-1]:
            batch *= dim
        problem = inner_product((batch, left[-1]), right[0] if stored else right[1])
        kernel = "smv_matrix_multiply_transpose_nc_vec_fxp"
        return self.with_bias(op, kernel, problem, bias, not stored)

    def pool(self, op: Op) -> list[SmvOp | HostOp]:
        attrs = self.attrs(op)
        kernel, stride, pads = self.window(op)
        if any(pads) or attrs.get("ceil_mode", 0):
            raise _Refused("SMV pools without padding")
        if len([name for name in op.outputs if name]) > 1:
            raise _Refused("SMV's pooling gives no indices")
        problem = _checked(lambda: pooling(self.image(op, op.inputs[0]), kernel, stride))
        return [self.step(op, f"smv_{_POOLS[op.op_type]}_nhwc_vec_fxp", problem)]

    def global_pool(self, op: Op) -> list[SmvOp | HostOp]:
        image = self.image(op, op.inputs[0])
        size = image[1], image[2]
        kernel = f"smv_{_POOLS[op.op_type.removeprefix('Global')]}_nhwc_vec_fxp"
        return [self.step(op, kernel, pooling(image, size, size))]

    def step(
        self, op: Op, kernel: str, problem: Problem, activation: Activation | None = None
    ) -> SmvOp:
        """A step over all inputs of an operator."""
        out = op.outputs[0]
        dims = self.dims(op, out)
        return SmvOp(op.name, kernel, problem, op.inputs, out, activation, dims=dims)

    def norm(self, op: Op) -> list[SmvOp | HostOp]:
        if self.attrs(op).get("training_mode", 0) or len(op.inputs) != 5:
            raise _Refused("SMV normalises by stored statistics")
        dims = self.dims(op, op.inputs[0])
        if len(dims) not in (2, 4):
            raise _Refused(f"SMV normalises 2 or 4 dimensions, not {list(dims)}")
        shape = self.image(op, op.inputs[0]) if len(dims) == 4 else dims
        kernel = "post_conv_nhwc" if len(dims) == 4 else "post_fc_nc"
        return [self.step(op, f"smv_batch_norm_{kernel}_vec_fxp", batch_norm(shape))]

    def eltwise(self, op: Op) -> list[SmvOp | HostOp]:
        left, right = (self.dims(op, name) for name in op.inputs)
        if left != right:
            raise _Refused(f"SMV broadcasts nothing: {list(left)} and {list(right)}")
        kernel = ELTWISE[op.op_type]
        name = kernel if "_" in kernel or kernel not in ("add", "mul") else f"eltwise_{kernel}"
        return [self.step(op, f"smv_{name}_nc_vec_fxp", flat(self.line(op)))]

    def unary(self, op: Op) -> list[SmvOp | HostOp]:
        found = self.activation(op)
        if found is None:
            raise _Refused("SMV's bounds are two constants")
        kernel = "smv_activation_fun_nc_vec_fxp"
        return [self.step(op, kernel, flat(self.line(op)), found)]

    def line(self, op: Op) -> int:
        """Stored elements of a tensor, with its innermost dimension padded; images are NHWC."""
        dims = self.dims(op, op.inputs[0]) or (1,)
        stored = (dims[0], dims[2], dims[3], dims[1]) if len(dims) == 4 else dims
        count = -(-stored[-1] // VECTOR) * VECTOR
        for dim in stored[:-1]:
            count *= dim
        return count

    def softmax(self, op: Op) -> list[SmvOp | HostOp]:
        dims, axis = self.dims(op, op.inputs[0]), self.attrs(op).get("axis", -1)
        if len(dims) != 2 or axis not in (-1, 1):
            raise _Refused(f"SMV's softmax takes rows of a matrix, not axis {axis} of {list(dims)}")
        return [self.step(op, "smv_softmax_nc_vec_fxp", rows((dims[0], dims[1])))]


def _checked(make: Callable[[], Problem]) -> Problem:
    try:
        return make()
    except InputError as error:
        raise _Refused(error.what) from error


def _auto_pads(
    sizes: Dims, kernel: Dims, stride: Dims, low_first: bool
) -> tuple[int, int, int, int]:
    """ONNX's SAME_UPPER and SAME_LOWER: ceil(size / stride) outputs."""
    found = []
    for size, k, s in zip(sizes, kernel, stride, strict=True):
        total = max(0, (-(-size // s) - 1) * s + k - size)
        small, large = total // 2, total - total // 2
        found += [large, small] if low_first else [small, large]
    return found[0], found[1], found[2], found[3]


_L = _Lowering
_POOLS = {"MaxPool": "maxpooling", "AveragePool": "avgpooling"}
_LOWERINGS: dict[str, Callable[[_Lowering, Op], list[SmvOp | HostOp]]] = {
    **dict.fromkeys(ACTIVATIONS, _L.unary),
    **dict.fromkeys(ELTWISE, _L.eltwise),
    **dict.fromkeys(_POOLS, _L.pool),
    **dict.fromkeys(("GlobalMaxPool", "GlobalAveragePool"), _L.global_pool),
    "Conv": _L.conv,
    "Gemm": _L.gemm,
    "MatMul": _L.matmul,
    "BatchNormalization": _L.norm,
    "Softmax": _L.softmax,
}
