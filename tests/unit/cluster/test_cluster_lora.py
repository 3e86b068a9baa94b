"""Steps that train low-rank adapters only: parameters, products, messages, memory."""

from __future__ import annotations

import pytest

from lydite.cluster import Plan, simulate_step
from lydite.cluster.rank import rank_step
from lydite.errors import InputError
from lydite.estimate.roofline import Roofline
from lydite.hardware.cluster import read_cluster
from lydite.models import build_model
from lydite.models.decoder import decoder
from lydite.models.dimensions import Decoder

B, S, H, F, LAYERS, RANK = 2, 128, 256, 1024, 4, 8
SIZE = Decoder(
    layers=LAYERS,
    hidden=H,
    heads=8,
    feed_forward=F,
    vocabulary=32000,
    positions=S,
    norm="rms",
    activation="silu",
    gated=True,
    dense_bias=False,
)
PRODUCTS = {name: (H, H) for name in ("query", "key", "value", "attention_output")} | {
    "gate": (H, F),
    "up": (H, F),
    "down": (F, H),
}
"""Rows and columns of a layer's products with weights."""


def net(size: Decoder = SIZE, dtype: str = "bfloat16"):
    return decoder(size, batch=B, sequence=S, phase="forward", dtype=dtype)


def step(unfolded: bool = False, size: Decoder = SIZE, **given: object):
    plan = Plan(**{"micro_batch": B, "lora_rank": RANK, **given})
    cluster = read_cluster("dgx-a100", plan.ranks)
    return simulate_step(net(size), cluster, plan, Roofline(), unfolded=unfolded)


def layer(**given: object):
    plan = Plan(**{"micro_batch": B, "lora_rank": RANK, **given})
    return max(rank_step(net(), plan).shape.costs, key=lambda cost: cost.block.count)


def adapters(*names: str) -> int:
    """rank (in + out) of each product: arXiv:2106.09685, section 4.2."""
    return sum(RANK * sum(PRODUCTS[name]) for name in names or PRODUCTS)


@pytest.mark.parametrize("targets", [(), ("query", "value")])
def test_only_adapters_have_gradients_and_states(targets):
    """2 bytes a weight; 4 of gradient, 8 of Adam and 4 of the float32 copy an adapter's."""
    whole, trained = step(lora_rank=0), step(lora_targets=targets)
    parameters = LAYERS * adapters(*targets)
    more = trained.memory[0]["weights"] - whole.memory[0]["weights"]
    assert more == 2 * parameters
    assert trained.memory[0]["gradients"] == 4 * parameters
    assert trained.memory[0]["optimizer"] == 12 * parameters


def test_frozen_products_have_no_gradients_of_weights():
    """Of a layer: 2 tokens (weights + adapters) forward, as much for data, adapters for weights."""
    whole, trained = layer(lora_rank=0), layer()
    weights = sum(rows * columns for rows, columns in PRODUCTS.values())
    products = 2 * B * S * adapters()
    assert trained.parts["weights"].flops == products
    assert whole.parts["weights"].flops == pytest.approx(2 * B * S * weights, rel=0.01)
    scaled = B * S * sum(2 * columns for _, columns in PRODUCTS.values())
    more = trained.parts["forward"].flops - whole.parts["forward"].flops
    assert more == products + scaled
    data = trained.parts["data"].flops - whole.parts["data"].flops
    assert data == pytest.approx(products + scaled, rel=0.1)


def test_every_layer_but_none_of_the_embedding_is_passed_backward():
    plan = Plan(micro_batch=B, lora_rank=RANK, lora_targets=("value",))
    head, body, tail = rank_step(net(), plan).shape.costs
    assert body.parts["data"].flops > 0.9 * body.parts["forward"].flops
    assert head.parts["data"].flops == head.parts["optimizer"].flops == 0
    assert tail.parts["weights"].flops == 0
    assert tail.parts["data"].flops > 0


@pytest.mark.parametrize("sequence", [False, True])
def test_tensor_parallel_ranks_split_adapters_with_their_products(sequence):
    """B beside columns, A beside rows; the others whole, their gradients summed once a step."""
    shared = layer(tp=4, sequence_parallel=sequence)
    columns = ("query", "key", "value", "gate", "up")
    rows = ("attention_output", "down")
    whole = sum(RANK * PRODUCTS[name][0] for name in columns)
    whole += sum(RANK * PRODUCTS[name][1] for name in rows)
    assert shared.held["dp"].parameters == whole + (adapters() - whole) / 4
    assert shared.held["dp"].summed_bytes == 4 * whole
    plain = layer(lora_rank=0, tp=4, sequence_parallel=sequence)
    for name in ("forward", "data"):
        found, expected = (cost.parts[name].messages for cost in (shared, plain))
        assert [(m.kind, m.bytes) for m in found] == [(m.kind, m.bytes) for m in expected]
    assert not shared.parts["weights"].messages
    assert shared.parts["weights"].flops == 2 * B * S * shared.held["dp"].parameters


PLANS = [
    {"dp": 2, "tp": 2, "pp": 2, "batch": 8 * B},
    {"dp": 4, "zero": 1, "batch": 8 * B, "recompute": "full"},
    {"pp": 4, "schedule": "zero-bubble", "batch": 8 * B},
]


@pytest.mark.parametrize("plan", PLANS)
def test_folded_steps_equal_unfolded_ones(plan):
    one, every = (step(unfolded, **plan) for unfolded in (False, True))
    assert one.timeline.makespan_ps == every.timeline.makespan_ps


def test_exchanged_are_gradients_of_adapters_and_gathered_are_their_weights():
    """So a step on two hosts exchanges a thousandth of what a full one does."""
    plan = {"dp": 8, "batch": 8 * B, "zero": 1}
    full, trained = step(lora_rank=0, **plan), step(**plan)
    sent = [r.breakdown_s["data"] + r.hidden_s for r in (full, trained)]
    assert sent[1] < sent[0] / 3
    held = [weights for s in trained.stages for u in s for weights in u.held.values()]
    assert sum(w.gradient_bytes for w in held) == 4 * LAYERS * adapters()
    assert sum(w.trained_bytes for w in held) == 2 * LAYERS * adapters()


def test_experts_and_routers_stay_frozen():
    sparse = Decoder(
        layers=4,
        hidden=H,
        heads=8,
        feed_forward=F,
        vocabulary=32000,
        positions=S,
        experts=8,
        experts_per_token=2,
        norm="rms",
        activation="silu",
        gated=True,
        dense_bias=False,
    )
    found = step(size=sparse, dp=4, ep=4)
    attention = adapters("query", "key", "value", "attention_output")
    assert found.memory[0]["gradients"] == 4 * 4 * attention


REFUSED = [
    ({"lora_rank": 0, "lora_targets": ("query",)}, "without adapters; add --lora-rank RANK"),
    (
        {"lora_targets": ("querry",)},
        "unknown LoRA target 'querry'; allowed: attention_output, down",
    ),
]


@pytest.mark.parametrize(("plan", "text"), REFUSED)
def test_targets_that_are_not_there(plan, text):
    with pytest.raises(InputError) as caught:
        step(**plan)
    assert text in str(caught.value)


def test_models_without_products_are_refused():
    with pytest.raises(InputError, match="has no product with a weight"):
        rank_step(build_model("bisenetv2"), Plan(lora_rank=4))
