"""Placements and games as text."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from lydite.report.text import percent, signed_percent, table
from lydite.units import format_seconds, format_si


def place_headline(document: Mapping[str, Any]) -> str:
    """The time and whether it is proven, or where the game ended."""
    models, devices = " and ".join(document["models"]), ", ".join(document["devices"])
    game = document["game"]
    if game is None:
        sure = "optimal" if document["proven"] else f"at most {percent(document['gap'])} too long"
        return f"{models} on {devices}: {format_seconds(document['seconds'])} ({sure})"
    if game["cycle"]:
        return f"{models} on {devices}: best responses go round in {len(game['cycle'])} profiles"
    return (
        f"{models} on {devices}: equilibrium, {game['price_of_anarchy']:.3f} of the optimum's "
        "summed latency"
    )


def place_text(document: Mapping[str, Any]) -> str:
    """Methods and parts, or jobs and what anarchy costs."""
    body = _game(document) if document["game"] else _placement(document)
    wire = (
        f"between devices {format_si(document['bandwidth_bytes_per_s'], 'B/s')}, "
        f"{format_seconds(document['latency_s'])} a transfer"
    )
    notes = [f"note: {note}" for note in document["notes"]]
    return "\n".join([place_headline(document), *body, wire, *notes])


def _placement(document: Mapping[str, Any]) -> list[str]:
    best = document["seconds"]
    rows = [
        [
            method["method"],
            format_seconds(method["seconds"]),
            signed_percent(method["seconds"] / best - 1),
            format_seconds(method["simulated_s"]),
        ]
        for method in document["methods"]
    ]
    search = format_seconds(document["search_s"])
    title = f"search {search}; no placement takes less than {format_seconds(document['bound_s'])}"
    columns = ["method", "time", "to the best", "with links shared"]
    runs = []
    ordered = sorted(document["parts"], key=lambda part: part["start_s"])
    for device, group in groupby(ordered, key=lambda part: part["device"]):
        parts = list(group)
        runs.append(
            [
                format_seconds(parts[0]["start_s"]),
                device,
                str(sum(part["operators"] for part in parts)),
                format_seconds(sum(part["seconds"] for part in parts)),
                parts[0]["first"],
            ]
        )
    placed = table("", ["start", "<device", "operators", "time", "<first operator"], runs)
    return [table(title, columns, rows), "", placed, ""]


def _game(document: Mapping[str, Any]) -> list[str]:
    game = document["game"]
    rows = [
        [
            job["model"],
            format_seconds(job["alone_s"]),
            format_seconds(job["seconds"]),
            format_seconds(job["simulated_s"]),
            format_seconds(job["optimum_s"]),
            _runs(job["devices"]),
        ]
        for job in game["jobs"]
    ]
    columns = ["job", "alone", "shared", "simulated", "optimum", "<devices of its groups"]
    lines = [table("", columns, rows)]
    if game["cycle"]:
        lines.append("no equilibrium was reached; these profiles come back again and again:")
        for profile in game["cycle"]:
            lines.append("  " + "; ".join(_runs(devices) for devices in profile))
    else:
        lines.append(
            f"equilibrium after {game['moves']} moves, verified: no job gains by moving alone"
        )
    worst = game["worst_price_of_anarchy"]
    more = "" if worst is None else f", {worst:.3f} at the worst of {game['equilibria']}"
    lines.append(
        f"price of anarchy {game['price_of_anarchy']:.3f}{more} (summed latency "
        f"{format_seconds(game['social_s'])}, optimum {format_seconds(game['optimum_s'])})"
    )
    return lines


def _runs(devices: list[str]) -> str:
    """Devices in the order of the groups: "cpu x 2, h100 x 4"."""
    runs = [(device, len(list(same))) for device, same in groupby(devices)]
    return ", ".join(f"{device} x {count}" if count > 1 else device for device, count in runs)
