import numpy as np
import pytest

from lydite.backends import Settings
from lydite.backends.replay import ReplayBackend
from lydite.measure.isolation import CallCosts
from lydite.measure.network import excess_s
from lydite.measure.timing import TimingPlan
from lydite.opkey import LARGE_NETWORK_KEY, SMALL_NETWORK_KEY

CALL_S, DISPATCH_S = 2e-6, 2e-7
COSTS = CallCosts(np.array([CALL_S]), np.array([DISPATCH_S]), np.array([DISPATCH_S]))


class Slower(ReplayBackend):
    """Every operator takes 1 us alone; within a network, each node takes `excess_s` more."""

    def __init__(self, excess_s: dict[str, float]) -> None:
        super().__init__({}, call_s=CALL_S, dispatch_s=DISPATCH_S)
        self.excess_s = excess_s

    def _seconds(self, key):
        return self.seconds.get(key.digest, 1e-6)

    def prepare(self, graph, settings):
        prepared = super().prepare(graph, settings)
        prepared._seconds += self.excess_s[graph.name] * len(graph.ops)
        return prepared


def test_what_a_node_costs_within_a_network_is_what_the_whole_takes_beyond_its_parts():
    samples = excess_s(
        Slower({"layers_2": 1e-7, "layers_16": 1e-7}), Settings(), TimingPlan(), COSTS
    )
    assert set(samples) == {SMALL_NETWORK_KEY, LARGE_NETWORK_KEY}
    for values in samples.values():
        assert np.median(values) == pytest.approx(1e-7, rel=1e-6)


def test_the_excess_is_read_off_at_64_and_512_nodes():
    samples = excess_s(
        Slower({"layers_2": 1e-7, "layers_16": 4e-7}), Settings(), TimingPlan(), COSTS
    )
    small, large = (float(np.median(samples[k])) for k in (SMALL_NETWORK_KEY, LARGE_NETWORK_KEY))
    assert 0 < small < large < 5e-7
    assert large == pytest.approx(4e-7, rel=0.35)


def test_a_backend_that_cannot_run_the_networks_says_nothing_about_them():
    assert excess_s(ReplayBackend({}), Settings(), TimingPlan(), COSTS) == {}
