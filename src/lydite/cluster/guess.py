"""Time and memory of a plan without simulating it, for a search to rank thousands of plans.

With m micro-batches, p pipeline stages of v chunks, and F and B seconds of forward and backward
passes over a whole rank,

    m (F + B) of the slowest rank + (F + B) of the others / v + 2 (p - 1) sends + messages of
    gradients and weights that no computation hides + update

`benchmarks/search.py` compares it with what is played.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lydite.cluster.collectives import Group
from lydite.cluster.memory import States, peak_activations, states_of_rank
from lydite.cluster.plan import Plan
from lydite.cluster.schedules import SCHEDULES
from lydite.cluster.stages import Unit


class Staged:
    """Units by virtual stage, and what all plans that divide them so have in common.

    Args:
        stages: Units of each virtual stage.
        plan: Any plan with these stages and chunks.
    """

    def __init__(self, stages: list[list[Unit]], plan: Plan) -> None:
        self.stages = stages
        self.first = [unit for stage in stages[:: plan.pp] for unit in stage]
        self.chunks = plan.chunks
        ranks = [[u for stage in stages[rank :: plan.pp] for u in stage] for rank in range(plan.pp)]
        self._busy_s = [
            sum(u.forward.seconds + u.recompute.seconds + u.backward_s for u in units)
            for units in ranks
        ]
        self._weights_s = [sum(u.weights.seconds for u in units) for units in ranks]
        self.forward_s = sum(unit.forward.seconds for unit in self.first)
        self.backward_s = sum(unit.backward_s + unit.recompute.seconds for unit in self.first)
        self.update_s = sum(unit.optimizer.seconds for unit in self.first)
        self.edge_bytes = max((unit.boundary_bytes for unit in self.first), default=0.0)
        self._activations: dict[str, float] = {}
        self._states: dict[int, dict[str, float]] = {}
        self._exposed_s: dict[int, float] = {}

    def step_s(self, plan: Plan, groups: Mapping[str, Group]) -> float:
        """Time of a step in seconds."""
        sends = 0.0
        if plan.pp > 1:  # they are exposed while the pipeline fills and drains
            sends = 2 * (plan.pp - 1) * groups["pp"].seconds("Send", self.edge_bytes)
        update = self.update_s / (plan.replicas if plan.zero else 1)
        return self.played_s(plan) + sends + self.exposed_s(plan, groups) + update

    def played_s(self, plan: Plan) -> float:
        """Time of all micro-batches without messages.

        The slowest rank works all the time but while the first micro-batch comes to it and the last
        leaves: then each of the others passes one of its chunks forward and backward (Narayanan et
        al. 2021, section 2.2), or with deferred weight gradients, works on those instead (Qi et al.
        2023, section 2.1).
        """
        slowest = max(self._busy_s)
        waits = sum(self._busy_s) - slowest
        if SCHEDULES.find(plan.schedule).splits_backward:
            at = self._busy_s.index(slowest)
            waits = max(0.0, waits - 2 * (sum(self._weights_s) - self._weights_s[at]))
        return plan.micro_batches * slowest + waits / self.chunks

    def memory_bytes(self, plan: Plan, states: States) -> float:
        """Memory of a rank of the first stage.

        Its activations depend on the schedule alone, the rest on the ZeRO stage.
        """
        if plan.schedule not in self._activations:
            self._activations[plan.schedule] = peak_activations(self.stages, plan, 0)
        if plan.zero not in self._states:
            self._states[plan.zero] = states_of_rank(self.first, plan, states)
        memory = self._states[plan.zero]
        return sum((memory | {"activations": self._activations[plan.schedule]}).values())

    def exposed_s(self, plan: Plan, groups: Mapping[str, Group]) -> float:
        """Time of a step in which nothing but gradients and weights is sent.

        Gradients travel during the last backward pass. With ZeRO 1 and 2, the updated weights are
        gathered after it; with ZeRO 3, those of the next layer during each pass (Rajbhandari et al.
        2020, section 7). It depends on the ZeRO stage alone.
        """
        if plan.zero not in self._exposed_s:
            sent, gathered = (
                sum(each)
                for each in zip(
                    *(_sent(plan, self.first, groups[name], name) for name in ("dp", "edp")),
                    strict=True,
                )
            )
            ahead, back = self.forward_s, self.backward_s
            if plan.zero < 3:
                found = max(0.0, sent - back) + gathered
            else:
                found = max(0.0, sent + gathered - back)
                found += plan.micro_batches * max(0.0, gathered - ahead)
                found += (plan.micro_batches - 1) * max(0.0, gathered - back)
            self._exposed_s[plan.zero] = found
        return self._exposed_s[plan.zero]


def _sent(plan: Plan, units: Sequence[Unit], group: Group, name: str) -> tuple[float, float]:
    """Seconds in which gradients are summed, and in which weights are gathered, once each."""
    held = [unit.held[name] for unit in units if name in unit.held]
    size = sum(weights.gradient_bytes for weights in held)
    if plan.zero == 0:
        return group.seconds("AllReduce", size), 0.0
    gathered = group.seconds("AllGather", sum(weights.bytes for weights in held))
    return group.seconds("ReduceScatter", size), gathered
