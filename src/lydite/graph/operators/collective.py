"""Collectives; `gradients.collective` explains what each operator does."""

from __future__ import annotations

from lydite.graph.operators.call import VIEW, Cost
from lydite.graph.operators.gradients import collective as gradients
from lydite.graph.operators.missing import no_array, no_split, no_torch, usual
from lydite.graph.operators.operator import ALIAS, Family, Operator
from lydite.graph.operators.typing import lydite as typed

_exchanges = Family(
    "collective",
    usual(
        split=no_split("tensor parallelism inserts it"),
        torch=no_torch("ranks are simulated, not run"),
        array=no_array("it crosses the network"),
    ),
)


def _sent(_: object) -> Cost:
    """No memory traffic: reductions happen in transit, and the bytes sent load the network."""
    return Cost(0)


OPERATORS: tuple[Operator, ...] = (
    _exchanges.row("lydite:AllReduce", _sent, types=typed.like(0), gradient=gradients.passed),
    _exchanges.row(
        "lydite:AllGather",
        _sent,
        types=typed.resized(lambda dim, size: dim * size),
        gradient=gradients.returned_as("ReduceScatter"),
    ),
    _exchanges.row(
        "lydite:ReduceScatter",
        _sent,
        types=typed.resized(typed.shared),
        gradient=gradients.returned_as("AllGather"),
    ),
    _exchanges.row(
        "lydite:AllToAll",
        _sent,
        types=typed.like(0),
        gradient=gradients.returned_as("AllToAll"),
    ),
    _exchanges.row(
        "lydite:Replicate",
        lambda _: VIEW,
        types=typed.like(0),
        gradient=gradients.returned_as("AllReduce"),
        array=ALIAS,
    ),
    _exchanges.row(
        "lydite:Scatter",
        lambda _: VIEW,
        types=typed.resized(typed.shared),
        gradient=gradients.returned_as("AllGather"),
        array=ALIAS,
    ),
)
