"""Backward passes of recurrent layers: gradients of the data step by step, of the weights at once.

Gates are in ONNX's order: i, o, f, c (LSTM) and z, r, h (GRU, reset after the product).
"""

from __future__ import annotations

from typing import Any

import torch

from lydite.backends.torch_ops import Attrs, Tensors, Translation

_WIDTH = {"RNN": 1, "GRU": 3, "LSTM": 4}


def _backwards(attrs: Attrs, direction: int) -> bool:
    return attrs.get("direction", "forward") == "reverse" or direction == 1


def _data(cell: str) -> Translation:
    """Gradient of X, of the gates and of the first states.

    Inputs: X, W, R, B, Y, first states, gradients of Y and of the last states, saved gates and
    cells.
    """
    states = 2 if cell == "LSTM" else 1

    def rule(inputs: Tensors, attrs: Attrs) -> Any:
        given = [*inputs, *[None] * 12]
        weight, state, y = given[1], given[2], given[4]
        firsts, rest = given[5 : 5 + states], given[5 + states :]
        dy, lasts, saved = rest[0], rest[1 : 1 + states], rest[1 + states :]
        dx, gates, begins = None, [], []
        for d in range(weight.shape[0]):
            back = _backwards(attrs, d)
            steps = _Steps(d, back, y, dy, lasts, firsts, saved)
            slopes, begin = _WALKS[cell](steps, state[d])
            slopes = slopes.flip(0) if back else slopes
            part = slopes[..., : weight.shape[1]] @ weight[d]
            dx = part if dx is None else dx + part
            gates.append(slopes)
            begins.append(begin)
        first = [torch.stack(parts) for parts in zip(*begins, strict=True)]
        return dx, torch.stack(gates, 1), *first

    return rule


class _Steps:
    """One direction's tensors, in the order in which its steps ran."""

    def __init__(
        self, d: int, back: bool, y: Any, dy: Any, lasts: Any, firsts: Any, saved: Any
    ) -> None:
        def one(z: Any) -> Any:
            if z is None:
                return None
            return z[:, d].flip(0) if back else z[:, d]

        self.y = one(y)
        zero = torch.zeros_like(self.y[0])
        self.dy = one(dy) if dy is not None else torch.zeros_like(self.y)
        self.begun = firsts[0] is not None
        self.lasts = [z[d] if z is not None else zero for z in lasts]
        self.firsts = [z[d] if z is not None else zero for z in firsts]
        self.gates, self.cells = one(saved[0]), one(saved[1])


def _rnn(steps: _Steps, state: Any) -> tuple[Any, tuple[Any, ...]]:
    dh, slopes = steps.lasts[0], []
    for t in reversed(range(steps.y.shape[0])):
        slope = (steps.dy[t] + dh) * (1 - steps.y[t] ** 2)
        slopes.append(slope)
        if not t and not steps.begun:
            return torch.stack(slopes[::-1]), ()
        dh = slope @ state
    return torch.stack(slopes[::-1]), (dh,)


def _lstm(steps: _Steps, state: Any) -> tuple[Any, tuple[Any, ...]]:
    (dh, dc), slopes = steps.lasts, []
    for t in reversed(range(steps.y.shape[0])):
        i, o, f, g = steps.gates[t].chunk(4, -1)
        before = steps.cells[t - 1] if t else steps.firsts[1]
        squashed = torch.tanh(steps.cells[t])
        dh = dh + steps.dy[t]
        dc = dc + dh * o * (1 - squashed**2)
        slope = torch.cat(
            (
                dc * g * i * (1 - i),
                dh * squashed * o * (1 - o),
                dc * before * f * (1 - f),
                dc * i * (1 - g**2),
            ),
            -1,
        )
        slopes.append(slope)
        if not t and not steps.begun:
            return torch.stack(slopes[::-1]), ()
        dh, dc = slope @ state, dc * f
    return torch.stack(slopes[::-1]), (dh, dc)


def _gru(steps: _Steps, state: Any) -> tuple[Any, tuple[Any, ...]]:
    """Backward pass of a GRU direction, last step first.

    The fourth part of each slope is the new gate's, times the reset gate: R and its bias use it.
    """
    dh, slopes = steps.lasts[0], []
    for t in reversed(range(steps.y.shape[0])):
        z, r, n, recurrent = steps.gates[t].chunk(4, -1)
        before = steps.y[t - 1] if t else steps.firsts[0]
        dh = dh + steps.dy[t]
        new = dh * (1 - z) * (1 - n**2)
        update = dh * (before - n) * z * (1 - z)
        reset = new * recurrent * r * (1 - r)
        slopes.append(torch.cat((update, reset, new, new * r), -1))
        if not t and not steps.begun:
            return torch.stack(slopes[::-1]), ()
        dh = dh * z + torch.cat((update, reset, new * r), -1) @ state
    return torch.stack(slopes[::-1]), (dh,)


_WALKS = {"RNN": _rnn, "GRU": _gru, "LSTM": _lstm}


def _weights(cell: str) -> Translation:
    """Gradients of W, R and B, from the gradients of the gates, X, Y and the first state."""

    def rule(inputs: Tensors, attrs: Attrs) -> Any:
        gates, x, y = inputs[:3]
        first = inputs[3] if len(inputs) > 3 else None
        hidden = y.shape[-1]
        rows = _WIDTH[cell] * hidden
        gradients: list[list[Any]] = []
        for d in range(y.shape[1]):
            slopes = gates[:, d]
            start = (first[d] if first is not None else torch.zeros_like(y[0, d]))[None]
            outputs = y[:, d]
            before = (
                torch.cat((outputs[1:], start))
                if _backwards(attrs, d)
                else torch.cat((start, outputs[:-1]))
            )
            into, inside = slopes[..., :rows], slopes[..., :rows]
            if cell == "GRU":
                inside = torch.cat((slopes[..., : 2 * hidden], slopes[..., 3 * hidden :]), -1)
            gradients.append(
                [
                    into.flatten(0, 1).t() @ x.flatten(0, 1),
                    inside.flatten(0, 1).t() @ before.flatten(0, 1),
                    torch.cat((into.sum((0, 1)), inside.sum((0, 1)))),
                ]
            )
        return [torch.stack(parts) for parts in zip(*gradients, strict=True)]

    return rule


RECURRENT: dict[str, Translation] = {
    **{f"lydite:{cell}InputGrad": _data(cell) for cell in _WIDTH},
    **{f"lydite:{cell}WeightGrad": _weights(cell) for cell in _WIDTH},
}
