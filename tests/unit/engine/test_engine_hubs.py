"""Flows over one shared link: as if every change of their number filled the network anew."""

import importlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.engine import LinkNetwork, Servers, Tasks, simulate
from lydite.engine.kernels import layout

module = importlib.import_module("lydite.engine.simulate")


def filled(tasks, network, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(module, "hubs_of", lambda *_: (np.zeros(0, layout.HUB), 0))
        return simulate(tasks, Servers.of(0), network)


@st.composite
def stars(draw):
    """Some hubs; over each of them paths with links of their own, most of them wide."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    hubs, paths = draw(st.integers(1, 3)), draw(st.integers(2, 12))
    own = rng.choice(
        [0.7e9, 2e9, 50e9], paths, p=draw(st.sampled_from([[0, 0, 1], [0.3, 0.4, 0.3]]))
    )
    hops = [[hubs + path, rng.integers(hubs)][:: rng.choice([-1, 1])] for path in range(paths)]
    times = rng.choice([1, 1, 2, 3], 2 * paths)
    caps = rng.choice([np.inf, np.inf, 0.3e9], paths) if draw(st.booleans()) else np.inf
    network = LinkNetwork.of(
        np.concatenate([rng.choice([1e9, 7.3e9], hubs), own]),
        np.arange(0, 2 * paths + 1, 2),
        np.concatenate(hops),
        latency_ps=rng.choice([0, 5000], hubs + paths),
        path_cap=caps,
        path_times=times,
    )
    size = 80
    needs = np.minimum(rng.integers(0, 3, size), np.arange(size))
    tasks = Tasks.of(
        rng.choice([0, 1000, 70_000], size),
        dep_start=np.concatenate([[0], np.cumsum(needs)]),
        deps=np.concatenate([rng.integers(0, max(task, 1), n) for task, n in enumerate(needs)]),
        path=rng.integers(0, paths, size),
        bytes=rng.choice([0.0, 100.0, 1234.5, 40_000.0], size),
    )
    return tasks, network


@given(stars())
def test_hubs_answer_as_filling_does(system):
    tasks, network = system
    made = simulate(tasks, Servers.of(0), network)
    with pytest.MonkeyPatch.context() as monkeypatch:
        plain = filled(tasks, network, monkeypatch)
    assert made.start_ps.tolist() == plain.start_ps.tolist()
    assert made.end_ps.tolist() == plain.end_ps.tolist()


def test_a_flow_that_would_end_beyond_the_limit_is_refused():
    network = LinkNetwork.of([1e-9], [0, 1, 2], [0, 0])
    tasks = Tasks.of([0, 0], path=[0, 1], bytes=[1e9, 1e9])
    with pytest.raises(Exception, match="ends too late"):
        simulate(tasks, Servers.of(0), network)
