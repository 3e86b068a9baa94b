"""Gradients of layers that carry a state over the tokens, and of experts of a single product.

Work is that of reverse-mode differentiation of each layer's recurrence, with the states computed
again, as the kernels of Mamba (arXiv:2312.00752, section 3.3.2) and of linear attention do, which
keep none of them: they would be as many times larger than the input as a state has entries.
"""

from __future__ import annotations

import math

from lydite.graph.operators.attention import state_update
from lydite.graph.operators.call import Call, Cost, at
from lydite.graph.operators.elementwise import activation
from lydite.graph.operators.language import routing
from lydite.graph.operators.missing import BEHIND_SPLIT, SECOND_ORDER, no_array, usual
from lydite.graph.operators.operator import Family, Operator
from lydite.graph.operators.products import MatrixProduct, Products
from lydite.graph.operators.typing import lydite as typed

_SCAN_AGAIN = 6
"""FLOPs an entry of the state and a token: decay, input, and their sum, once more."""

_SCAN_BACK = 16
"""C's gradient 2, the state's 2 and its decay 1, the decay's 2, the step's 4, A's 2, B's 3."""


def _convolution(call: Call) -> Cost:
    """Inputs are dy and x [B, C, S], weight [C, 1, K], bias [C], earlier samples [B, C, K - 1].

    Two FLOPs a tap for the data, two for the weights; the activation needs the forward result.
    """
    taps = math.prod(call.shape(2)[1:])
    named = call.text("activation", "none")
    again = 2 * taps + activation(named) + 2 if activation(named) else 0
    return Cost((4 * taps + call.has(3) + again) * call.count(0))


def linear_gradient_flops(
    tokens: float, heads: int, shared: int, size: int, update: float
) -> float:
    """FLOPs of linear attention's gradient.

    Args:
        tokens: Tokens of all samples.
        heads: Query heads.
        shared: Heads of keys and values, each with a state.
        size: Entries of a head's state.
        update: FLOPs that bring an entry of the state from one token to the next.

    An entry is updated again; key and value take a product each, query and state one for every
    query head. What the update adds to its outer product, decay and correction, is met twice as
    often on the way back as forward.
    """
    back = 4 + 2 * (update - 2)
    return tokens * size * (shared * (update + back) + heads * 4)


def _linear(call: Call) -> Cost:
    """Inputs are dy, query, key, value, state, decay, beta."""
    batch, tokens, width = call.shape(1)
    heads, shared = call.integer("q_num_heads"), call.integer("kv_num_heads")
    key = width // max(1, heads)
    size = key * (at(call.shape(3), -1) // max(1, shared))
    update = state_update(call, key)
    return Cost(linear_gradient_flops(batch * tokens, heads, shared, size, update))


def _scan(call: Call) -> Cost:
    """Inputs are dy, x and step [B, S, D], A [D, N], B and C [B, S, N], D [D], state [B, D, N]."""
    entries = call.count(1) * call.shape(3)[1]
    return Cost((_SCAN_AGAIN + _SCAN_BACK) * entries + 6 * call.count(1))


def _used(call: Call, number: int) -> float:
    """Share of the matrices that some token chooses, with choices spread evenly."""
    tokens, chosen = routing(call)
    return 1 - (1 - min(1, chosen / max(1, number))) ** tokens


def _routed_data(call: Call) -> Cost:
    """Inputs are dy, choices [T, k], matrices [E, K, N]: dy times each token's, transposed."""
    tokens, chosen = routing(call)
    number, *sizes = call.shape(2)
    read = call.bytes_of(0, 1) + _used(call, number) * call.bytes_of(2)
    return Cost(2 * tokens * chosen * math.prod(sizes), read)


def _routed_weights(call: Call) -> Cost:
    """Inputs are dy, choices [T, k], x; every matrix's gradient is written, zeros as well."""
    tokens, chosen = routing(call)
    return Cost(2 * tokens * chosen * math.prod(call.integers("shape")[1:]))


def _data_products(call: Call) -> Products:
    tokens, chosen = routing(call)
    number, inner, columns = call.shape(2)
    used = max(1, min(number, tokens * chosen))
    rows = -(-tokens * chosen // used)
    product = MatrixProduct(rows, columns, inner, used, left=(0,), right=(2,), stored=True)
    return Products((product,))


def _weight_products(call: Call) -> Products:
    tokens, chosen = routing(call)
    number, inner, columns = call.integers("shape")
    used = max(1, min(number, tokens * chosen))
    rows = -(-tokens * chosen // used)
    product = MatrixProduct(inner, rows, columns, used, left=(2,), right=(0,), stored=True)
    return Products((product,))


_gradients = Family("gradient", usual(gradient=SECOND_ORDER, split=BEHIND_SPLIT))

OPERATORS: tuple[Operator, ...] = (
    _gradients.row("lydite:CausalConvWithStateGrad", _convolution, types=typed.like_named),
    _gradients.row(
        "lydite:LinearAttentionGrad",
        _linear,
        types=typed.like_named,
        array=no_array("its products depend on how it is cut into blocks"),
    ),
    _gradients.row(
        "lydite:SelectiveScanGrad",
        _scan,
        types=typed.like_named,
        array=no_array("a recurrence over tokens, which is neither a product nor a map"),
        special=True,
    ),
    _gradients.row(
        "lydite:MoEMatMulInputGrad", _routed_data, types=typed.by_shape, array=_data_products
    ),
    _gradients.row(
        "lydite:MoEMatMulWeightGrad", _routed_weights, types=typed.by_shape, array=_weight_products
    ),
)
