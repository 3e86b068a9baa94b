"""Bytes between two uses, worked out by hand on small graphs."""

from lydite.graph import Builder, keys_of, spans_of
from lydite.graph.reuse import input_spans, weight_spans

KIB = 1024


def waiting():
    """x of 64 KiB, used at once and again after three results of as many bytes."""
    g = Builder("waiting")
    x = g.input("x", (1, 16, 32, 32))
    y = g.relu(x)
    z = g.op("Exp", g.op("Neg", y))
    return g.build(g.op("Add", z, x))


def test_an_input_waits_for_what_is_made_in_between():
    spans = {op: span // KIB for op, span in input_spans(waiting()).items()}
    relu, neg, exp, add = spans.values()
    assert (relu, neg, exp) == (64, 64, 64)
    # both operands, and for x, half of the bytes, the results of Neg and Exp (two live at once)
    assert add == 128 + 128 // 2


def test_views_move_nothing_and_share_the_memory_of_their_input():
    g = Builder("views")
    x = g.input("x", (1, 16, 32, 32))
    y = g.reshape(g.relu(x), [16, 1024])
    graph = g.build(g.op("Exp", y))
    assert input_spans(graph)[graph.ops[-1].name] == 64 * KIB


def test_a_weight_comes_round_after_all_others():
    g = Builder("linear")
    x = g.input("x", (1, 64))
    graph = g.build(g.linear(g.linear(x, 256, bias=False), 64, bias=False))
    spans = weight_spans(graph)
    both, alive = 2 * 64 * 256 * 4, (256 + 64) * 4
    assert set(spans.values()) == {both + alive}


def test_an_operator_is_known_by_the_span_of_what_bounds_it():
    graph = waiting()
    keys = keys_of(graph)
    spans = spans_of(graph)
    assert spans[keys[graph.ops[-1].name]] == 192 * KIB
