"""Parameters and multiply-adds of the models against what others publish, and by closed form."""

from __future__ import annotations

import pytest

from lydite.errors import GraphError
from lydite.graph import Builder
from lydite.models import build_model, describe, model_names
from lydite.models.counts import multiply_adds

PUBLISHED = [name for name in model_names() if describe(name).published is not None]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts(name, default_graph):
    graph, published = default_graph(name), describe(name).published
    assert published.parameters or published.multiply_adds
    assert published.source
    assert 0 < published.tolerance < 0.1
    if published.parameters is not None:
        assert graph.parameter_count == pytest.approx(published.parameters, rel=published.tolerance)
    if published.multiply_adds is not None:
        theirs = pytest.approx(published.multiply_adds, rel=published.tolerance)
        assert multiply_adds(graph) == theirs


EXACT = {
    "alexnet": 61_100_840,
    "vgg16": 138_357_544,
    "resnet50": 25_557_032,
    "mobilenetv2": 3_504_872,
    "inceptionv3": 27_161_264 - 3_326_696,  # torchvision's count less its auxiliary head
    "gpt2": 124_439_808,
    "llama2-7b": 6_738_415_616,
    "llama3-8b": 8_030_261_248,
    "mixtral-8x7b": 46_702_792_704,
    "sd15-unet": 859_520_964,
    "sd15-vae-decoder": 49_490_179 + 20,
}


@pytest.mark.parametrize("name", EXACT)
def test_parameters_are_exact(name, default_graph, default_work):
    parameters = default_work(name).total.parameters
    assert default_graph(name).parameter_count == parameters == EXACT[name]


@pytest.mark.parametrize("name", model_names())
def test_products_are_part_of_the_work(name, default_graph, default_work):
    assert 0 < 2 * multiply_adds(default_graph(name)) <= default_work(name).total.flops


def bert_parameters(layers: int, hidden: int) -> int:
    embeddings = (30522 + 512 + 2) * hidden + 2 * hidden
    attention = 4 * (hidden * hidden + hidden)
    dense = 2 * 4 * hidden * hidden + 4 * hidden + hidden
    return embeddings + layers * (attention + dense + 4 * hidden) + hidden * hidden + hidden


def bert_macs(layers: int, hidden: int, sequence: int) -> int:
    projections = 4 * hidden * hidden + 2 * 4 * hidden * hidden
    attention = 2 * sequence * hidden
    return layers * sequence * (projections + attention) + hidden * hidden


@pytest.mark.parametrize(
    ("name", "layers", "hidden"), [("bert-base", 12, 768), ("bert-large", 24, 1024)]
)
@pytest.mark.parametrize("sequence", [16, 128])
def test_bert_counts(name, layers, hidden, sequence):
    graph = build_model(name, sequence=sequence)
    assert graph.parameter_count == bert_parameters(layers, hidden)
    assert multiply_adds(graph) == bert_macs(layers, hidden, sequence)


def product(op_type: str, *shapes: tuple[int, ...], outputs: int = 1, **attrs) -> int:
    """Multiply-adds of one operator whose inputs have these shapes; () leaves one out."""
    g = Builder("one", opset=24)
    inputs = [g.input(f"x{i}", shape) if shape else None for i, shape in enumerate(shapes)]
    return multiply_adds(g.build(*g.ops(op_type, *inputs, outputs=outputs, **attrs)))


def test_each_product_by_hand():
    assert product("MatMul", (7, 2, 3), (3, 5)) == 7 * 2 * 3 * 5
    assert product("Gemm", (3, 2), (3, 5), transA=1) == 2 * 3 * 5
    assert product("Einsum", (4, 2, 3), (4, 3, 5), equation="bij,bjk->bik") == 4 * 2 * 3 * 5
    assert product("Conv", (1, 4, 8, 8), (6, 2, 3, 3), group=2) == 6 * 6 * 6 * 2 * 9
    assert product("ConvTranspose", (1, 4, 8, 8), (4, 6, 2, 2), strides=[2, 2]) == 4 * 64 * 6 * 4
    heads = {"q_num_heads": 4, "kv_num_heads": 2}
    grouped = product("Attention", (2, 5, 32), (2, 5, 16), (2, 5, 16), **heads)
    assert grouped == 2 * 4 * 5 * 5 * (8 + 8)
    sixty = (2, 2, 60, 8)
    cached = product(
        "Attention", (2, 1, 32), (2, 1, 16), (2, 1, 16), (), sixty, sixty, outputs=3, **heads
    )
    assert cached == 2 * 4 * 61 * (8 + 8)


@pytest.mark.parametrize(("op_type", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_recurrent_layers_count_their_matrices(op_type, gates):
    dims = ((7, 2, 3), (2, gates * 5, 3), (2, gates * 5, 5))
    found = product(op_type, *dims, hidden_size=5, direction="bidirectional")
    assert found == 7 * 2 * 2 * gates * 5 * (3 + 5)


def test_open_sizes_and_unreadable_products_are_refused():
    g = Builder("open")
    with pytest.raises(GraphError, match="the sizes of 'x' are open"):
        multiply_adds(g.build(g.linear(g.input("x", ("n", 3)), 4)))
    with pytest.raises(GraphError, match="is no product of two"):
        product("Einsum", (2, 3), (3, 4), (4, 5), equation="ij,jk,kl->il")
