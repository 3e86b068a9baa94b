"""Recurrent layers: per step and direction, the matrix products of the gates and their functions.

For every sample and step a gate multiplies the input (length I) and the state (length H) by H
columns: 2 H (I + H), plus two biases (2 H) if given. LSTM has 4 gates, GRU 3, RNN 1. Functions
are counted by their names in `activations` (sigmoid and tanh by default).
"""

from __future__ import annotations

from lydite.graph.operators import products
from lydite.graph.operators.call import Call, Cost, NotKnownError, WorkRule
from lydite.graph.operators.elementwise import activation
from lydite.graph.operators.missing import runtimes, usual
from lydite.graph.operators.operator import SAVED_FORM, Family, Operator, Saving
from lydite.graph.operators.typing.contrib import quantised_lstm

_DEFAULTS = {1: ("Tanh",), 3: ("Sigmoid", "Tanh"), 4: ("Sigmoid", "Tanh", "Tanh")}
_OTHER = {1: 0, 3: 5, 4: 4}
"""Additions and multiplications that combine gates, state and output, per state element."""


def _functions(gates: int, names: list[str]) -> float:
    """FLOPs of the activation functions per state element, by gate."""
    uses = {1: (1,), 3: (2, 1), 4: (3, 1, 1)}[gates]
    return sum(n * activation(name) for n, name in zip(uses, names, strict=False))


def recurrent_work(gates: int, *, bias: int = 3, peephole: int = 7) -> WorkRule:
    """Work of a layer with `gates` gates; `bias` and `peephole` are the indices of these inputs."""

    def rule(call: Call) -> Cost:
        steps, batch, length, directions, hidden = _sizes(call, gates)
        given = call.attrs.get("activations")
        named = [str(n) for n in given] if isinstance(given, list | tuple) else []
        each = 2 * gates * (length + hidden) + (2 * gates if call.has(bias) else 0)
        each += _functions(gates, named or list(_DEFAULTS[gates])) + _OTHER[gates]
        if gates == 4 and call.has(peephole):
            each += 6
        return Cost(steps * batch * directions * hidden * each)

    return rule


def _sizes(call: Call, gates: int) -> tuple[int, int, int, int, int]:
    """Number of steps, batch size, input length, number of directions, state length."""
    dims, weight = call.shape(0), call.shape(1)
    if len(dims) != 3 or len(weight) != 3:
        raise NotKnownError
    steps, batch, length = dims
    if call.integer("layout", 0):
        steps, batch = batch, steps
    directions = 2 if call.text("direction", "forward") == "bidirectional" else 1
    if call.attrs.get("hidden_size") is not None:
        return steps, batch, length, directions, call.integer("hidden_size")
    return steps, batch, length, directions, weight[1] // gates


_standard = Family("recurrent", usual(precision="low", gradient=SAVED_FORM))
_SAVED_OUTPUTS = {"RNN": 2, "GRU": 3, "LSTM": 5}
_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}

OPERATORS: tuple[Operator, ...] = (
    *(
        _standard.row(
            name,
            recurrent_work(gates),
            saving=Saving(f"{name}Training", "lydite", _SAVED_OUTPUTS[name]),
            array=products.recurrent(gates),
        )
        for name, gates in _GATES.items()
    ),
    Family("recurrent", runtimes()).row(
        "com.microsoft:DynamicQuantizeLSTM",
        recurrent_work(4),
        types=quantised_lstm,
        array=products.recurrent(4),
    ),
)
