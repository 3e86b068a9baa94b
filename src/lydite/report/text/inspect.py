"""What a model computes, as text."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any

from lydite.report.text import WIDTH, table
from lydite.units import format_bytes, format_si

if TYPE_CHECKING:
    from collections.abc import Mapping


def inspect_text(document: Mapping[str, Any], *, ops: bool = False) -> str:
    """Size, inputs, outputs, memory and a table of operator types, or of operators with `ops`."""
    unknown = document["unknown_operators"]
    bound = "at least " if unknown else ""
    lines = [
        f"{document['model']}: {document['operators']} operators, "
        f"{format_si(document['parameters'], '')} parameters{_active(document)} "
        f"({format_bytes(document['parameter_bytes'])}), "
        f"{bound}{format_si(document['flops'], 'FLOP')}"
    ]
    if unknown:
        rest = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        lines.append(_wrapped(f"unknown work: {', '.join(unknown[:3])}{rest}"))
    for label in ("inputs", "outputs"):
        lines.append(_wrapped(f"{label}: {_listed(document[label])}"))
    if document["memory"] is not None:
        lines.append(_wrapped(f"memory: {_memory_line(document['memory'])}"))
    lines += [_wrapped(f"note: {note}") for note in document["notes"]]
    if document["training"] is not None:
        lines += ["", _phase_table(document["training"])]
    lines += ["", _op_table(document["ops"]) if ops else _type_table(document["ops"])]
    return "\n".join(lines)


def _active(document: Mapping[str, Any]) -> str:
    """Parameters that a token meets, where experts make that fewer."""
    active = document["active_parameters"]
    if active == document["parameters"]:
        return ""
    return f", {format_si(active, '')} active"


def _wrapped(text: str) -> str:
    return fill(text, WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False)


def _listed(types: dict[str, str], most: int = 3) -> str:
    """The first few entries; the cache of a language model has a hundred."""
    shown = [f"{name} {type_}" for name, type_ in types.items()][:most]
    rest = len(types) - len(shown)
    return ", ".join(shown) + (f", and {rest} more" if rest else "")


def _memory_line(memory: dict[str, Any]) -> str:
    parts = ", ".join(
        f"{phase} {format_bytes(size)}" for phase, size in memory["at_peak_bytes"].items() if size
    )
    return f"{format_bytes(memory['peak_bytes'])} at most ({parts})"


def _phase_table(training: dict[str, Any]) -> str:
    title = f"training step: loss {training['loss']}, optimizer {training['optimizer'] or 'none'}"
    rows = [
        [
            name,
            str(p["operators"]),
            _si(p["flops"], "FLOP"),
            _size(p, "read_bytes"),
            _size(p, "written_bytes"),
        ]
        for name, p in training["phases"].items()
    ]
    return table(title, ["phase", "operators", "work", "read", "written"], rows)


def _op_table(per_op: list[dict[str, Any]]) -> str:
    rows = [
        [
            op["name"][-28:],
            op["op_type"],
            _shape(op["outputs"]),
            _si(op["flops"], "FLOP"),
            _size(op, "read_bytes"),
            _size(op, "written_bytes"),
            _intensity(op),
        ]
        for op in per_op
    ]
    columns = ["operator", "<type", "<output", "work", "read", "written", "FLOP/B"]
    return table("", columns, rows)


def _type_table(per_op: list[dict[str, Any]]) -> str:
    by_type: dict[str, dict[str, Any]] = {}
    for op in per_op:
        totals = by_type.setdefault(
            op["op_type"],
            {
                "count": 0,
                "flops": 0.0,
                "read_bytes": 0.0,
                "written_bytes": 0.0,
                "parameters": 0,
                "unknown": 0,
            },
        )
        totals["count"] += 1
        for name in ("flops", "read_bytes", "written_bytes", "parameters"):
            totals[name] += op[name] or 0
        totals["unknown"] += op["flops"] is None
    ordered = sorted(by_type.items(), key=lambda item: -item[1]["flops"])
    rows = [
        [
            name,
            str(k["count"]),
            _known(k, _si(k["flops"], "FLOP")),
            _known(k, _size(k, "read_bytes")),
            _known(k, _size(k, "written_bytes")),
            _si(k["parameters"], ""),
            _known(k, _intensity(k)),
        ]
        for name, k in ordered
    ]
    return table("", ["type", "count", "work", "read", "written", "parameters", "FLOP/B"], rows)


def _known(totals: dict[str, Any], text: str) -> str:
    return (
        "unknown"
        if totals["unknown"] == totals["count"]
        else text + ("+" if totals["unknown"] else "")
    )


def _si(value: float | None, unit: str) -> str:
    return "unknown" if value is None else format_si(float(value), unit)


def _size(op: dict[str, Any], name: str) -> str:
    return _si(op[name], "B")


def _intensity(op: dict[str, Any]) -> str:
    if op["flops"] is None:
        return "unknown"
    moved = op["read_bytes"] + op["written_bytes"]
    return f"{op['flops'] / moved:.1f}" if moved else "-"


def _shape(outputs: list[str]) -> str:
    return outputs[0] if outputs else "-"
