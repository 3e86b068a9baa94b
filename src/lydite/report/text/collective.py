"""A collective as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lydite.report.text import table
from lydite.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from lydite.cluster.collectives.answer import Answer


def collective_text(answer: Answer) -> str:
    """Time and bandwidths, the choice and its reason, the limiting link, alternatives."""
    group, choice = answer.group, answer.choice
    hosts = "host" if group.hosts == 1 else "hosts"
    how = " ".join(part for part in (choice.algorithm, choice.protocol) if part)
    lines = [
        f"{answer.kind} of {format_bytes(answer.size_bytes)} on {answer.cluster.name}: "
        f"{format_seconds(choice.seconds)} ({answer.source})",
        f"  {group.ranks} ranks on {group.hosts} {hosts}",
        f"  algorithm bandwidth {_rate(answer.algorithm_bandwidth_bytes_per_s)}, "
        f"bus bandwidth {_rate(answer.bus_bandwidth_bytes_per_s)}",
        f"  {how}: {answer.reason}",
        f"  bound by {answer.link} ({answer.link_kind}, {_rate(answer.link_bytes_per_s)})",
    ]
    if not answer.alternatives:
        return "\n".join(lines)
    rows = [
        [
            alternative.algorithm,
            alternative.protocol,
            format_seconds(alternative.seconds),
            _rate(answer.size_bytes / alternative.seconds),
            f"{alternative.seconds / choice.seconds:.2f} x",
        ]
        for alternative in answer.alternatives
    ]
    columns = ["alternative", "<protocol", "time", "algorithm bandwidth", "relative to the choice"]
    return "\n".join([*lines, "", table("", columns, rows)])


def _rate(bytes_per_s: float) -> str:
    return f"{bytes_per_s / 1e9:.4g} GB/s"
