"""Pipeline stages of a model: which layers each has, what it holds, and messages between them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lydite.errors import InputError
from lydite.graph import Graph
from lydite.records import dataclass
from lydite.serving.experts import MessageTime
from lydite.serving.layer_drafts import layers_of
from lydite.serving.template import head_ops
from lydite.serving.times import StepTimes

TENSORS_SENT = 2
"""Tensors of hidden states that a stage sends: vLLM's decoders send their residual apart."""


@dataclass(frozen=True)
class Stages:
    """Layers over pipeline stages.

    Attributes:
        shares: Share of the layers of each stage.
        ranks: Number of ranks of a stage.
        row_bytes: Hidden states of a token.
        across: Time of a message from a rank to its peer of the next stage.
        within: Time of a message between the ranks of a stage.
    """

    shares: tuple[float, ...]
    ranks: int
    row_bytes: float
    across: MessageTime
    within: MessageTime

    def weights_of(self, graph: Graph) -> float:
        """Bytes of the weights of a rank of the fullest stage: its layers, and one end.

        The first stage has the embedding, the last one the head.
        """
        parameters = set(graph.parameters)
        ends = [_first_weights(graph, parameters), _last_weights(graph, parameters)]
        first, last = (
            sum(float(graph.type_of(name).nbytes or 0) for name in names) for names in ends
        )
        both = sum(float(graph.type_of(name).nbytes or 0) for name in ends[0] | ends[1])
        layers = float(graph.parameter_bytes) - both
        middle = max(self.shares) * layers
        return max(middle, self.shares[0] * layers + first, self.shares[-1] * layers + last)

    def send_s(self, tokens: int) -> float:
        """Time of the message of some tokens to the next stage.

        Each rank sends its part of what all ranks of the stage have, and the ranks of the next
        gather the parts (vLLM's `send_tensor_dict` with `all_gather_group`).
        """
        size = TENSORS_SENT * tokens * self.row_bytes
        seconds = self.across("Send", size / self.ranks)
        return seconds + (self.within("AllGather", size) if self.ranks > 1 else 0.0)

    def timed(self, times: StepTimes, tokens: int) -> StepTimes:
        """Step times with these stages, for steps of up to some tokens."""
        grid = np.unique(np.geomspace(1, max(2, tokens), 24).astype(int))
        seconds = [self.send_s(int(count)) for count in grid]
        sends = np.interp(np.arange(grid[-1] + 1), grid, seconds)
        return replace(times, stages=self.shares, send_s=sends)


def stages_of(
    graph: Graph, count: int, ranks: int, across: MessageTime, within: MessageTime, name: str
) -> Stages:
    """The layers of a model over stages, as even as can be.

    What remains goes to the stages from the last but one backwards, since the last has the head
    (vLLM's `get_pp_indices`).

    Args:
        graph: A decoding step.
        count: Number of stages.
        ranks: Number of ranks of each.
        across, within: Times of messages between stages and within one.
        name: Name of the model, for errors.

    Raises:
        InputError: the model has fewer layers than stages.
    """
    layers = layers_of(graph)
    if count > layers:
        raise InputError(
            f"{count} pipeline stages", where=name, allowed=f"1 to {layers}, as it has layers"
        )
    each = np.full(count, layers // count)
    for number in range(layers % count):
        each[-2 - number if count > 1 else 0] += 1
    head = head_ops(graph)
    first = next(op for op in reversed(graph.ops) if op.name in head and _is_product(op, graph))
    x = graph.type_of(first.inputs[0])
    width = float(x.nbytes or 0) / max(1, int((x.shape or (1,))[0]))
    return Stages(tuple(each / layers), ranks, width, across, within)


def _is_product(op, graph: Graph) -> bool:
    return any(name in graph.initializers for name in op.inputs[1:])


def _first_weights(graph: Graph, parameters: set[str]) -> set[str]:
    """Weights of the embedding: what is looked up before the first layer."""
    op = next((op for op in graph.ops if op.op_type == "Gather"), None)
    return set(op.inputs) & parameters if op is not None else set()


def _last_weights(graph: Graph, parameters: set[str]) -> set[str]:
    head = head_ops(graph)
    return {name for op in graph.ops if op.name in head for name in op.inputs} & parameters
