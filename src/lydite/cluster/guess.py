"""Time and memory of a plan without simulating it, for a search to rank thousands of plans.

With m micro-batches, p pipeline stages of v chunks, and F and B seconds of forward and backward
passes over a whole rank,

    m (F + B) of the slowest rank + (F + B) of the others / v + 2 (p - 1) sends + messages of
    gradients and weights that no computation hides + update

`benchmarks/search.py` compares it with what is played.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from lydite.cluster.collectives import Group
from lydite.cluster.memory import States, peak_activations, states_of_rank
from lydite.cluster.plan import Plan
from lydite.cluster.schedules import SCHEDULES
from lydite.cluster.stages import Unit

Known = TypeVar("Known")


class Staged:
    """Units by virtual stage, and what all plans that divide them so have in common.

    Args:
        stages: Units of each virtual stage.
        plan: Any plan with these stages and chunks.
        known: What plans of the same degrees have in common however they divide their units, by
            what it depends on; filled here.
    """

    def __init__(
        self, stages: list[list[Unit]], plan: Plan, known: dict[object, Any] | None = None
    ) -> None:
        self.stages, self._known = stages, {} if known is None else known
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
        self._held = tuple(id(unit.held) for unit in self.first)
        self._activations: dict[str, float] = {}
        self._exposed_s: dict[int, float] = {}

    def _once(self, make: Callable[[], Known], *depends_on: object) -> Known:
        """What plans of the same degrees have in common, made for the first of them."""
        if depends_on not in self._known:
            self._known[depends_on] = make()
        return self._known[depends_on]

    def step_s(self, plan: Plan, groups: Mapping[str, Group]) -> float:
        """Time of a step in seconds."""
        sends = 0.0
        if plan.pp > 1:  # they are exposed while the pipeline fills and drains
            size = self.edge_bytes
            send_s = self._once(lambda: groups["pp"].seconds("Send", size), "send", size)
            sends = 2 * (plan.pp - 1) * send_s
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
        memory = self._once(
            lambda: states_of_rank(self.first, plan, states), "states", plan.zero, self._held
        )
        return sum((memory | {"activations": self._activations[plan.schedule]}).values())

    def exposed_s(self, plan: Plan, groups: Mapping[str, Group]) -> float:
        """Time of a step in which nothing but gradients and weights is sent.

        Gradients travel during the last backward pass. With ZeRO 1 and 2, the updated weights are
        gathered after it; with ZeRO 3, those of the next layer during each pass (Rajbhandari et al.
        2020, section 7). It depends on the ZeRO stage alone.
        """
        if plan.zero not in self._exposed_s:
            sent, gathered = self._once(
                lambda: _sent(plan, self.first, groups), "sent", plan.zero, self._held
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


def _sent(plan: Plan, units: Sequence[Unit], groups: Mapping[str, Group]) -> tuple[float, float]:
    """Seconds in which gradients are summed, and in which weights are gathered, once each."""
    parts = [_sent_in(plan, units, groups[name], name) for name in ("dp", "edp")]
    return sum(sent for sent, _ in parts), sum(gathered for _, gathered in parts)


def _sent_in(plan: Plan, units: Sequence[Unit], group: Group, name: str) -> tuple[float, float]:
    """As `_sent`, of the weights that one group of ranks holds."""
    held = [unit.held[name] for unit in units if name in unit.held]
    size = sum(weights.gradient_bytes for weights in held)
    if plan.zero == 0:
        return group.seconds("AllReduce", size), 0.0
    gathered = group.seconds("AllGather", sum(weights.bytes for weights in held))
    return group.seconds("ReduceScatter", size), gathered
