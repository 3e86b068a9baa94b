"""Figures of a served workload: percentiles, throughput, goodput, and objectives."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from lydite.errors import InputError, unknown_name
from lydite.records import dataclass
from lydite.serving.outcome import Outcome
from lydite.units import parse_quantity

PERCENTILES = (50.0, 90.0, 95.0, 99.0)


def series(outcome: Outcome, among: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Values of each request by figure, in seconds; requests that did not end are left out.

    Args:
        outcome: What happened.
        among: Whether each request counts: bool [requests]; None for all.
    """
    over = ~np.isnan(outcome.last_s)
    over &= outcome.last_s >= 0
    if among is not None:
        over &= among
    made = {
        "ttft": outcome.ttft_s[over],
        "tpot": outcome.tpot_s[over],
        "tpot_with_first": outcome.tpot_with_first_s[over],
        "latency": outcome.latency_s[over],
        "queue": (outcome.started_s - outcome.arrived_s)[over],
    }
    return {name: values[~np.isnan(values)] for name, values in made.items()}


FIGURES = ("ttft", "tpot", "itl", "latency", "tpot_with_first", "queue")


def figures(outcome: Outcome) -> dict[str, dict[str, float]]:
    """Mean and percentiles of each figure, in seconds."""
    rows = {name: _summary(values) for name, values in series(outcome).items() if len(values)}
    if outcome.gap_count.any():
        rows["itl"] = {
            "mean": float((outcome.gap_s * outcome.gap_count).sum() / outcome.gap_count.sum()),
            **{f"p{p:g}": _of_counts(outcome, p) for p in PERCENTILES},
        }
    return {name: rows[name] for name in FIGURES if name in rows}


def figures_of(outcome: Outcome, among: np.ndarray) -> dict[str, dict[str, float]]:
    """Figures of some requests, but for gaps between tokens: bool [requests]."""
    rows = series(outcome, among)
    return {name: _summary(rows[name]) for name in FIGURES if len(rows.get(name, ()))}


def _summary(values: np.ndarray) -> dict[str, float]:
    cuts = np.percentile(values, PERCENTILES)
    named = {f"p{p:g}": float(cut) for p, cut in zip(PERCENTILES, cuts, strict=True)}
    return {"mean": float(values.mean()), **named}


def _of_counts(outcome: Outcome, percentile: float) -> float:
    share = np.cumsum(outcome.gap_count) / outcome.gap_count.sum()
    return float(outcome.gap_s[np.searchsorted(share, percentile / 100)])


def throughput(outcome: Outcome) -> dict[str, float]:
    """Requests and tokens per second, from the first arrival to the last token."""
    over = ~np.isnan(outcome.last_s)
    span = max(float(np.nanmax(outcome.last_s)), 1e-12)
    requests = outcome.requests
    return {
        "requests_per_s": float(over.sum() / span),
        "output_tokens_per_s": float(requests.output[over].sum() / span),
        "prompt_tokens_per_s": float(requests.prompt[over].sum() / span),
        "span_s": span,
    }


@dataclass(frozen=True)
class Objective:
    """A limit of a figure's percentile or mean.

    Attributes:
        figure: One of `FIGURES`.
        at: "mean" or a percentile.
        limit_s: Limit in seconds.
    """

    figure: str
    at: str
    limit_s: float

    def value(self, outcome: Outcome) -> float:
        """The figure in seconds; infinite where no request ended."""
        if self.figure == "itl":
            if not outcome.gap_count.any():
                return 0.0
            found = figures(outcome)["itl"]
            if self.at == "mean":
                return found["mean"]
            return _of_counts(outcome, float(self.at[1:]))
        values = series(outcome)[self.figure]
        if not len(values):
            return 0.0 if self.figure == "tpot" else np.inf
        return float(
            values.mean() if self.at == "mean" else np.percentile(values, float(self.at[1:]))
        )

    def __str__(self) -> str:
        return f"{self.figure}.{self.at}"


_OBJECTIVE = re.compile(r"\s*([a-z_]+)(?:\.(mean|p\d+(?:\.\d+)?))?\s*(?:=|<=|<)\s*(.+?)\s*")


def read_objectives(text: str | Sequence[str]) -> tuple[Objective, ...]:
    """Objectives from "ttft.p99=600ms,tpot.p90=16ms"; without a percentile p99 is meant.

    Raises:
        InputError: a figure or unit is unknown, or a percentile is not between 0 and 100.
    """
    parts = text.split(",") if isinstance(text, str) else text
    made = []
    for part in filter(None, (each.strip() for each in parts)):
        match = _OBJECTIVE.fullmatch(part)
        if match is None:
            raise InputError(f"'{part}' is no objective", allowed="such as ttft.p99=600ms")
        figure, at, limit = match[1], match[2] or "p99", match[3]
        if figure not in FIGURES:
            raise unknown_name("figure", figure, FIGURES)
        if at != "mean" and not 0 < float(at[1:]) < 100:
            raise InputError(f"{at} is no percentile", allowed="more than p0, less than p100")
        if not limit[-1:].isalpha():
            raise InputError(f"'{part}' has no unit", allowed=f"{part}ms or {part}s")
        seconds = parse_quantity(limit, "s", where=part)
        if not seconds > 0:
            raise InputError(f"{part}: a limit of {seconds:g} s", allowed="more than 0")
        made.append(Objective(figure, at, seconds))
    if not made:
        raise InputError("no objective", hint="--slo ttft.p99=600ms,tpot.p90=16ms")
    return tuple(made)


def met(outcome: Outcome, objectives: Sequence[Objective]) -> Mapping[str, tuple[float, bool]]:
    """Value of each objective, and whether it is met."""
    values = {str(o): (o.value(outcome), o.limit_s) for o in objectives}
    return {name: (value, value <= limit) for name, (value, limit) in values.items()}


def goodput(outcome: Outcome, objectives: Sequence[Objective]) -> float:
    """Requests per second whose own figures are within all limits (gaps between tokens apart)."""
    good = ~np.isnan(outcome.last_s)
    own = {
        "ttft": outcome.ttft_s,
        "tpot": np.nan_to_num(outcome.tpot_s),
        "tpot_with_first": outcome.tpot_with_first_s,
        "latency": outcome.latency_s,
        "queue": outcome.started_s - outcome.arrived_s,
    }
    for objective in objectives:
        if objective.figure in own:
            good &= own[objective.figure] <= objective.limit_s
    return float(good.sum() / throughput(outcome)["span_s"])
