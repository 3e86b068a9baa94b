"""Decompositions of TensorFlow's operators into ONNX operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lydite.graph.operators.decompositions.call import Decomposition, DecompositionCall
from lydite.graph.tensor import Tensor


def over_axes(op_type: str) -> Decomposition:
    """A reduction over the axes in the second input."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        keep = int(bool(call.attr("keep_dims", False)))
        return [call.op_(op_type, *call.inputs[:2], keepdims=keep)]

    return rule


def images(op_type: str) -> Decomposition:
    """A convolution or pooling of images [N, H, W, C] with filters [rows, columns, in, out]."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        x = call.op_("Transpose", call.x(), perm=[0, 3, 1, 2])
        attrs: dict[str, Any] = {"strides": _middle(call, "strides")}
        if call.attr("padding") == "SAME":
            attrs["auto_pad"] = "SAME_UPPER"
        inputs = [x]
        if op_type == "Conv":
            inputs.append(call.op_("Transpose", call.x(1), perm=[3, 2, 0, 1]))
            attrs["dilations"] = _middle(call, "dilations")
        else:
            attrs["kernel_shape"] = _middle(call, "ksize")
        return [call.op_("Transpose", call.op_(op_type, *inputs, **attrs), perm=[0, 2, 3, 1])]

    return rule


def _middle(call: DecompositionCall, name: str) -> list[int]:
    given = call.attr(name, (1, 1, 1, 1))
    return [int(size) for size in given[1:3]]
