"""Decompositions of ONNX Runtime's fused operators and layouts into standard operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lydite.graph.operators.decompositions.call import Decomposition, DecompositionCall
from lydite.graph.operators.decompositions.common import renamed
from lydite.graph.tensor import Tensor


def with_activation(inner: Callable[[DecompositionCall], Tensor]) -> Decomposition:
    """The result of `inner`, followed by the activation that an attribute names."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        return [activated(call, inner(call))]

    return rule


def activated(call: DecompositionCall, x: Tensor) -> Tensor:
    """The activation that the attributes of ONNX Runtime's fused operators describe."""
    name = str(call.attr("activation", ""))
    given = [float(value) for value in call.attr("activation_params", ())]
    if not name:
        return x
    if name == "Clip":
        low, high = (call.number(value, x) for value in given)
        return call.op_("Clip", x, low, high)
    names = {"LeakyRelu": ("alpha",), "HardSigmoid": ("alpha", "beta")}.get(name, ())
    attrs: dict[str, Any] = dict(zip(names, given, strict=False))
    return call.op_(name, x, **attrs)


def fused_matmul(call: DecompositionCall) -> Tensor:
    """A product of possibly transposed operands, scaled by alpha."""
    sides = []
    for index, name in enumerate(("A", "B")):
        x = call.x(index)
        rank = len(x.shape)
        if call.attr(f"transBatch{name}", 0):
            x = call.op_("Transpose", x, perm=[rank - 2, *range(rank - 2), rank - 1])
        if call.attr(f"trans{name}", 0) and rank > 1:
            x = call.op_("Transpose", x, perm=[*range(rank - 2), rank - 1, rank - 2])
        sides.append(x)
    product = call.op_("MatMul", *sides)
    alpha = float(call.attr("alpha", 1.0))
    return product if alpha == 1 else call.op_("Mul", product, call.number(alpha, product))


CONV_ATTRS = ("kernel_shape", "strides", "pads", "dilations", "group", "auto_pad")


_GEMM = ("transA", "transB", "alpha", "beta")


def fused_conv(call: DecompositionCall) -> Sequence[Tensor]:
    """A convolution with bias, an added tensor, and an activation."""
    kept = {name: call.attrs[name] for name in CONV_ATTRS if name in call.attrs}
    made = call.op_("Conv", *call.inputs[:3], **kept)
    if call.has(3):
        made = call.op_("Add", made, call.x(3))
    return [activated(call, made)]


def fused_gemm(call: DecompositionCall) -> Tensor:
    """The Gemm inside FusedGemm."""
    kept = {name: call.attrs[name] for name in _GEMM if name in call.attrs}
    return call.op_("Gemm", *call.inputs[:3], **kept)


def biased(op_type: str, **attrs: Any) -> Decomposition:
    """A function of the sum of two inputs, of which the second may be omitted."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        x = call.op_("Add", call.x(), call.x(1)) if call.has(1) else call.x()
        return [call.op_(op_type, x, **attrs)]

    return rule


def scaled_sigmoid(call: DecompositionCall) -> Sequence[Tensor]:
    """x * sigmoid(alpha x)."""
    x = call.x()
    alpha = float(call.attr("alpha", 1.702))
    scaled = x if alpha == 1 else call.op_("Mul", x, call.number(alpha, x))
    return [call.op_("Mul", x, call.op_("Sigmoid", scaled))]


def skip_norm(op_type: str, gamma: int, beta: int | None, bias: int) -> Decomposition:
    """Two inputs (and a bias) added, then normalised over the last axis; also returns the sum."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        total = call.op_("Add", call.x(0), call.x(1))
        if call.has(bias):
            total = call.op_("Add", total, call.x(bias))
        scales = [call.x(gamma)]
        if beta is not None and call.has(beta):
            scales.append(call.x(beta))
        epsilon = float(call.attr("epsilon", 1e-12 if beta is not None else 1e-6))
        made = call.op_(op_type, total, *scales, axis=-1, epsilon=epsilon)
        return [made, total, total, total][: len(call.op.outputs)]

    return rule


def bias_softmax(call: DecompositionCall) -> Sequence[Tensor]:
    """A softmax after adding a mask."""
    total = call.op_("Add", call.x(0), call.x(1))
    return [call.op_("Softmax", total, axis=int(call.attr("axis", 1)))]


def biased_residual(call: DecompositionCall) -> Sequence[Tensor]:
    """The input plus a bias and a residual."""
    return [call.op_("Add", call.op_("Add", call.x(0), call.x(1)), call.x(2))]


def gemm_fast_gelu(call: DecompositionCall) -> Sequence[Tensor]:
    """A product, a bias, and Gelu in its tanh form."""
    made = call.op_("MatMul", call.x(0), call.x(1))
    if call.has(2):
        made = call.op_("Add", made, call.x(2))
    return [call.op_("Gelu", made, approximate="tanh")]


def rms_norm(call: DecompositionCall) -> Sequence[Tensor]:
    """ONNX Runtime's RMS normalisation."""
    kept = {name: call.attrs[name] for name in ("axis", "epsilon") if name in call.attrs}
    return [call.op_("RMSNormalization", call.x(0), call.x(1), **kept)]


def channels_last(op_type: str, *, keep: Sequence[str], extra: bool = False) -> Decomposition:
    """The operator between transposes; `extra` adds a bias, a tensor and an activation."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        rank = len(call.x().shape)
        x = call.op_("Transpose", call.x(), perm=[0, rank - 1, *range(1, rank - 1)])
        kept = {name: call.attrs[name] for name in keep if name in call.attrs}
        made = call.op_(op_type, x, *(call.inputs[1:3] if extra else call.inputs[1:]), **kept)
        back = call.op_("Transpose", made, perm=[0, *range(2, rank), 1])
        if extra and call.has(3):
            back = call.op_("Add", back, call.x(3))
        return [activated(call, back) if extra else back]

    return rule


POOL = ("kernel_shape", "strides", "pads", "dilations", "auto_pad", "ceil_mode", "p")


CONV = (*CONV_ATTRS, "output_padding", "output_shape")


def pooled(op_type: str) -> Decomposition:
    """Pooling in blocked channels; the blocking has no effect on the result."""
    return renamed(op_type, keep=(*POOL, "count_include_pad"))


def biased_inference(call: DecompositionCall) -> Sequence[Tensor]:
    """Dropout without effect, as in inference: a bias and an optional residual are added."""
    total = call.op_("Add", call.x(0), call.x(1))
    return [call.op_("Add", total, call.x(2)) if call.has(2) else total]


def upsampled(call: DecompositionCall) -> Sequence[Tensor]:
    """Resize with the scales as third input."""
    mode = str(call.attr("mode", "nearest"))
    attrs: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": "asymmetric"}
    if mode == "nearest":
        attrs["nearest_mode"] = "floor"
    return [call.op_("Resize", call.x(0), None, call.x(1), **attrs)]


def image_group_norm(call: DecompositionCall) -> Sequence[Tensor]:
    """GroupNorm of images [N, H, W, C], followed by Swish if the attribute asks for it."""
    last = int(call.attr("channels_last", 1))
    x = call.op_("Transpose", call.x(), perm=[0, 3, 1, 2]) if last else call.x()
    groups, epsilon = int(call.attr("groups", 1)), float(call.attr("epsilon", 1e-5))
    made = call.op_(
        "GroupNormalization", x, call.x(1), call.x(2), num_groups=groups, epsilon=epsilon
    )
    if call.attr("activation", 0):
        made = call.op_("Mul", made, call.op_("Sigmoid", made))
    return [call.op_("Transpose", made, perm=[0, 2, 3, 1]) if last else made]
