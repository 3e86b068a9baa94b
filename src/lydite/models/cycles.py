"""Two stacks of layers that run in turns, with the same weights in every round (HRM-Text)."""

from __future__ import annotations

from dataclasses import replace

from lydite.graph import Tensor
from lydite.models.dimensions import Decoder
from lydite.models.tokens import Tokens, normed
from lydite.models.transformer import stack


def cycled(x: Tensor, size: Decoder, t: Tokens, per_layer: list[Tensor] | None = None) -> Tensor:
    """States [batch, tokens, hidden] through all rounds, each of which ends with a norm.

    The slow stack runs behind `cycles[1]` rounds of the fast one, `cycles[0]` times. Every round of
    every layer has a cache of its own.

    Args:
        x: States.
        size: Dimensions; all layers of all rounds, in order.
        t: What is known of the tokens; keys and values are kept there.
        per_layer: Must be None: no such model has inputs of single layers.
    """
    assert per_layer is None and size.cycles is not None
    g, (slow_rounds, fast_rounds) = t.g, size.cycles
    rounds = slow_rounds * (fast_rounds + 1)
    count = size.layers // rounds
    slow, fast = x, g.weight((size.hidden,), "fast.start")
    for number in range(rounds):
        is_slow = number % (fast_rounds + 1) == fast_rounds
        first = number * count
        part = replace(size, layers=count, blocks=size.blocks[first : first + count], cycles=None)
        with g.sharing("slow" if is_slow else "fast"):
            y = normed(g, stack(slow + fast, part, t, first=first), size)
        slow, fast = (y, fast) if is_slow else (slow, y)
    return slow
