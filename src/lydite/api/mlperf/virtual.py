"""Runs in virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lydite.api.mlperf.benchmark import Target
from lydite.api.mlperf.scenario import ScenarioRun
from lydite.api.mlperf.service import service_of
from lydite.errors import InputError
from lydite.mlperf.evidence import of_record
from lydite.mlperf.play import VirtualSystem, play, play_tokens
from lydite.mlperf.served import ServedTokens
from lydite.mlperf.service import Service
from lydite.mlperf.settings import Settings
from lydite.mlperf.tokens import TokenService
from lydite.mlperf.verdict import judge

if TYPE_CHECKING:
    from lydite.api.session import Session


def play_one(
    session: Session,
    target: Target,
    settings: Settings,
    *,
    on: str,
    stated: str | None,
    replay: Path | None,
) -> ScenarioRun:
    """Play one scenario.

    Raises:
        InputError: a setting is missing, or no service times are known.
    """
    service = service_of(session, target, settings, on=on, stated=stated, replay=replay)
    return play_with(target, settings, service)


def play_with(
    target: Target, settings: Settings, service: Service | TokenService | ServedTokens
) -> ScenarioRun:
    """Play one scenario with known service times.

    Raises:
        InputError: Server has no limit.
    """
    limits = settings.limits()
    limited = (limits.latency_ns, limits.ttft_ns, limits.tpot_ns)
    if settings.scenario == "Server" and all(limit is None for limit in limited):
        raise InputError("no limit of the latency is given", where="Server", hint="--latency-limit")
    plan = settings.plan(target.chosen, rate_of(settings, service))
    if isinstance(service, ServedTokens):
        record, told = service.play(plan), service.source
    elif isinstance(service, TokenService):
        record = play_tokens(plan, settings["workers"], service)
        told = f"{service.source}, {settings['workers']} samples at once"
    else:
        record = play(plan, VirtualSystem(settings.batching, service))
        between = service.between
        told = service.source + (f", batches of {_listed(between)} interpolated" if between else "")
    found = of_record(record, limits)
    return ScenarioRun(
        target,
        settings,
        judge(found),
        found.queries,
        found.samples,
        found.duration_ns * 1e-9,
        told,
        "",
        "none",
        "none: virtual time has no outputs",
        None,
    )


def rate_of(settings: Settings, service: Service | TokenService | ServedTokens) -> float:
    """Queries per second of the schedule, as a pilot would set it.

    LoadGen generates queries for twice the expected latency, so that half of the fast end of the
    service times leaves room; in Offline it issues a tenth more than asked for.
    """
    if settings.scenario == "Server":
        return settings.needed("target_qps", "--target-qps")
    if isinstance(service, ServedTokens):
        if settings.scenario == "Offline":
            return settings["expected_qps"] or service.offline_qps
        return 2 * service.alone_qps
    if isinstance(service, TokenService):
        service = Service((service.whole_ns,), service.source)
    batch, workers = settings.largest_batch, settings["workers"]
    if settings.scenario == "Offline":
        seconds = float(np.percentile(service.times_ns[batch - 1], 10)) * 1e-9
        return settings["expected_qps"] or batch * workers / seconds
    if settings["expected_latency_ms"] is not None:
        return 1e3 / settings["expected_latency_ms"]
    width = settings["samples_per_query"] if settings.scenario == "MultiStream" else 1
    size = min(batch, width)
    fast_ns = float(np.percentile(service.times_ns[size - 1], 10))
    rounds = -(-width // (size * workers))
    return 1e9 / max(1.0, fast_ns * rounds / 2)


def _listed(sizes: tuple[int, ...]) -> str:
    return f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 3 else ", ".join(map(str, sizes))
