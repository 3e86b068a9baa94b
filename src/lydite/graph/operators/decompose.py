"""Decompositions: primitives that compute the same as an operator.

Where a row has a decomposition, the facets that nobody wrote follow from it: its gradient, how
ranks share it, how PyTorch runs it. Operators that the ONNX standard defines by a function body
have one without a row of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from lydite.graph.op import Op
from lydite.graph.tensor import Emitter, Tensor
from lydite.opkey import TensorType


@dataclass(frozen=True)
class DecompositionCall:
    """An operator that is about to be replaced.

    Attributes:
        g: the builder that the primitives are appended to.
        op: the operator.
        inputs: its inputs; None for one that is left out.
        outs: its output types.
    """

    g: Emitter
    op: Op
    inputs: Sequence[Tensor | None]
    outs: Sequence[TensorType]

    def has(self, index: int) -> bool:
        """Whether an input is given."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def x(self, index: int = 0) -> Tensor:
        """An input that is given."""
        found = self.inputs[index]
        assert found is not None, f"{self.op.op_type} has no input {index}"
        return found

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.op.attrs.get(name, default)

    @property
    def attrs(self) -> Mapping[str, Any]:
        """All attributes."""
        return self.op.attrs

    def op_(self, op_type: str, *inputs: Tensor | None, domain: str = "", **attrs: Any) -> Tensor:
        """A primitive with one output, named after the operator."""
        name = f"{self.op.name}/{op_type}"
        return self.g.op(op_type, *inputs, domain=domain, name=name, **attrs)

    def number(self, value: float, like: Tensor) -> Tensor:
        """A scalar of a tensor's type."""
        return self.g.constant(value, f"{self.op.name}/scalar", like.type.dtype)

    def integers(self, values: Sequence[int]) -> Tensor:
        """A constant list of sizes or axes."""
        return self.g.constant(list(values), f"{self.op.name}/integers")

    def shape(self, index: int = 0) -> tuple[int, ...]:
        """Fixed sizes of an output."""
        return tuple(int(dim) for dim in self.outs[index].shape or ())


Decomposition: TypeAlias = Callable[[DecompositionCall], Sequence[Tensor]]
"""Appends primitives; gives what stands for each output."""


def renamed(op_type: str, *, keep: Sequence[str] = (), **attrs: Any) -> Decomposition:
    """The same under ONNX's name, with the attributes in `keep`."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        kept = {name: call.attrs[name] for name in keep if name in call.attrs}
        return [call.op_(op_type, *call.inputs, **kept, **attrs)]

    return rule


def reshaped(call: DecompositionCall) -> Sequence[Tensor]:
    """The first input in the sizes of the output."""
    return [call.op_("Reshape", call.x(), call.integers(call.shape()))]


def with_activation(inner: Callable[[DecompositionCall], Tensor]) -> Decomposition:
    """What `inner` makes, then the activation that an attribute names."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        return [activated(call, inner(call))]

    return rule


def activated(call: DecompositionCall, x: Tensor) -> Tensor:
    """The activation of ONNX Runtime's fused operators, by its attributes."""
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
    """Transposed operands, a product, a factor."""
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


_CONV = ("kernel_shape", "strides", "pads", "dilations", "group", "auto_pad")
_GEMM = ("transA", "transB", "alpha", "beta")


def fused_conv(call: DecompositionCall) -> Sequence[Tensor]:
    """A convolution with bias, a tensor added to it, an activation."""
    kept = {name: call.attrs[name] for name in _CONV if name in call.attrs}
    made = call.op_("Conv", *call.inputs[:3], **kept)
    if call.has(3):
        made = call.op_("Add", made, call.x(3))
    return [activated(call, made)]


def fused_gemm(call: DecompositionCall) -> Tensor:
    """A Gemm."""
    kept = {name: call.attrs[name] for name in _GEMM if name in call.attrs}
    return call.op_("Gemm", *call.inputs[:3], **kept)


def biased(op_type: str, **attrs: Any) -> Decomposition:
    """The second input added where it is given, then a function."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        x = call.op_("Add", call.x(), call.x(1)) if call.has(1) else call.x()
        return [call.op_(op_type, x, **attrs)]

    return rule


def scaled_sigmoid(call: DecompositionCall) -> Sequence[Tensor]:
    """x times the sigmoid of alpha x."""
    x = call.x()
    alpha = float(call.attr("alpha", 1.702))
    scaled = x if alpha == 1 else call.op_("Mul", x, call.number(alpha, x))
    return [call.op_("Mul", x, call.op_("Sigmoid", scaled))]


def skip_norm(op_type: str, gamma: int, beta: int | None, bias: int) -> Decomposition:
    """Two inputs (and a bias) added, then normalised over the last axis; the sum is an output."""

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
    """A mask added, then a softmax."""
    total = call.op_("Add", call.x(0), call.x(1))
    return [call.op_("Softmax", total, axis=int(call.attr("axis", 1)))]


def linear(call: DecompositionCall) -> Sequence[Tensor]:
    """x times the bias-free product, summed as linear layers write it: x W^T + b."""
    product = call.op_("MatMul", call.x(0), call.op_("Transpose", call.x(1), perm=[1, 0]))
    return [call.op_("Add", product, call.x(2)) if call.has(2) else product]


def added_product(call: DecompositionCall) -> Sequence[Tensor]:
    """aten's addmm and baddbmm with both factors 1."""
    product = call.op_("MatMul", call.x(1), call.x(2))
    return [call.op_("Add", product, call.x(0))]


def biased_residual(call: DecompositionCall) -> Sequence[Tensor]:
    """A bias and a residual added."""
    return [call.op_("Add", call.op_("Add", call.x(0), call.x(1)), call.x(2))]


def gemm_fast_gelu(call: DecompositionCall) -> Sequence[Tensor]:
    """A product, a bias, and Gelu by tanh."""
    made = call.op_("MatMul", call.x(0), call.x(1))
    if call.has(2):
        made = call.op_("Add", made, call.x(2))
    return [call.op_("Gelu", made, approximate="tanh")]


def rms_norm(call: DecompositionCall) -> Sequence[Tensor]:
    """ONNX Runtime's name for an RMS normalisation."""
    kept = {name: call.attrs[name] for name in ("axis", "epsilon") if name in call.attrs}
    return [call.op_("RMSNormalization", call.x(0), call.x(1), **kept)]


# --- aten's operators in ONNX's terms ------------------------------------------------------------


def same(call: DecompositionCall) -> Sequence[Tensor]:
    """The input itself."""
    return [call.op_("Identity", call.x())]


def swish(call: DecompositionCall) -> Sequence[Tensor]:
    """x times its sigmoid."""
    return [call.op_("Mul", call.x(), call.op_("Sigmoid", call.x()))]


def with_alpha(op_type: str, name: str, default: float) -> Decomposition:
    """An activation with a slope."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        return [call.op_(op_type, call.x(), alpha=float(call.attr(name, default)))]

    return rule


def arithmetic(op_type: str) -> Decomposition:
    """Two tensors, or a tensor and the number in the attribute `other`; `alpha` scales it."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        x = call.x()
        other = call.x(1) if call.has(1) else call.number(float(call.attr("other", 0.0)), x)
        alpha = float(call.attr("alpha", 1.0))
        if alpha != 1 and op_type in ("Add", "Sub"):
            other = call.op_("Mul", other, call.number(alpha, x))
        return [call.op_(op_type, x, other)]

    return rule


def along(op_type: str, attribute: str = "axis", default: int = -1) -> Decomposition:
    """Along the axis that aten calls `dim`."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        attrs: dict[str, Any] = {attribute: int(call.attr("dim", default))}
        return [call.op_(op_type, *call.inputs, **attrs)]

    return rule


def swapped_axes(call: DecompositionCall) -> Sequence[Tensor]:
    """Two axes change places."""
    rank = len(call.x().shape)
    first, second = int(call.attr("dim0", -2)) % rank, int(call.attr("dim1", -1)) % rank
    perm = list(range(rank))
    perm[first], perm[second] = perm[second], perm[first]
    return [call.op_("Transpose", call.x(), perm=perm)]


def permuted(call: DecompositionCall) -> Sequence[Tensor]:
    """Axes in the order of the attribute `dims`."""
    rank = len(call.x().shape)
    return [call.op_("Transpose", call.x(), perm=[int(d) % rank for d in call.attr("dims")])]


def layer_norm(call: DecompositionCall) -> Sequence[Tensor]:
    """Over the trailing axes of `normalized_shape`; mean and inverse deviation come out too."""
    axis = -len(call.attr("normalized_shape", (0,)))
    epsilon = float(call.attr("eps", 1e-5))
    scale = call.x(1)
    rest = [call.x(2)] if call.has(2) else []
    found = call.g.ops(
        "LayerNormalization",
        call.x(),
        scale,
        *rest,
        outputs=3,
        name=f"{call.op.name}/LayerNormalization",
        axis=axis,
        epsilon=epsilon,
    )
    return found[: len(call.op.outputs)]
