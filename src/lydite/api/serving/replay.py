"""A log beside its simulation, request by request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from typing_extensions import TypedDict

from lydite.serving.bench_vllm import SIMULATED_NOTE

if TYPE_CHECKING:
    from lydite.serving import Outcome
    from lydite.serving.traces import Measured


class ReplayDocument(TypedDict):
    """A log beside its simulation.

    `log` says whether the log's times, which `figures` calls measured, were "measured" or
    "simulated". `figures` holds for each of ttft, tpot and latency the measured and simulated mean
    and 90th percentile in seconds, their errors as shares, and the median error of a request.
    """

    requests: int
    log: str
    figures: dict[str, dict[str, float]]


def replay_document(measured: Measured, outcome: Outcome) -> ReplayDocument:
    """Errors of the simulation against the log."""
    more = outcome.requests.output - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        tpot = np.where(more > 0, (measured.latency_s - measured.ttft_s) / more, np.nan)
    pairs = {
        "ttft": (measured.ttft_s, outcome.ttft_s),
        "tpot": (tpot, outcome.tpot_s),
        "latency": (measured.latency_s, outcome.latency_s),
    }
    figures = {}
    for name, (seen, played) in pairs.items():
        there = np.isfinite(seen) & np.isfinite(played) & (seen > 0)
        if not there.any():
            continue
        seen, played = seen[there], played[there]
        at = {"mean": (seen.mean(), played.mean())}
        at["p90"] = (np.percentile(seen, 90), np.percentile(played, 90))
        row = {f"measured_{key}_s": float(pair[0]) for key, pair in at.items()}
        row |= {f"simulated_{key}_s": float(pair[1]) for key, pair in at.items()}
        row |= {f"error_{key}": float(pair[1] / pair[0] - 1) for key, pair in at.items()}
        row["median_request_error"] = float(np.median(np.abs(played / seen - 1)))
        figures[name] = row
    log = "simulated" if SIMULATED_NOTE in outcome.requests.notes else "measured"
    return {"requests": len(outcome.requests), "log": log, "figures": figures}
