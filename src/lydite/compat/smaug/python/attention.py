"""SMAUG's attention over the steps of a memory."""

from __future__ import annotations

from lydite.compat.smaug.python import math
from lydite.compat.smaug.python.activations import softmax, tanh
from lydite.compat.smaug.python.array import concat, expand_dims, reorder, reshape, split, unstack
from lydite.compat.smaug.python.dense import mat_mul
from lydite.compat.smaug.python.graph import Tensor, misfit


class BahdanauAttention:
    """Additive attention (Bahdanau et al., arXiv:1409.0473): tanh(query + keys) * w_alignment.

    Args:
        memory: Keys, NTC [batch, time, depth].
        w_encoder, w_decoder: Weights of memory and query, NC [depth, depth].
        w_alignment: Weights of the alignment, NC [1, depth].
        name: Prefix of node names.
    """

    def __init__(
        self,
        memory: Tensor,
        w_encoder: Tensor,
        w_decoder: Tensor,
        w_alignment: Tensor,
        name: str = "bahdanau_attention",
    ) -> None:
        if memory.layout != "NTC":
            raise misfit(name, "BahdanauAttention", "a memory NTC", memory)
        self.name = f"{name}:"
        self.batch, self.time, self.depth = memory.dims
        self.memory, self.w_decoder, self.w_alignment = memory, w_decoder, w_alignment
        prefix = f"{self.name}:mem_layer:"
        flat = reshape(memory, [self.batch * self.time, self.depth], "NC", f"{prefix}reshape0")
        keys = mat_mul(flat, w_encoder, name=f"{prefix}mm")
        self.keys = reshape(keys, memory.dims, "NTC", f"{prefix}reshape1")

    def __call__(self, query: Tensor) -> Tensor:
        """The context [batch, depth] of a query [batch, depth]."""
        score = self._score(mat_mul(query, self.w_decoder, name=f"{self.name}query_layer"))
        alignment = softmax(score, name=f"{self.name}softmax")
        rows = split(alignment, self.batch, 0, name=f"{self.name}split")
        values = unstack(reorder(self.memory, "NCT"), 0, name=f"{self.name}unstack")
        context = [
            mat_mul(row, value, name=f"{self.name}mm")
            for row, value in zip(rows, values, strict=True)
        ]
        return concat(context, 0, name=f"{self.name}concat") if len(context) > 1 else context[0]

    def _score(self, query: Tensor) -> Tensor:
        """Score of each step, [batch, time]."""
        prefix = f"{self.name}:score:"
        wide = expand_dims(query, 1, name=f"{prefix}expand")
        fit = tanh(math.add(self.keys, wide, name=f"{prefix}add"), name=f"{prefix}stack")
        flat = reshape(fit, [self.batch * self.time, self.depth], "NC", f"{prefix}reshape0")
        scores = mat_mul(flat, self.w_alignment, name=f"{prefix}mm")
        return reshape(scores, [self.batch, self.time], "NC", f"{prefix}reshape1")
