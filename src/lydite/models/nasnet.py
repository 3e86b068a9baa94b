"""NASNet-A: a normal and a reduction cell that a search found, stacked.

arXiv:1707.07012, figure 4; sizes, paddings and the order of operations as in TensorFlow's
implementation, without the auxiliary head.
"""

from __future__ import annotations

from lydite.graph import Builder, Graph, Tensor
from lydite.models.dimensions_vision import NASNet
from lydite.models.parts import classifier, conv_bn, vision

_EPS = 1e-3
_STAGES = 3

Step = tuple[str | int, int, str | int, int]
"""Two operations, each with the state that it takes; their sum is the next state.

A number is the kernel of a separable convolution done twice, "Max" and "Average" are 3x3 pools,
"" passes on. State 0 is the cell's input, 1 the one before it."""

_NORMAL: tuple[Step, ...] = (
    (5, 0, 3, 1),
    (5, 1, 3, 1),
    ("Average", 0, "", 1),
    ("Average", 1, "Average", 1),
    (3, 0, "", 0),
)
_REDUCTION: tuple[Step, ...] = (
    (5, 0, 7, 1),
    ("Max", 0, 7, 1),
    ("Average", 0, 5, 1),
    ("", 3, "Average", 2),
    (3, 2, "Max", 0),
)


def nasnet(size: NASNet, *, batch: int, image_size: int, dtype: str) -> Graph:
    """NASNet-A for 1000 classes."""
    g, x = vision("nasnet", dtype, batch, image_size)
    first = conv_bn(g, x, size.stem, 3, stride=2, eps=_EPS)
    previous = _reduced(g, first, None, size.filters // 4)
    x = _reduced(g, previous, first, size.filters // 2)
    for stage in range(_STAGES):
        filters = size.filters << stage
        if stage:
            smaller = _reduced(g, x, previous, filters)
            previous, x = previous if size.skips else x, smaller
        for _ in range(size.cells):
            previous, x = x, _normal(g, x, previous, filters)
    return g.build(classifier(g, g.relu(x)))


def _normal(g: Builder, x: Tensor, previous: Tensor, filters: int) -> Tensor:
    return g.concat(_states(g, x, previous, filters, _NORMAL, 1)[1:], 1)


def _reduced(g: Builder, x: Tensor, previous: Tensor | None, filters: int) -> Tensor:
    """Half the height and width."""
    return g.concat(_states(g, x, previous, filters, _REDUCTION, 2)[3:], 1)


def _states(
    g: Builder,
    x: Tensor,
    previous: Tensor | None,
    filters: int,
    steps: tuple[Step, ...],
    stride: int,
) -> list[Tensor]:
    """A cell's two inputs, then a state for each step; what halves are the two inputs."""
    before = x if previous is None else _fitted(g, previous, x, filters)
    states = [conv_bn(g, g.relu(x), filters, 1, eps=_EPS), before]
    for left, i, right, j in steps:
        one = _operation(g, left, states[i], filters, stride if i < 2 else 1)
        two = _operation(g, right, states[j], filters, stride if j < 2 else 1)
        states.append(one + two)
    return states


def _operation(g: Builder, kind: str | int, x: Tensor, filters: int, stride: int) -> Tensor:
    if isinstance(kind, str):
        return g.pool(kind, x, 3, stride=stride, pad="same") if kind else x
    for step in (stride, 1):
        channels = x.shape[1]
        x = g.conv(g.relu(x), channels, kind, stride=step, pad="same", group=channels, bias=False)
        x = conv_bn(g, x, filters, 1, eps=_EPS)
    return x


def _fitted(g: Builder, previous: Tensor, x: Tensor, filters: int) -> Tensor:
    """The state before with the height and width of x, and so many filters."""
    if previous.shape[2] != x.shape[2]:
        return _halved(g, g.relu(previous), filters)
    if previous.shape[1] != filters:
        return conv_bn(g, g.relu(previous), filters, 1, eps=_EPS)
    return previous


def _halved(g: Builder, x: Tensor, filters: int) -> Tensor:
    """Every second position, and those one further right and down, each with half the filters."""
    # Padded, then cut: ONNX Runtime folds a Pad right before a pool into one that it refuses.
    padded = g.op("Pad", x, g.constant([0] * 6 + [1, 1], "pads"))
    bounds = ((1, 1), padded.shape[2:], (2, 3))
    moved = g.op("Slice", padded, *(g.constant(bound, "bound") for bound in bounds))
    paths = [
        g.conv(g.pool("Average", part, 1, stride=2), filters // 2, 1, bias=False)
        for part in (x, moved)
    ]
    return g.batch_norm(g.concat(paths, 1), eps=_EPS)
