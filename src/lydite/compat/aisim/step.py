"""A data-parallel step as it runs, on one rank, since all ranks do the same.

The host's processor launches one node after the other, ahead of the GPU; a compute stream runs them
in the order of launch; a second stream does the exchanges, each as soon as its bucket is full and
the one before is done, and both go slower while they overlap. The optimiser waits for the last
exchange. A graph that names several devices has these streams on each of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lydite.compat.aisim.nodes import ALLREDUCE, COMPUTE, RECV, GraphNode, in_order
from lydite.engine import LIMIT_PS, Interference, Servers, TaskBuilder, Timeline
from lydite.engine import simulate as play
from lydite.errors import InputError, UnitError
from lydite.records import dataclass

_STREAMS = ("host", "compute", "exchange")
_LAUNCH, _COMPUTE, _EXCHANGE = range(3)
"""Of a stream in its device, and of a task's category."""

_OPTIMISER = re.compile("optimizer(?!_zero)")
_PS = 1e12


@dataclass(frozen=True, slots=True)
class Execution:
    """What no file of the folder says (assumed).

    Attributes:
        launch_s: what the host takes to launch a node.
        compute_slowdown, exchange_slowdown: factors on the time of either while the other runs.
            AISim's own, which it puts on whole nodes; here they are rates while both run.

    Raises:
        UnitError: a negative launch, a factor below 1.
    """

    launch_s: float = 4e-6
    compute_slowdown: float = 1.3
    exchange_slowdown: float = 2.2

    def __post_init__(self) -> None:
        if not 0 <= self.launch_s < 1:
            raise UnitError(f"{self.launch_s} s", where="launch", allowed="0 to 1 s")
        for name in ("compute_slowdown", "exchange_slowdown"):
            if not 1 <= getattr(self, name) < 1000:
                raise UnitError(f"{getattr(self, name)}", where=name, allowed="1 or more")

    def interference(self, groups: int) -> Interference | None:
        """The engine's table; None where nothing slows."""
        if self.compute_slowdown == self.exchange_slowdown == 1:
            return None
        rates = np.ones((3, 3))
        rates[_COMPUTE, _EXCHANGE] = 1 / self.compute_slowdown
        rates[_EXCHANGE, _COMPUTE] = 1 / self.exchange_slowdown
        return Interference.of(rates, groups)


@dataclass(frozen=True, slots=True)
class AISimStep:
    """What a step takes.

    Attributes:
        seconds: until the last task ends; a lower bound if `unknown` is not empty.
        compute_s, exchange_s: how long the first device's streams were busy.
        exposed_s: of the exchange, what no computation hides.
        unknown: nodes that are left out because nothing tells their time.
        timeline: every task.
    """

    seconds: float
    compute_s: float
    exchange_s: float
    exposed_s: float
    unknown: tuple[str, ...]
    timeline: Timeline


def play_step(
    nodes: Sequence[GraphNode], seconds: Mapping[str, float | None], execution: Execution
) -> AISimStep:
    """Play a graph.

    Args:
        nodes: in an order in which they can be launched.
        seconds: of each node but receives, by name; 0 is for a node that runs nothing.
        execution: what is assumed.

    Raises:
        InputError: the optimiser feeds an exchange, so that they wait for each other.
    """
    return _Writer(nodes, seconds, execution).play()


class _Writer:
    def __init__(
        self, nodes: Sequence[GraphNode], seconds: Mapping[str, float | None], execution: Execution
    ) -> None:
        self.nodes, self.seconds, self.execution = _optimiser_last(nodes), seconds, execution
        self.tasks = TaskBuilder()
        self.places = _places(nodes)
        self.launched: dict[int, int] = {}
        self.computed: dict[int, int] = {}
        self.ended: dict[str, int] = {}
        self.unknown: list[str] = []

    def play(self) -> AISimStep:
        for node in self.nodes:
            self.ended[node.name] = self._add(node)
        devices = max(self.places.values(), default=0) + 1
        servers = Servers.of(
            3 * devices,
            group=[g for d in range(devices) for g in (-1, d, d)],
            names=[f"{stream} {d}" for d in range(devices) for stream in _STREAMS],
        )
        timeline = play(self.tasks.build(), servers, None, self.execution.interference(devices))
        first = range(len(_STREAMS))
        return AISimStep(
            timeline.makespan_ps / _PS,
            timeline.covered_ps(_COMPUTE, first) / _PS,
            timeline.covered_ps(_EXCHANGE, first) / _PS,
            timeline.exposed_ps(_EXCHANGE, _COMPUTE, first) / _PS,
            tuple(self.unknown),
            timeline,
        )

    def _add(self, node: GraphNode) -> int:
        after = [self.ended[name] for name in node.after]
        # A receive only waits; how long, nobody knows where its send is not in the graph.
        waits = node.kind == RECV and bool(after)
        seconds = None if node.kind == RECV else self.seconds[node.name]
        if seconds is None and not waits:
            self.unknown.append(node.name)
        if not seconds:
            return self.tasks.join(after, name=node.name)
        if not 0 < seconds * _PS < LIMIT_PS:
            raise InputError(f"takes {seconds:g} s", where=node.name, allowed="at most 26 days")
        device = self.places[node.device]
        after.append(self._launch(device, node.name))
        stream = _COMPUTE if node.kind == COMPUTE else _EXCHANGE
        if stream == _COMPUTE and device in self.computed:
            after.append(self.computed[device])  # a stream keeps the order of launch
        task = self.tasks.work(
            device * len(_STREAMS) + stream,
            round(seconds * _PS),
            after,
            category=stream,
            name=node.name,
        )
        if stream == _COMPUTE:
            self.computed[device] = task
        return task

    def _launch(self, device: int, name: str) -> int:
        before = [self.launched[device]] if device in self.launched else []
        self.launched[device] = self.tasks.work(
            device * len(_STREAMS),
            round(self.execution.launch_s * _PS),
            before,
            category=_LAUNCH,
            name=f"launch {name}",
        )
        return self.launched[device]


def _optimiser_last(nodes: Sequence[GraphNode]) -> list[GraphNode]:
    """PyTorch's graphs do not say that the optimiser waits for every exchange."""
    exchanges = tuple(node.name for node in nodes if node.kind == ALLREDUCE)
    waiting = [
        replace(node, after=(*node.after, *exchanges)) if _OPTIMISER.match(node.op) else node
        for node in nodes
    ]
    ordered = in_order(waiting)
    if len(ordered) < len(nodes):
        raise InputError("the optimiser and an exchange of gradients wait for each other")
    return ordered


def _places(nodes: Sequence[GraphNode]) -> dict[str, int]:
    """A number for each device; nodes without one belong to the first GPU that is named."""
    named = sorted({node.device for node in nodes if node.device}, key=_gpu_first)
    return {name: at for at, name in enumerate(named)} | {"": 0}


def _gpu_first(device: str) -> tuple[bool, str]:
    return "gpu" not in device.lower(), device
