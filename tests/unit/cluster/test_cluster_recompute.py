"""Recomputation of some layers: closed forms of memory and time, and what methods refuse."""

from __future__ import annotations

import pytest

from lydite.cluster import Plan, simulate_step
from lydite.cluster.live import memory_course
from lydite.errors import InputError
from lydite.estimate.roofline import Roofline
from lydite.hardware.cluster import read_cluster
from lydite.models.decoder import decoder
from lydite.models.dimensions import Decoder

B, S, H, HEADS, LAYERS = 2, 512, 1024, 16, 8
SIZE = Decoder(
    layers=LAYERS,
    hidden=H,
    heads=HEADS,
    feed_forward=4 * H,
    packed=True,
    vocabulary=16384,
    positions=S,
)
INPUT = 2 * S * B * H
"""2 s b h: what a recomputed layer keeps (arXiv:2205.05198, section 5)."""
KEPT = S * B * (32 * H + 4 * HEADS + 16)
"""s b h (34 - 2 of dropout's masks), a float32 for each row and head of the fused attention, and
mean and deviation of two norms."""


def step(unfolded: bool = False, size: Decoder = SIZE, **given: object):
    plan = Plan(**{"micro_batch": B, "batch": B, **given})
    net = decoder(size, batch=plan.micro_batch, sequence=S, phase="forward", dtype="bfloat16")
    cluster = read_cluster("dgx-a100", plan.ranks)
    return simulate_step(net, cluster, plan, Roofline(), unfolded=unfolded)


def activations(**given: object) -> float:
    return step(**given).memory[0]["activations"]


def block(layers: int) -> dict[str, object]:
    return {"recompute": "full", "recompute_method": "block", "recompute_num_layers": layers}


def uniform(layers: int) -> dict[str, object]:
    return block(layers) | {"recompute_method": "uniform"}


@pytest.mark.parametrize("layers", [1, 3, 8])
def test_a_block_keeps_inputs_of_some_layers_and_everything_of_the_others(layers):
    """N inputs, L - N whole layers, and one layer made again; head and tail keep theirs."""
    edges = activations() - LAYERS * KEPT
    expected = layers * INPUT + (LAYERS - layers) * KEPT + (KEPT - INPUT) + edges
    assert activations(**block(layers)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("layers", [1, 2, 3, 8])
def test_uniform_groups_keep_an_input_each_and_are_made_again_whole(layers):
    edges = activations() - LAYERS * KEPT
    groups = -(-LAYERS // layers)
    expected = groups * INPUT + layers * KEPT - INPUT + edges
    assert activations(**uniform(layers)) == pytest.approx(expected, rel=1e-9)


def test_time_grows_with_each_layer_and_all_of_them_are_full_recomputation():
    full, none = step(recompute="full"), step()
    steps = [none, *(step(**block(n)) for n in range(1, LAYERS + 1))]
    seconds = [each.timeline.makespan_ps for each in steps]
    memory = [each.peak_memory_bytes for each in steps]
    assert seconds == sorted(seconds)
    assert memory == sorted(memory, reverse=True)
    assert (seconds[-1], memory[-1]) == (full.timeline.makespan_ps, full.peak_memory_bytes)
    each_layer = (seconds[-1] - seconds[0]) / LAYERS
    assert seconds[3] - seconds[0] == pytest.approx(3 * each_layer, rel=1e-9)
    assert step(**uniform(1)).timeline.makespan_ps == full.timeline.makespan_ps
    assert step(**uniform(4)).timeline.makespan_ps == full.timeline.makespan_ps


def test_each_stage_and_each_chunk_recomputes_as_many():
    """Four stages of two layers, one of each recomputed: half of all."""
    pipeline = {"pp": 4, "batch": 8 * B}
    half, full = (
        step(**pipeline, **chosen).breakdown_s["recompute"]
        for chosen in (block(1), {"recompute": "full"})
    )
    assert half == pytest.approx(full / 2)
    chunks = {"pp": 2, "batch": 8 * B, "schedule": "interleaved", "chunks": 2}
    assert step(**chunks, **block(1)).breakdown_s["recompute"] == pytest.approx(
        step(**chunks, recompute="full").breakdown_s["recompute"] / 2
    )


@pytest.mark.parametrize("chosen", [block(2), uniform(2), uniform(3)])
@pytest.mark.parametrize(
    "plan",
    [
        {"pp": 2, "tp": 2, "batch": 8 * B},
        {"pp": 2, "batch": 8 * B, "schedule": "zero-bubble"},
        {"dp": 4, "batch": 8 * B, "zero": 1},
    ],
)
def test_folded_steps_equal_unfolded_ones_and_free_what_they_held(chosen, plan):
    one, every = (step(unfolded, **plan, **chosen) for unfolded in (False, True))
    assert one.timeline.makespan_ps == every.timeline.makespan_ps
    for course, parts in zip(memory_course(one), one.memory, strict=True):
        assert course.bytes[-1] == pytest.approx(course.static_bytes)
        assert course.peak_bytes <= sum(parts.values()) * (1 + 1e-12)


REFUSED = [
    ({"recompute_num_layers": 2}, "does not say which layers; add --recompute-method"),
    ({"recompute_method": "blok"}, "unknown recomputation method 'blok'"),
    (block(2) | {"recompute": "selective"}, "with --recompute selective; add --recompute full"),
    (block(0), "does not say how many layers; add --recompute-num-layers LAYERS"),
    (uniform(2) | {"dp": 2, "zero": 3}, "one layer at a time"),
    (block(5) | {"pp": 2, "batch": 2 * B}, "a stage has 4 layers; allowed: 1 to 4"),
]


@pytest.mark.parametrize(("plan", "text"), REFUSED)
def test_methods_that_lack_something(plan, text):
    with pytest.raises(InputError) as caught:
        step(**plan)
    assert text in str(caught.value)
