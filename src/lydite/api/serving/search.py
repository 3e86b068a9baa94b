"""Answers to searches: value, its bounds, and what limits it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from lydite.api.serving.find import (
    GOALS,
    Rates,
    Search,
    Tried,
    degrees,
    fewest,
    greatest_rate,
    layouts_of,
    spreads,
)
from lydite.errors import InputError, unknown_name
from lydite.pool import HERE, Pool
from lydite.serving.layout import Layout, Part, made_part

if TYPE_CHECKING:
    from lydite.api.serving.deployment import Deployer
    from lydite.api.serving.workload import Source
    from lydite.serving import Requests
    from lydite.serving.metrics import Objective


class FoundDocument(TypedDict):
    """What a search found, and between which values it lies at the bounds of step times."""

    goal: str
    value: float | None
    at_low: float | None
    at_high: float | None
    layout: str | None
    tried: list[dict[str, Any]]
    limit: str


def searched(
    made: Deployer,
    source: Source,
    objectives: Sequence[Objective],
    goal: str,
    gpus: int | None,
    pool: Pool = HERE,
) -> tuple[FoundDocument, tuple[Layout, Requests]]:
    """The answer to a search, with the layout and workload that it is of.

    Raises:
        InputError: the goal is unknown, there are no objectives, or nothing meets them (says the
            best possible and what limits it).
    """
    if goal not in GOALS:
        raise unknown_name("goal", goal, GOALS)
    if not objectives:
        raise InputError("a search needs objectives", hint="--slo ttft.p99=600ms,tpot.p90=16ms")
    if source.requests.concurrency:
        raise InputError("a closed loop has no rate to search at", hint="--rate")
    search = Search(made, source, objectives)
    o = made.options
    said = max(o.tp, o.ep, o.pp) > 1
    asked = made_part(1, o.tp, o.ep, "both", "a replica", o.pp) if said else None
    if goal == "rate":
        return _rate(search, made.layout())
    if goal == "gpus":
        return _gpus(search, asked)
    return _config(search, gpus, asked, pool)


def _row(tried: Tried) -> dict[str, Any]:
    return {"layout": str(tried.layout), "rate_per_s": tried.rate, "met": tried.met}


def _worst(search: Search, tried: Tried) -> str:
    """The objective that is furthest from its limit."""
    from lydite.units import format_seconds

    values = [(o.value(tried.outcome) / o.limit_s, o) for o in search.objectives]
    _, worst = max(values, key=lambda pair: pair[0])
    value = format_seconds(worst.value(tried.outcome))
    return f"{worst} is {value}, its limit {format_seconds(worst.limit_s)}"


def _gpus(search: Search, asked: Part | None) -> tuple[FoundDocument, tuple[Layout, Requests]]:
    rate = search.source.requests.rate
    best: Tried | None = None
    rows: list[dict[str, Any]] = []
    last: Tried | None = None
    for part in degrees(search.deployer, asked):
        tried = fewest(search, part, rate)
        if tried is None:
            last = search.play(Layout((part,)), min(rate, 1e-2))
            rows.append({"layout": str(part), "rate_per_s": rate, "met": False})
            continue
        rows.append(_row(tried))
        if best is None or tried.layout.devices < best.layout.devices:
            best = tried
    if best is None:
        limit = f"even one request alone: {_worst(search, last)}" if last else "does not fit"
        raise InputError(
            f"no number of replicas meets the objectives; {limit}",
            hint="looser objectives, more devices a replica, or a faster device",
        )
    (part,) = best.layout.parts
    times = search.deployer.rank(part).times
    ends = []
    for factor in (times.low, times.high):
        other = fewest(replace(search, factor=factor), part, rate)
        ends.append(None if other is None else float(other.layout.devices))
    fewer = None
    if part.count > 1:
        fewer = search.play(Layout((replace(part, count=part.count - 1),)), rate)
    limit = f"with one replica less, {_worst(search, fewer)}" if fewer else "one replica is enough"
    document: FoundDocument = {
        "goal": "gpus",
        "value": float(best.layout.devices),
        "at_low": ends[0],
        "at_high": ends[1],
        "layout": str(best.layout),
        "tried": rows,
        "limit": limit,
    }
    return document, (best.layout, search.source.requests)


def _rate(search: Search, layout: Layout) -> tuple[FoundDocument, tuple[Layout, Requests]]:
    best, beyond = greatest_rate(search.rates(layout))
    if best is None:
        raise InputError(
            f"no rate meets the objectives; even one request alone: {_worst(search, beyond)}",
            hint="looser objectives, more devices a replica (--tp), or a faster device",
        )
    times = search.deployer.rank(layout.parts[-1]).times
    ends = []
    for factor in (times.low, times.high):
        other, _ = greatest_rate(replace(search, factor=factor).rates(layout))
        ends.append(None if other is None else other.rate)
    document: FoundDocument = {
        "goal": "rate",
        "value": best.rate,
        "at_low": ends[0],
        "at_high": ends[1],
        "layout": str(layout),
        "tried": [_row(best), _row(beyond)],
        "limit": f"at {beyond.rate:.3g} requests/s, {_worst(search, beyond)}",
    }
    return document, (layout, search.source.at_rate(best.rate))


def _greatest(_: None, rates: Rates) -> tuple[Tried | None, Tried]:
    return greatest_rate(rates)


def _config(
    search: Search, gpus: int | None, asked: Part | None, pool: Pool
) -> tuple[FoundDocument, tuple[Layout, Requests]]:
    if gpus is None:
        raise InputError("a search for a layout needs the number of devices", hint="--gpus 8")
    parts = [part for part in degrees(search.deployer, asked) if part.size <= gpus]
    if asked is None:
        parts += [part for part in spreads(search.deployer) if part.size <= gpus]
    rows: list[dict[str, Any]] = []
    best: tuple[float, Tried] | None = None
    worst: Tried | None = None
    layouts = layouts_of(gpus, parts)
    answers = pool.ordered(_greatest, None, map(search.rates, layouts))
    for layout, (found, beyond) in zip(layouts, answers, strict=True):
        worst = beyond
        rate = found.rate if found else 0.0
        rows.append({"layout": str(layout), "rate_per_s": rate, "met": found is not None})
        if found is not None and (best is None or rate > best[0]):
            best = rate, found
    if best is None:
        told = _worst(search, worst) if worst else "the model does not fit"
        raise InputError(f"no layout of {gpus} devices meets the objectives; {told}")
    rows.sort(key=lambda row: -row["rate_per_s"])
    document: FoundDocument = {
        "goal": "config",
        "value": best[0],
        "at_low": None,
        "at_high": None,
        "layout": str(best[1].layout),
        "tried": rows,
        "limit": f"greatest rate of {len(rows)} layouts of {gpus} devices",
    }
    return document, (best[1].layout, search.source.at_rate(best[0]))
