"""The networks that come with SMAUG, named and ordered as in its own topologies.

SMAUG pads by k - 1 in total for any stride, has no biases, and flattens the last image into the
dense layers. Layers are named as SMAUG names them; a layer's activation is named after it, so that
SMAUG's files get it fused.
"""

from __future__ import annotations

from lydite.graph import Builder, Graph, Tensor

_CONV, _POOL, _NORM = "conv", "pool", "norm"
_CNN = (
    (_CONV, 32),
    (_NORM, 0),
    (_CONV, 32),
    (_POOL, 0),
    (_NORM, 0),
    (_CONV, 64),
    (_CONV, 64),
    (_POOL, 0),
    (_NORM, 0),
)
_VGG = (
    (_CONV, 64),
    (_CONV, 128),
    (_POOL, 0),
    (_CONV, 128),
    (_CONV, 128),
    (_POOL, 0),
    (_CONV, 256),
    (_CONV, 256),
    (_CONV, 256),
    (_POOL, 0),
    (_CONV, 512),
    (_CONV, 512),
    (_CONV, 512),
    (_POOL, 0),
)
_ELU = (  # (channels, kernel) by stack
    ((192, 5),),
    ((192, 1), (240, 3)),
    ((240, 1), (260, 2)),
    ((260, 1), (280, 2)),
    ((280, 1), (300, 2)),
    ((300, 1),),
    ((100, 1),),
)
_LARGE_ELU = (
    ((384, 3),),
    ((384, 1), (384, 2), (640, 2), (640, 2)),
    ((640, 1), (768, 2), (768, 2), (768, 2)),
    ((768, 1), (896, 2), (896, 2)),
    ((896, 3), (1024, 2), (1024, 2)),
    ((1024, 1), (1152, 2)),
    ((1152, 1),),
    ((100, 1),),
)
_POOLED_STACKS = 5
_ALPHA = 0.1
_RESNET = ((64, 3), (128, 4), (256, 6), (512, 3))  # width, blocks
_DEPTH = _UNITS = 32


def vision(name: str, dtype: str, batch: int, size: int) -> tuple[Builder, Tensor]:
    """A builder and its input, square colour images; operators know bfloat16 since opset 22."""
    g = Builder(name, dtype=dtype, opset=22 if dtype == "bfloat16" else 20)
    return g, g.input("image", (batch, 3, size, size))


def minerva(batch: int, dtype: str) -> Graph:
    """Minerva: a perceptron for MNIST with three hidden layers of 256."""
    g, x = _digits("minerva", batch, dtype)
    return g.build(_classifier(g, x, 256, 256, 256, 10))


def lenet5(batch: int, dtype: str) -> Graph:
    """LeNet-5 as SMAUG has it: two convolutions of 32 filters for MNIST, unpadded."""
    g, x = _digits("lenet5", batch, dtype)
    for _ in range(2):
        x = _activated(g, g.conv(x, 32, 3, bias=False), "Relu")
    return g.build(_classifier(g, _max_pool(g, x), 128, 10))


def cifar10_cnn(batch: int, dtype: str) -> Graph:
    """Four convolutions with batch normalisation for CIFAR-10."""
    g, x = vision("cifar10-cnn", dtype, batch, 32)
    return g.build(_classifier(g, _plain(g, x, _CNN), 512, 10))


def cifar10_vgg(batch: int, dtype: str) -> Graph:
    """Ten convolutions in the manner of VGG for CIFAR-10."""
    g, x = vision("cifar10-vgg", dtype, batch, 32)
    return g.build(_classifier(g, _plain(g, x, _VGG), 512, 10))


def cifar100_elu(batch: int, dtype: str) -> Graph:
    """Eleven convolutions with exponential linear units for CIFAR-100."""
    return _elu_stacks("cifar100-elu", _ELU, batch, dtype)


def large_elu(batch: int, dtype: str) -> Graph:
    """Nineteen convolutions with exponential linear units for CIFAR-100."""
    return _elu_stacks("large-elu", _LARGE_ELU, batch, dtype)


def imagenet_resnet(batch: int, image_size: int, dtype: str) -> Graph:
    """ResNet-50 without the average before its classifier, which has 10 classes."""
    g, x = vision("imagenet-resnet", dtype, batch, image_size)
    x = _normal(g, _same(g, x, 64, 7, "conv0", stride=2), "bn0", activated=True)
    x = _max_pool(g, x, 3, "pool")
    for stage, (width, blocks) in enumerate(_RESNET, start=2):
        for letter in "abcdef"[:blocks]:
            x = _bottleneck(g, x, width, stage, letter)
    return g.build(_classifier(g, x, 10, name="fc"))


def smaug_lstm(batch: int, sequence: int, dtype: str) -> Graph:
    """Two LSTM layers of 32 units, unrolled; their first states are inputs."""
    g, steps = _sequence("smaug-lstm", batch, sequence, dtype)
    for layer in range(2):
        steps = _lstm(g, steps, f"lstm{layer}")
    return g.build(steps[-1])


def smaug_bilstm(batch: int, sequence: int, dtype: str) -> Graph:
    """One LSTM layer of 32 units in both directions, unrolled; their first states are inputs."""
    g, steps = _sequence("smaug-bilstm", batch, sequence, dtype)
    forward = _lstm(g, steps, "bidir_lstm:fwd_lstm")
    backward = _lstm(g, steps[::-1], "bidir_lstm:bwd_lstm")
    both = zip(forward, backward, strict=True)
    return g.build(*(g.op("Concat", f, b, axis=1, name="bidir_lstm:concat") for f, b in both))


def _digits(name: str, batch: int, dtype: str) -> tuple[Builder, Tensor]:
    g = Builder(name, dtype=dtype, opset=22 if dtype == "bfloat16" else 20)
    return g, g.input("data", (batch, 1, 28, 28))


def _activated(g: Builder, x: Tensor, op_type: str, **attrs: float) -> Tensor:
    """An activation named after its layer."""
    layer = x.name.removesuffix(".out")
    return g.op(op_type, x, name=f"{layer}.{op_type.lower()}", **attrs)


def _same(
    g: Builder, x: Tensor, channels: int, kernel: int, name: str = "conv", *, stride: int = 1
) -> Tensor:
    """A convolution padded by kernel - 1, the larger half first."""
    low, high = kernel // 2, kernel - 1 - kernel // 2
    pads = (low, low, high, high)
    return g.conv(x, channels, kernel, stride=stride, pad=pads, bias=False, name=name)


def _normal(g: Builder, x: Tensor, name: str = "batch_norm", *, activated: bool = False) -> Tensor:
    x = g.batch_norm(x, name=name)
    return _activated(g, x, "Relu") if activated else x


def _max_pool(g: Builder, x: Tensor, size: int = 2, name: str = "max_pool") -> Tensor:
    return g.op("MaxPool", x, kernel_shape=[size, size], strides=[2, 2], name=name)


def _classifier(g: Builder, x: Tensor, *widths: int, name: str = "mat_mul") -> Tensor:
    """Flatten, then dense layers with a ReLU after all but the last."""
    x = g.op("Flatten", x, axis=1, name="reorder")
    for width in widths[:-1]:
        x = _activated(g, g.linear(x, width, bias=False, name=name), "Relu")
    return g.linear(x, widths[-1], bias=False, name=name)


def _plain(g: Builder, x: Tensor, layers: tuple[tuple[str, int], ...]) -> Tensor:
    """A sequence of 3x3 convolutions with ReLU, poolings and normalisations."""
    for kind, channels in layers:
        if kind == _CONV:
            x = _activated(g, _same(g, x, channels, 3), "Relu")
        else:
            x = _max_pool(g, x) if kind == _POOL else _normal(g, x)
    return x


def _elu_stacks(
    name: str, stacks: tuple[tuple[tuple[int, int], ...], ...], batch: int, dtype: str
) -> Graph:
    g, x = vision(name, dtype, batch, 32)
    for number, stack in enumerate(stacks):
        for index, (channels, kernel) in enumerate(stack):
            layer = _same(g, x, channels, kernel, f"conv{index}_stack{number}")
            x = _activated(g, layer, "Elu", alpha=_ALPHA)
        if number < _POOLED_STACKS:
            x = _max_pool(g, x, name=f"pool_stack{number}")
    return g.build(x)


def _bottleneck(g: Builder, x: Tensor, width: int, stage: int, letter: str) -> Tensor:
    label = f"{stage}{letter}"
    first = letter == "a"
    stride = 2 if first and stage > 2 else 1
    name = "batch_norm" if first else f"bn{label}_2a"
    y = _normal(g, _same(g, x, width, 1, f"res{label}_2a"), name, activated=True)
    y = _same(g, y, width, 3, f"res{label}_2b", stride=stride)
    y = _normal(g, y, f"bn{label}_2b", activated=True)
    y = _normal(g, _same(g, y, 4 * width, 1, f"res{label}_2c"), f"bn{label}_2c")
    if first:
        x = _normal(g, _same(g, x, 4 * width, 1, f"res{label}_1", stride=stride), f"bn{label}_1")
    return g.op(
        "Relu", g.op("Add", y, x, name=f"add{stage}_{letter}"), name=f"relu{stage}_{letter}"
    )


def _sequence(name: str, batch: int, steps: int, dtype: str) -> tuple[Builder, list[Tensor]]:
    """A builder, and its input [batch, steps, depth] as one matrix per step."""
    g = Builder(name, dtype=dtype, opset=22 if dtype == "bfloat16" else 20)
    x = g.input("input", (batch, steps, _DEPTH))
    parts = [x]
    if steps > 1:
        sizes = g.constant([1] * steps, "lstm0:unstack:split.split")
        parts = g.ops("Split", x, sizes, outputs=steps, axis=1, name="lstm0:unstack:split")
    shape = g.constant([batch, _DEPTH], "lstm0:unstack:squeeze.shape")
    return g, [g.op("Reshape", part, shape, name="lstm0:unstack:squeeze") for part in parts]


def _lstm(g: Builder, steps: list[Tensor], name: str) -> list[Tensor]:
    """The output of every step; the gates are in the order input, forget, new, output."""
    kernel, recurrent = (g.weight((4 * _UNITS, n), f"{name}.weight") for n in (_DEPTH, _UNITS))
    h, c = (g.input(f"{name}:/{state}", (steps[0].shape[0], _UNITS)) for state in ("h", "c"))
    sizes, found = g.constant([_UNITS] * 4, f"{name}.split"), []
    for number, x in enumerate(steps):
        prefix = f"{name}:step{number}:"
        z = g.op("Gemm", x, kernel, transB=1, name=f"{prefix}mm_f")
        state = g.op("Gemm", h, recurrent, transB=1, name="mm_u")
        z = g.op("Add", z, state, name=f"{prefix}add_z")
        gates = g.ops("Split", z, sizes, outputs=4, axis=1, name="split")
        i = g.op("Sigmoid", gates[0], name=f"{prefix}sigmoid_i")
        f = g.op("Sigmoid", gates[1], name=f"{prefix}sigmoid_f")
        kept = g.op("Mul", f, c, name=f"{prefix}mul_f")
        new = g.op("Tanh", gates[2], name=f"{prefix}act0")
        c = g.op("Add", kept, g.op("Mul", i, new, name=f"{prefix}mul_i"), name=f"{prefix}add_c")
        o = g.op("Sigmoid", gates[3], name=f"{prefix}sigmoid_o")
        h = g.op("Mul", o, g.op("Tanh", c, name=f"{prefix}act1"), name=f"{prefix}mul_h")
        found.append(h)
    return found
