"""A model run side by side as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lydite.report.text import signed_percent, table
from lydite.units import format_seconds

WAYS = {
    "sequential": "one thread (ONNX Runtime)",
    "threads": "all cores per operator (ONNX Runtime)",
    "staged": "stages on pinned workers",
}
STAGE = {"one": "one after another", "side": "side by side", "wide": "all cores per operator"}
_SHOWN = 12


def corun_text(document: Mapping[str, Any]) -> str:
    """Ways, choice, stages by what they gain, costs."""
    lines = [
        f"{document['model']} on {document['device']}: {document['workers']} workers, "
        f"{document['operators']} operators in {document['units']} units"
    ]
    rows = [
        [
            WAYS[way["name"]],
            format_seconds(way["seconds"]),
            f"{way['ratio']:.2f}",
            _predicted(way),
            "<- chosen" if way["name"] == document["chosen"] else "",
        ]
        for way in document["ways"]
    ]
    columns = ["way", "measured", "of one thread", "predicted", "<"]
    same = "bit for bit those of one session" if document["equal"] else "NOT equal: not chosen"
    lines += [table("", columns, rows), f"outputs: {same}", ""]
    lines += _stages(document)
    handoff, slow = format_seconds(document["handoff_s"]), document["slowdown"]
    lines.append(
        f"hand-off {handoff}; beside each other: computation x{slow[0][0]:.2f}, "
        f"memory x{slow[1][1]:.2f}, computation beside memory x{slow[0][1]:.2f}, "
        f"memory beside computation x{slow[1][0]:.2f}"
    )
    lines += [f"note: {note}" for note in document["notes"]]
    lines += [f"warning: {text}" for text in document["warnings"]]
    return "\n".join(lines)


def _predicted(way: Mapping[str, Any]) -> str:
    if way["predicted_s"] is None:
        return ""
    error = signed_percent(way["predicted_s"] / way["seconds"] - 1)
    return f"{format_seconds(way['predicted_s'])} ({error})"


def _stages(document: Mapping[str, Any]) -> list[str]:
    """The longest stages, and what side by side would have cost where it was not chosen."""
    stages = list(enumerate(document["stages"], start=1))
    stages.sort(key=lambda item: -item[1]["measured_s"])
    rows = [
        [
            f"{number}",
            STAGE[stage["way"]],
            " | ".join(f"{len(lane)} from {lane[0]}" for lane in stage["lanes"]),
            format_seconds(stage["sequential_s"]),
            format_seconds(stage["predicted_s"]),
            format_seconds(stage["measured_s"]),
        ]
        for number, stage in sorted(stages[:_SHOWN])
    ]
    columns = ["stage", "<way", "<units", "one thread", "predicted", "measured"]
    lost = [
        f"{number} ({format_seconds(stage['side_s'])}, not {format_seconds(stage['predicted_s'])})"
        for number, stage in sorted(stages)
        if stage["side_s"] is not None and stage["way"] != "side"
    ]
    title = f"the longest {len(rows)} of {len(stages)} stages"
    lines = [table(title, columns, rows)]
    if lost:
        lines.append(f"side by side would be slower in stages {', '.join(lost[:6])}: not chosen")
    return lines
