"""Runs of a database as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lydite.report.text import table
from lydite.units import format_seconds


def runs_text(runs: Sequence[Mapping[str, Any]]) -> str:
    """One line per run."""
    rows = [
        [
            str(run["id"])[:8],
            str(run["started_at"])[:19],
            str(run["command"]),
            str(run["status"]),
            "-" if run["duration_s"] is None else format_seconds(run["duration_s"]),
            _arguments(run["arguments"]),
        ]
        for run in runs
    ]
    return table("", ["id", "<started (UTC)", "<command", "<status", "took", "<arguments"], rows)


def _arguments(arguments: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name}={' '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in arguments.items()
        if value is not None
    )
