"""Scorecards as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lydite.report.text import table
from lydite.units import format_percent, format_seconds, format_si


def table_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per model, precision and batch, with figures and the scores of both boards."""
    rows: list[dict[str, Any]] = []
    for row, figure in zip(document["rows"], document["figures"], strict=True):
        known: dict[str, Any] = {
            "model": row["model"],
            "title": row["title"],
            "precision": row["precision"],
            "batch": row["batch"],
            "unit": row["unit"],
            "parameters": row["parameters"],
            "flops": None if row["flops"] is None else row["flops"] / row["units"],
            "throughput_per_s": figure["throughput_per_s"],
            "latency_s": figure["latency_s"],
            "latency_p99_s": figure.get("latency_p99_s"),
            "energy_total_j": _total_energy_j(figure, row),
            "energy_j": figure["energy_j"],
            "energy_source": figure["energy_source"],
            "memory_bytes": _memory_bytes(row),
            "mean_power_w": figure["mean_power_w"],
            "roofline_share": _share(row, figure),
            "cosine": (row["fidelity"] or {}).get("cosine"),
            "status": row["status"],
            "reason": row["reason"],
        }
        scored = document["scores"].get("equal", {}).get("models", {}).get(row["model"])
        own = scored is not None and scored["precision"] == row["precision"] and row["batch"] == 1
        known["latency_score"] = scored["latency"] if own and scored else None
        known["energy_score"] = scored["energy"] if own and scored else None
        rows.append(known)
    return rows


def _total_energy_j(figure: Mapping[str, Any], row: Mapping[str, Any]) -> float | None:
    if figure["energy_j"] is None:
        return None
    return figure["energy_j"] * figure["iterations"] * row["units"]


def _memory_bytes(row: Mapping[str, Any]) -> float | None:
    """Mean memory of the accelerator while the model ran, else what its process grew by."""
    for name, means in row.get("telemetry", {}).items():
        if not name.startswith("cpu:") and "memory_bytes" in means:
            return means["memory_bytes"]
    return row["memory_bytes"]


def _share(row: Mapping[str, Any], figure: Mapping[str, Any]) -> float | None:
    """Share of the roofline that the model reaches."""
    if row["bound_s"] is None or not figure["latency_s"]:
        return None
    return row["bound_s"] / row["units"] / figure["latency_s"]


def headline(document: Mapping[str, Any]) -> str:
    """Device, score and its interval."""
    device = document["environment"]["device"]
    scored = document["scores"].get("equal", {}).get("device", {}).get("latency", {})
    mark = "" if document["kind"] == "measured" else ", estimated"
    if scored.get("score") is None:
        return f"{device}: no score{mark}"
    return f"{device}: {_score(scored)} points{' (partial)' * scored['is_partial']}{mark}"


def _score(scored: Mapping[str, Any]) -> str:
    if scored.get("low") is None:
        return f"{scored['score']:.0f}"
    return f"{scored['score']:.0f} ({scored['low']:.0f} to {scored['high']:.0f})"


def score_text(document: Mapping[str, Any]) -> str:
    """Table of the models, then the device's scores, what is missing, and warnings."""
    lines = [_table(document), ""]
    lines += device_lines(document)
    lines += [f"  {row['key']}: {row['status']}, {row['reason']}" for row in _failed(document)]
    lines += [f"note: {note}" for note in notes_of(document)]
    return "\n".join(lines)


def _failed(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [row for row in document["rows"] if row["reason"]]


def _table(document: Mapping[str, Any]) -> str:
    measured = document["kind"] == "measured"
    columns = ["model", "<precision", "batch", "time", "per s", "roofline", "J", "W", "cosine"]
    columns += ["score", "energy score"]
    cells = [
        [
            row["model"],
            row["precision"],
            str(row["batch"]),
            _number(row["latency_s"], format_seconds, "-"),
            _number(row["throughput_per_s"], lambda v: f"{v:.4g}", "-"),
            _number(row["roofline_share"], lambda v: f"{100 * v:.0f} %", "-"),
            _number(row["energy_j"], lambda v: f"{v:.3g}", "-"),
            _number(row["mean_power_w"], lambda v: f"{v:.0f}", "-"),
            _number(row["cosine"], lambda v: f"{v:.4f}", "-"),
            _number(row["latency_score"], lambda v: f"{v:.0f}", "-"),
            _number(row["energy_score"], lambda v: f"{v:.0f}", "-"),
        ]
        for row in table_rows(document)
    ]
    environment = document["environment"]
    head = f"{environment['device']}, set '{document['set']['name']}'"
    head += f", {environment.get('backend') or ''}" if measured else ", ESTIMATED"
    return table(head, columns, cells)


def _number(value: float | None, form: Any, absent: str) -> str:
    return absent if value is None else form(value)


def device_lines(document: Mapping[str, Any]) -> list[str]:
    """The device's scores on both boards."""
    baseline = document["baseline"]
    if baseline is None:
        return ["no baseline: no score (--baseline)"]
    lines = [f"1000 points: {baseline['title']} (sha256 {baseline['sha256'][:12]})"]
    names = {"equal": "the baseline's precision or a wider one", "best": "best valid precision"}
    for kind, words in names.items():
        board = document["scores"].get(kind)
        if board is None:
            continue
        lines += _board_lines(board, words, with_energy=kind == "equal")
    return lines


def _board_lines(board: Mapping[str, Any], words: str, *, with_energy: bool) -> list[str]:
    latency, energy = board["device"]["latency"], board["device"]["energy"]
    if latency["score"] is None:
        return [f"score, {words}: none"]
    lines = [
        f"score, {words}: {_score(latency)}"
        f"{_partial(latency)}; arithmetic mean {latency['arithmetic']:.0f}"
        f"; 1000 / geomean {latency['thousand_over_geomean_ms']:.4g}"
    ]
    if with_energy and energy["score"] is None:
        reasons = sorted(set(energy["missing"].values()))
        lines.append(f"energy score: none ({'; '.join(reasons[:2])})")
    elif with_energy:
        lines.append(f"energy score: {energy['score']:.0f}{_partial(energy)}")
    return lines


def _partial(scored: Mapping[str, Any]) -> str:
    if not scored["is_partial"]:
        return ""
    missing = scored["missing"]
    return (
        f", PARTIAL without {', '.join(missing)} (the whole: {scored['whole_low']:.0f} to "
        f"{scored['whole_high']:.0f} if they score like the others)"
    )


_CONTENDED = 0.05
"""Cores taken by others from which a result names them."""


def notes_of(document: Mapping[str, Any]) -> list[str]:
    """What a reader of the scores has to know."""
    notes: list[str] = []
    environment = document["environment"]
    cut = [
        f"{row['key']} ({len(row['turns'])} turns)"
        for row in document["rows"]
        if row["status"] == "partial"
    ]
    if cut:
        notes.append(
            f"CUT OFF, so it is partial: {', '.join(cut)}; the same command goes on from there"
        )
    if environment.get("busy"):
        notes.append(f"measured beside others: {'; '.join(environment['busy'][:3])}")
    taken = [
        f"{key} {cores:.2g}"
        for row, figure in zip(document["rows"], document["figures"], strict=True)
        if (cores := figure.get("contended_cores", 0.0)) >= _CONTENDED and (key := row["key"])
    ]
    if taken:
        notes.append(f"cores that others took, which widens the intervals: {', '.join(taken)}")
    load = environment.get("state", {}).get("load_average_1min")
    if load is not None and load > 1.0:
        notes.append(f"the load average was {load:g} when the run began")
    equal = document["scores"].get("equal", {}).get("models", {})
    wider = [f"{name} ({row['note']})" for name, row in equal.items() if row["note"]]
    if wider:
        notes.append(f"in another precision than the baseline: {', '.join(wider)}")
    unsteady = [row["key"] for row in document["rows"] if row["warm"] and not row["warm"]["steady"]]
    if unsteady:
        notes.append(f"not steady after warming up: {', '.join(unsteady)}")
    launched = [
        f"{row['key']} ({format_percent(row['launch_share'], 0)})"
        for row in document["rows"]
        if (row.get("launch_share") or 0) > 0.9
    ]
    if launched:
        notes.append(f"bound by launches, so they compare hosts: {', '.join(launched)}")
    notes += _fidelity_notes(document)
    notes += _sensor_notes(environment)
    return notes


def _fidelity_notes(document: Mapping[str, Any]) -> list[str]:
    poor = [
        f"{row['key']} (cosine {row['fidelity']['cosine']:.3f})"
        for row in document["rows"]
        if row["fidelity"] and (row["fidelity"]["cosine"] or 1.0) < 0.99
    ]
    unknown = [
        f"{row['key']} ({row['fidelity']['reason']})"
        for row in document["rows"]
        if row["fidelity"] and row["fidelity"]["cosine"] is None
    ]
    notes: list[str] = []
    if poor:
        notes.append(
            "far from float32's answers, so scored in the baseline's precision only: "
            + ", ".join(poor)
        )
    if unknown:
        notes.append(f"answers not compared: {', '.join(unknown)}")
    return notes


def _sensor_notes(environment: Mapping[str, Any]) -> list[str]:
    sensors = environment.get("sensors") or {}
    notes = [f"sensor: {fault}" for fault in sensors.get("faults", ())[:5]]
    if sensors.get("late_samples"):
        notes.append(f"{sensors['late_samples']} samples of the sensors came late")
    for name, each in sensors.get("devices", {}).items():
        if each["whole_card"] is False:
            notes.append(f"{name} watches a part of a card: {each['note']}")
    return notes


def comparison_text(document: Mapping[str, Any]) -> str:
    """Two results side by side."""
    columns = ["model", "<precision", "batch", "first", "second", "times faster", "95 %", "p", ""]
    cells = [
        [
            row["model"],
            row["precision"],
            str(row["batch"]),
            format_seconds(row["first_s"]),
            format_seconds(row["second_s"]),
            f"{row['ratio']:.3f}",
            "-" if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}",
            "-" if row["p"] is None else f"{row['p']:.2g}",
            {True: "significant", False: "not significant", None: "unknown"}[row["is_significant"]],
        ]
        for row in document["models"]
    ]
    first, second = document["first"], document["second"]
    lines = [table("", columns, cells), ""]
    for name, each in (("first", first), ("second", second)):
        score = "none" if each["score"] is None else _score(each)
        lines.append(f"{name}: {each['device']}, {each['utc']}, {each['kind']}, score {score}")
    lines.append(f"the second is {document['ratio']:.3f} times as fast (geometric mean)")
    for name in ("first", "second"):
        if document[f"only_{name}"]:
            lines.append(f"only in the {name}: {', '.join(document[f'only_{name}'])}")
    return "\n".join([*lines, *(f"warning: {text}" for text in document["warnings"])])


def verification_text(document: Mapping[str, Any]) -> str:
    """What verification found."""
    faults = document["faults"]
    if not faults:
        return (
            f"{document['file']}: {document['figures']} figures follow from "
            f"{document['samples']:,} raw samples; all digests agree"
        )
    lines = [f"{document['file']}: {len(faults)} faults"]
    lines += [
        f"  {fault['where']}: {fault['what']}; stated {fault['stated']}, "
        f"expected {fault['expected']}"
        for fault in faults[:40]
    ]
    return "\n".join([*lines, *([f"  and {len(faults) - 40} more"] if len(faults) > 40 else [])])


def power_text(watts: float | None) -> str:
    """Watts, or that there is none."""
    return "no sensor" if watts is None else format_si(watts, "W")
