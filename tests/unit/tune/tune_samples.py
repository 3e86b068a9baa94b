"""Tasks to test with, as ONNX Runtime's graphs hold them."""

from __future__ import annotations

from lydite.backends.tuned import Machine, Task, task_of
from lydite.backends.tuned.task import NCHWC
from lydite.opkey import Operand, OpKey, TensorType

HERE = Machine("made-up", 16, 32)


def floats(*shape: int) -> TensorType:
    return TensorType("float32", shape)


def const(*shape: int) -> Operand:
    return Operand(floats(*shape), const=True)


def conv_key(c: int, size: int, o: int, kernel: int = 3, stride: int = 1, group: int = 1, **attrs):
    pad = kernel // 2
    out = (size + 2 * pad - kernel) // stride + 1
    return OpKey(
        "Conv",
        (Operand(floats(1, c, size, size)), const(o, c // group, kernel, kernel), const(o)),
        (floats(1, o, out, out),),
        {
            "auto_pad": "NOTSET",
            "dilations": [1, 1],
            "group": group,
            "kernel_shape": [kernel, kernel],
            "pads": [pad] * 4,
            "strides": [stride] * 2,
            **attrs,
        },
        NCHWC,
    )


def gemm_key(m: int, n: int, k: int) -> OpKey:
    inputs = (Operand(floats(m, k)), const(n, k), const(n))
    return OpKey("Gemm", inputs, (floats(m, n),), {"transB": 1}, version=13)


def row_key(op_type: str, *shape: int, version: int = 13) -> OpKey:
    return OpKey(op_type, (Operand(floats(*shape)),), (floats(*shape),), version=version)


def norm_key(*shape: int) -> OpKey:
    inputs = (Operand(floats(*shape)), const(shape[-1]), const(shape[-1]))
    return OpKey("LayerNormalization", inputs, (floats(*shape),), {"epsilon": 1e-5}, version=17)


def task(key: OpKey) -> Task:
    made = task_of(key)
    assert made is not None
    return made
