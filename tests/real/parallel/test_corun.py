"""Segments of real graphs: what they share, and that side by side they compute the same."""

from __future__ import annotations

import json
import os

import jsonschema
import numpy as np
import pytest

import lydite as ly
from lydite.api.schemas import all_schemas
from lydite.backends import Settings
from lydite.backends.onnxruntime import OnnxRuntimeBackend, input_array
from lydite.errors import InputError
from lydite.graph import Builder
from lydite.measure import TimingPlan
from lydite.parallel import Stage, cores_for
from lydite.parallel import corun as run_together
from lydite.parallel.runner import Pinned, StagedRun, Workers, segments_of
from lydite.parallel.units import cut, with_drawn_weights

TWO = len(getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)) > 1
needs_two = pytest.mark.skipif(not TWO, reason="one core")


def forked(branches: int = 3, length: int = 2):
    g = Builder("forked")
    x = g.relu(g.conv(g.input("image", (1, 8, 24, 24)), 16, 3, pad=1))
    ends = []
    for _ in range(branches):
        y = x
        for _ in range(length):
            y = g.relu(g.conv(y, 16, 3, pad=1))
        ends.append(y)
    return g.build(g.linear(g.flatten(g.global_average_pool(g.concat(ends, 1))), 10))


@pytest.fixture(scope="module")
def lowered():
    backend = OnnxRuntimeBackend()
    return backend, with_drawn_weights(backend.lower(forked(), Settings()), 0)


def test_chains_are_units_and_every_operator_is_in_one(lowered):
    _, graph = lowered
    whole = cut(graph)
    names = [op.name for ops in whole.ops for op in ops]
    assert sorted(names) == sorted(op.name for op in graph.ops)
    assert max(len(ops) for ops in whole.ops) > 1
    for unit, after in enumerate(whole.after):
        assert all(earlier < unit for earlier in after)


@needs_two
@pytest.mark.parametrize("way", ["one", "wide", "side"])
def test_stages_compute_what_one_session_computes(lowered, way):
    backend, graph = lowered
    whole = cut(graph)
    inputs = {name: input_array(graph.type_of(name), 0) for name in graph.inputs}
    session = backend.prepare(graph, Settings(optimise=False))
    session.bind(inputs)
    session.run()
    expected = session.outputs()
    stages, left = [], list(range(len(whole.ops)))
    done: set[int] = set()
    while left:  # level by level; odd units to the second worker
        ready = [u for u in left if set(whole.after[u]) <= done]
        lanes = [tuple(ready[0::2]), tuple(ready[1::2])] if way == "side" else [tuple(ready)]
        stages.append(Stage(way if len(ready) > 1 else "one", tuple(filter(None, lanes)), 0.0))
        done |= set(ready)
        left = [u for u in left if u not in done]
    before = os.sched_getaffinity(0)
    cores = cores_for(2)
    with Pinned(cores[0]):
        workers = Workers(cores)
        staged = StagedRun(backend, whole, stages, inputs, workers)
        for _ in range(20):
            staged.run()
            for name, array in staged.outputs().items():
                assert array.tobytes() == expected[name].tobytes()
        assert [len(lanes) for lanes in staged.lane_seconds(1)] == [len(s.lanes) for s in stages]
        staged.close()
        workers.close()
    assert os.sched_getaffinity(0) == before
    shared = {n for part in segments_of(whole, stages) for n in part.graph.inputs}
    assert set(graph.inputs) <= shared


@needs_two
def test_an_error_of_a_worker_reaches_the_caller():
    workers = Workers(cores_for(2))

    def fails() -> None:
        raise InputError("broken")

    with pytest.raises(InputError, match="broken"):
        workers.together([lambda: None, fails])
    workers.together([lambda: None, lambda: None])
    workers.close()


@needs_two
def test_a_model_is_compared_with_onnx_runtimes_own_choices():
    found = run_together(forked(), plan=TimingPlan(rounds=3, budget_s=0.1))
    assert found.equal
    assert {way.name for way in found.ways} == {"sequential", "threads", "staged"}
    assert found.chosen in {way.name for way in found.ways}
    assert sorted(u for s in found.stages for u in s.units) == list(range(len(found.units)))
    assert found.way("staged").predicted_s == pytest.approx(sum(s.seconds for s in found.stages))
    assert found.way("sequential").predicted_s is None
    assert (found.costs.slowdown >= 1).all()
    best = min(found.ways, key=lambda way: way.seconds)
    if found.chosen != "staged":
        others = [way for way in found.ways if way.name != "staged"]
        assert found.way(found.chosen).seconds == min(way.seconds for way in others)
    assert best.seconds > 0


@needs_two
def test_the_verb_says_what_was_chosen_and_why():
    result = ly.corun(forked(), budget=0.1, rounds=3)
    told = result.to_dict()
    assert told["schema"] == "lydite/corun/1"
    jsonschema.validate(told, json.loads(all_schemas()["corun.json"]))
    assert told["equal"] is True
    assert len(told["stages"]) == len(result.rows())
    assert "outputs: bit for bit those of one session" in result.summary()
    assert result.headline().startswith("forked on 2 workers: ")
    alone = next(way for way in told["ways"] if way["name"] == "sequential")
    assert alone["ratio"] == 1


def test_buffers_are_of_the_shared_tensors_alone():
    g = Builder("two")
    x = g.input("x", (4, 4))
    y = g.op("Exp", g.relu(x))
    graph = with_drawn_weights(g.build(g.op("Add", y, x)), 0)
    whole = cut(graph)
    (part,) = segments_of(whole, [Stage("one", (tuple(range(len(whole.ops))),), 0.0)])
    assert part.graph.inputs == graph.inputs
    assert part.graph.outputs == graph.outputs
    assert np.array_equal([len(part.graph.ops)], [len(graph.ops)])
