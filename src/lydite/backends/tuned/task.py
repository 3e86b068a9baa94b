"""What a schedule space is for: an operator reduced to its sizes, from its key."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import field
from functools import cached_property

from lydite.graph.work import call_of, work_of_key
from lydite.opkey import OpKey, TensorType
from lydite.records import dataclass

NCHWC = "com.microsoft.nchwc"


@dataclass(frozen=True, slots=True)
class Epilogue:
    """What is done with a sum before it is stored.

    Attributes:
        bias: Whether a constant vector is added.
        residual: Whether a tensor of the output's shape is added.
        low, high: Bounds to which the result is clipped.
    """

    bias: bool = False
    residual: bool = False
    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True)
class Task:
    """An operator as schedule spaces see it.

    Attributes:
        key: Operator.
        kind: "product", "conv", "depthwise", "softmax", "norm" or "gelu".
        dims: Sizes by name.
        epilogue: What follows the sum.
        constants: Positions of the operator's inputs that are constant.
    """

    key: OpKey
    kind: str
    dims: Mapping[str, int]
    epilogue: Epilogue = field(default_factory=Epilogue)
    constants: tuple[int, ...] = ()

    @cached_property
    def flops(self) -> float:
        """Number of FLOPs; 0 where the operator's work is not known."""
        work = work_of_key(self.key)
        return work.flops if work else 0.0

    @property
    def inputs(self) -> tuple[TensorType, ...]:
        """Types of the inputs that are there."""
        return tuple(t for t in self.key.operand_types() if t is not None)


def task_of(key: OpKey) -> Task | None:
    """The task of an operator; None if no schedule space can be written for it."""
    reader = _READERS.get(key.qualified_type)
    types = [*key.operand_types(), *key.outputs]
    if reader is None or any(
        t is not None and (t.dtype != "float32" or not t.is_static or 0 in (t.shape or ()))
        for t in types
    ):
        return None
    return reader(key)


def _shape(kind: TensorType | None) -> tuple[int, ...]:
    return tuple(int(dim) for dim in kind.shape) if kind and kind.shape is not None else ()


def _constants(key: OpKey) -> tuple[int, ...]:
    return tuple(i for i, o in enumerate(key.inputs) if o.type is not None and o.const)


def _product(key: OpKey) -> Task | None:
    attrs = call_of(key).attrs
    shapes = [_shape(t) for t in key.operand_types()]
    a, b, out = shapes[0], shapes[1], _shape(key.outputs[0])
    gemm = key.op_type in ("Gemm", "FusedGemm")
    turned = any(attrs.get(name) for name in ("transA", "transBatchA", "transBatchB"))
    if turned or len(a) < 2 or len(b) < 2 or key.inputs[1].same_as is not None:
        return None
    low, high = -math.inf, math.inf
    if attrs.get("activation", "") not in ("", "Relu"):
        return None
    if attrs.get("activation"):
        low = 0.0
    if gemm and (attrs.get("alpha", 1.0) != 1.0 or attrs.get("beta", 1.0) != 1.0):
        return None
    const = key.inputs[1].const
    trans = int(bool(attrs.get("transB", 0)))
    n, k = (b[-2], b[-1]) if trans else (b[-1], b[-2])
    batch = math.prod(out[:-2])
    if len(b) == 2:
        batch, m = 1, math.prod(out[:-1])
    else:
        m = a[-2]
        if math.prod(b[:-2]) != batch or math.prod(a[:-2]) != batch or const:
            return None
    bias = gemm and len(shapes) > 2 and shapes[2] != ()
    if bias and (shapes[2] != (n,) or not key.inputs[2].const):
        return None
    if trans and not const:
        return None
    alpha = float(attrs.get("alpha", 1.0)) if key.op_type == "FusedMatMul" else 1.0
    dims = {"batch": batch, "m": m, "n": n, "k": k, "const": int(const), "trans": trans}
    if alpha != 1.0:
        dims["alpha_millionths"] = round(alpha * 1e6)
    return Task(key, "product", dims, Epilogue(bias, False, low, high), _constants(key))


def _conv(key: OpKey) -> Task | None:
    attrs = call_of(key).attrs
    shapes = [_shape(t) for t in key.operand_types()]
    if len(shapes[0]) != 4 or len(shapes[1]) != 4 or not key.inputs[1].const:
        return None
    (n, c, h, w), (o, ci, kh, kw) = shapes[0], shapes[1]
    _, _, oh, ow = _shape(key.outputs[0])
    group = int(attrs.get("group", 1))
    strides = tuple(attrs.get("strides", (1, 1)))
    pads = tuple(attrs.get("pads", (0, 0, 0, 0)))
    plain = attrs.get("auto_pad", "NOTSET") == "NOTSET" and set(attrs.get("dilations", (1, 1))) <= {
        1
    }
    depthwise = group == c == o and ci == 1
    epilogue = _activation(attrs, len(shapes) > 2 and bool(shapes[2]), len(shapes) > 3)
    if n != 1 or not plain or (group != 1 and not depthwise) or epilogue is None:
        return None
    dims = {"c": c, "h": h, "w": w, "o": o, "kh": kh, "kw": kw, "oh": oh, "ow": ow}
    dims |= {"stride_h": strides[0], "stride_w": strides[1], "top": pads[0], "left": pads[1]}
    return Task(key, "depthwise" if depthwise else "conv", dims, epilogue, _constants(key))


def _activation(attrs: Mapping[str, object], bias: bool, residual: bool) -> Epilogue | None:
    kind, given = attrs.get("activation", ""), attrs.get("activation_params", ())
    if kind == "":
        return Epilogue(bias, residual)
    if kind == "Relu":
        return Epilogue(bias, residual, 0.0)
    if kind == "Clip" and isinstance(given, list | tuple) and len(given) == 2:
        return Epilogue(bias, residual, float(given[0]), float(given[1]))
    return None


def _rows(key: OpKey) -> Task | None:
    attrs = call_of(key).attrs
    shape = _shape(key.outputs[0])
    if not shape:
        return None
    if key.op_type == "Softmax":
        if key.version < 13 or int(attrs.get("axis", -1)) not in (-1, len(shape) - 1):
            return None
        return Task(key, "softmax", {"rows": math.prod(shape[:-1]), "n": shape[-1]})
    if key.op_type == "Gelu":
        if attrs.get("approximate", "none") not in ("none", b"none"):
            return None
        return Task(key, "gelu", {"rows": 1, "n": math.prod(shape)})
    skip = key.op_type == "SkipLayerNormalization"
    shapes = [_shape(t) for t in key.operand_types()]
    weights = shapes[2:] if skip else shapes[1:]
    last = int(attrs.get("axis", -1)) in (-1, len(shape) - 1)
    if len(key.outputs) > 1 or len(weights) != 2 or set(weights) != {shape[-1:]} or not last:
        return None
    if skip and shapes[0] != shapes[1]:
        return None
    epsilon = round(float(attrs.get("epsilon", 1e-5)) * 1e15)
    dims = {"rows": math.prod(shape[:-1]), "n": shape[-1], "skip": int(skip)}
    return Task(key, "norm", {**dims, "epsilon_e15": epsilon}, constants=_constants(key))


_READERS: dict[str, Callable[[OpKey], Task | None]] = {
    "Gemm": _product,
    "MatMul": _product,
    "com.microsoft:FusedGemm": _product,
    "com.microsoft:FusedMatMul": _product,
    f"{NCHWC}:Conv": _conv,
    "Softmax": _rows,
    "Gelu": _rows,
    "com.microsoft:Gelu": _rows,
    "LayerNormalization": _rows,
    "com.microsoft:SkipLayerNormalization": _rows,
}


def operator_types() -> list[str]:
    """Types of operators that a space may exist for."""
    return sorted(_READERS)
