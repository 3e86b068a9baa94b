"""Plan searches over context parallelism: every degree that divides, best for long sequences."""

from __future__ import annotations

import pytest

import lydite as ly
from lydite.api.search import _contexts
from lydite.cluster import simulate_step
from lydite.cluster.search import search
from lydite.errors import InputError
from lydite.estimate.roofline import Roofline
from lydite.hardware.cluster import read_cluster
from lydite.models.decoder import decoder
from lydite.models.dimensions import Decoder

LONG = 32768
SIZE = Decoder(layers=4, hidden=512, heads=2, feed_forward=2048, vocabulary=32000, positions=LONG)


def build(micro_batch: int, cp: int, _tp: int):
    return decoder(SIZE, batch=micro_batch, sequence=LONG // cp, phase="forward", dtype="bfloat16")


@pytest.fixture(scope="module")
def found():
    return search(build, read_cluster("dgx-a100"), 2, Roofline(), contexts=(1, 2, 4, 8), keep=4000)


def test_plans_of_every_degree_take_all_ranks(found):
    plans = [result.plan for result in found.best]
    assert {plan.cp for plan in plans} == {1, 2, 4, 8}
    assert all(plan.ranks == 8 and plan.samples == 2 for plan in plans)
    assert len(set(plans)) == len(plans)


def test_two_long_sequences_on_eight_devices_are_split(found):
    """Two samples and two heads leave no other way but a pipeline, which is idle half the time."""
    best = found.best[0]
    assert best.plan.cp > 1
    whole = [result for result in found.best if result.plan.cp == 1]
    assert best.seconds < min(result.seconds for result in whole)


def test_a_plan_takes_as_long_as_when_it_is_simulated_alone(found):
    for result in (r for r in found.best if r.plan.cp == 4):
        graph = build(result.plan.micro_batch, 4, 1)
        alone = simulate_step(graph, result.cluster, result.plan, Roofline())
        assert alone.timeline.makespan_ps == result.timeline.makespan_ps
        assert alone.peak_memory_bytes == result.peak_memory_bytes
        break


def test_without_other_degrees_the_search_is_as_before(found):
    plain = search(build, read_cluster("dgx-a100"), 2, Roofline(), keep=4000)
    assert {result.plan.cp for result in plain.best} == {1}
    of_all = {r.plan: r.seconds for r in found.best if r.plan.cp == 1}
    assert {r.plan: r.seconds for r in plain.best} == of_all
    assert plain.considered < found.considered


@pytest.mark.parametrize(
    ("tokens", "asked", "expected"),
    [
        (4096, 1, [1]),
        (8192, 1, [1]),
        (16384, 1, [1, 2]),
        (131072, 1, [1, 2, 4, 8, 16]),
        (3 * 8192, 1, [1, 2]),
        (4096, 4, [1, 2, 4]),
        (3072, 6, [1, 2, 4, 6]),
        (None, 1, [1]),
    ],
)
def test_degrees_that_leave_a_rank_enough_tokens_or_are_asked_for(tokens, asked, expected):
    assert _contexts(tokens, asked) == expected


def test_the_table_and_the_document_show_the_degree():
    found = ly.search("gpt2", on="dgx-a100", batch=4, sequence=512, cp=2, devices=4)
    assert found.document()["context_degrees"] == [1, 2]
    lines = str(found.summary()).splitlines()
    assert lines[1] == "context parallelism was considered up to cp 2 (--cp for another limit)"
    assert lines[3].split()[3:8] == ["dp", "tp", "pp", "cp", "ep"]
    with pytest.raises(InputError, match="--cp 3 does not divide the sequence of 512 tokens"):
        ly.search("gpt2", on="dgx-a100", batch=4, sequence=512, cp=3, devices=4)
