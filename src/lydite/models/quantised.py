"""Weights of few bits: the same layers, in the operators that runtimes run them with."""

from __future__ import annotations

from typing import Any

from lydite.graph import Builder, Tensor
from lydite.records import dataclass

_MS = "com.microsoft"


@dataclass(frozen=True)
class WeightFormat:
    """How weights are stored.

    Attributes:
        bits: Bits of a weight, 4 or 8.
        block: Number of weights along the input that share a scale; 0 for a whole column.
        dtype: Type of the stored weights; "uint8" where they are packed.
        experts_only: Whether only experts' weights are stored so.
        kept: Names of layers that are not.
        experts: Format of experts' weights, where it is another one.
    """

    bits: int
    block: int
    dtype: str = "uint8"
    experts_only: bool = False
    kept: tuple[str, ...] = ("lm_head", "router", "classifier", "embedding")
    experts: WeightFormat | None = None

    @property
    def label(self) -> str:
        """What users call it."""
        return f"{self.bits} bits" if self.dtype == "uint8" else self.dtype


class QuantisedBuilder(Builder):
    """A builder whose dense layers and experts have weights of few bits.

    Args:
        name: Name of the graph.
        dtype: Precision of activations, and of weights that are kept.
        opset: ONNX opset.
        weights: Format of the weights.
    """

    def __init__(self, name: str, *, dtype: str, opset: int, weights: WeightFormat) -> None:
        super().__init__(name, dtype=dtype, opset=opset)
        self.weights = weights

    def linear(self, x: Tensor, features: int, *, bias: bool = True, name: str = "fc") -> Tensor:
        """x W + b over the last axis, as one product with packed weights."""
        form, width = self.weights, int(x.shape[-1])
        block = form.block or width
        kept = any(part in name for part in form.kept)
        if form.experts_only or kept or width % min(block, width):
            return super().linear(x, features, bias=bias, name=name)
        count = -(-width // block)
        packed = self.weight(
            (features, count, block * form.bits // 8), f"{name}.weight", form.dtype
        )
        scales = self.weight((features, count), f"{name}.scales")
        inputs: list[Tensor | None] = [x, packed, scales]
        if bias:
            inputs += [None, None, self.weight((features,), f"{name}.bias")]
        sizes = {"K": width, "N": features, "bits": form.bits, "block_size": block}
        return self.op("MatMulNBits", *inputs, domain=_MS, name=name, **sizes)

    def experts(
        self,
        tokens: Tensor,
        router: Tensor,
        shapes: tuple[tuple[int, ...], tuple[int, ...]],
        biases: tuple[Tensor | None, Tensor | None],
        **attrs: Any,
    ) -> Tensor:
        """Experts with packed weights; see `Builder.experts`."""
        form = self.weights.experts or self.weights
        inputs: list[Tensor | None] = [tokens, router]
        for name, shape, bias in zip(("up", "down"), shapes, biases, strict=True):
            count, rows, width = shape
            block = form.block or width
            packed = (count, rows, width * form.bits // 8)
            inputs.append(self.weight(packed, f"experts.{name}", form.dtype))
            inputs.append(self.weight((count, rows, -(-width // block)), f"experts.{name}_scales"))
            inputs.append(bias)
        while inputs[-1] is None:
            inputs.pop()
        return self.op(
            "QMoE",
            *inputs,
            domain=_MS,
            name="experts",
            expert_weight_bits=form.bits,
            block_size=form.block or None,
            **attrs,
        )
