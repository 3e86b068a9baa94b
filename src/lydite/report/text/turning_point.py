"""Turning points as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lydite.report.text import percent, signed_percent, table
from lydite.units import format_seconds


def turning_point_text(document: Mapping[str, Any]) -> str:
    """Each sweep: the turning point and its reason, then times and what each step saves."""
    place = f" on {document['device']} ({document['backend']})" if document["device"] else ""
    blocks = [f"{document['model']}{place}"]
    for sweep in document["sweeps"]:
        blocks.append(_sweep(sweep, document["gain"], document["confidence"]))
    warnings = [f"warning: {text}" for text in document["warnings"]]
    return "\n\n".join([*blocks, *filter(None, ["\n".join(warnings)])])


def _sweep(sweep: Mapping[str, Any], gain: float, confidence: float) -> str:
    values, seconds, fitted = sweep["values"], sweep["seconds"], sweep["fitted_s"]
    rows = []
    for index, value in enumerate(values):
        saved = "" if index == 0 else signed_percent(seconds[index] / seconds[index - 1] - 1)
        curve = format_seconds(fitted[index]) if fitted else ""
        mark = "<- turning point" if value == sweep["turning_point"] else ""
        rows.append([f"{value:g}", format_seconds(seconds[index]), saved, curve, mark])
    columns = [sweep["vary"], f"time per {sweep['per']}", "step", "curve", "<"]
    return "\n".join([*_verdict(sweep, values, gain, confidence), table("", columns, rows)])


def _verdict(
    sweep: Mapping[str, Any], values: Sequence[float], gain: float, confidence: float
) -> list[str]:
    at, within = sweep["turning_point"], f"{values[0]:g}..{values[-1]:g}"
    if at is None:
        return [f"{sweep['vary']}: no turning point named", f"  {sweep['reason']}"]
    sure = f"{percent(confidence, 0)}: {sweep['low']:g} to {sweep['high']:g}"
    if sweep["beyond"]:
        first = f"{sweep['vary']}: no knee within {within}; the last step still pays ({sure})"
    else:
        first = f"{sweep['vary']}: more than {at:g} stops paying ({sure})"
    curve = f"{sweep['curve']} curve: " if sweep["curve"] else ""
    return [first, f"  {curve}{sweep['reason']}", f"  a step pays if it saves {percent(gain, 0)}"]
