"""Blocks of models that end with their last repeated layer."""

from __future__ import annotations

from lydite.cluster.blocks import in_blocks
from lydite.graph import Builder
from lydite.graph.training.step import with_loss


def test_the_answer_of_the_last_layer_is_that_of_the_one_that_stands_for_all():
    g = Builder("encoder", dtype="float32")
    x = g.input("x", (2, 8, 16))
    for _ in range(6):
        x = g.layer_norm(x + g.op("Gelu", g.linear(x, 16, name="up")))
    whole = g.build(x)
    blocks = in_blocks(whole)
    assert [block.count for block in blocks.blocks] == [6]
    (answer,) = blocks.graph.outputs
    assert blocks.graph.type_of(answer) == whole.type_of(whole.outputs[0])
    assert len(with_loss(blocks.graph, "mean_square").outputs) == 1
