"""An AISim benchmark as text."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from lydite.cluster import average_loss
from lydite.report.text import percent, signed_percent, table
from lydite.report.text.accuracy import accuracy_summary

if TYPE_CHECKING:
    from lydite.compat.aisim import Cell, GraphCoverage, Report


def aisim_text(report: Report) -> str:
    """Coverage of the databases, steps by environment and model, accuracy."""
    parts = []
    for graph, found in (("single GPU", report.single), ("multiple GPUs", report.multi)):
        if found:
            parts.append(_coverage(f"Coverage of database using {graph} graph", found))
    if report.cells:
        parts += [_steps(report.cells), accuracy_summary(report.cells)]
    told = [*(f"left out: {why}" for why in report.refused), *report.notes]
    parts += [fill(note, 100, subsequent_indent="  ") for note in told]
    return "\n\n".join(part for part in parts if part)


def _coverage(title: str, found: Sequence[GraphCoverage]) -> str:
    rows = [
        [
            c.model,
            _part(c.covered_nodes, c.nodes, c.node_share),
            _part(c.covered_types, c.types, c.type_share),
            f"{'<=' if c.unknown_nodes else ''}{100 * c.time_share:.1f}%",
        ]
        for c in found
    ]
    lines = [table(title, ["model", "node coverage", "op coverage", "time coverage"], rows)]
    shares = ((100 * c.node_share, 100 * c.type_share) for c in found)
    nodes, types = (sum(share) / len(found) for share in zip(*shares, strict=True))
    lines.append(f"Average node coverage: {nodes:.1f}%, average op coverage: {types:.1f}%")
    for c in found:
        if c.uncovered:
            names = " ".join(f"{op}({count})" for op, count in c.uncovered.items())
            lines.append(fill(f"uncovered in {c.model}: {names}", 100, subsequent_indent="  "))
    return "\n".join(lines)


def _part(covered: int, whole: int, share: float) -> str:
    return f"{covered}/{whole}={100 * share:.1f}%"


_SIDE_BY_SIDE = 2


def _steps(cells: Sequence[Cell]) -> str:
    """Tables of environments by models, a few models side by side."""
    models = list(dict.fromkeys(cell.model for cell in cells))
    environments = list(dict.fromkeys(cell.environment for cell in cells))
    by_place = {(cell.environment, cell.model): cell for cell in cells}
    tables = []
    for at in range(0, len(models), _SIDE_BY_SIDE):
        some = models[at : at + _SIDE_BY_SIDE]
        rows = [
            [
                e,
                *(_cell(by_place.get((e, m))) for m in some),
                _loss([cell for cell in cells if cell.environment == e]),
            ]
            for e in environments
        ]
        losses = [_loss([cell for cell in cells if cell.model == m]) for m in some]
        rows.append(["average_loss", *losses, _loss(cells)])
        tables.append(table("", ["Environment", *some, "average_loss"], rows))
    return "Time (ms, predicted/baseline), accuracy, signed error:\n" + "\n\n".join(tables)


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "left out"
    found = f"{'>=' if cell.is_lower_bound else ''}{cell.predicted_s * 1e3:.4g}"
    if cell.error is None or cell.baseline_s is None:
        return f"{found}/none"
    accuracy = 100 * (1 + cell.error)
    return f"{found}/{cell.baseline_s * 1e3:.4g}={accuracy:.1f}% {signed_percent(cell.error)}"


def _loss(cells: Sequence[Cell]) -> str:
    loss = average_loss(cells)
    return "none" if loss is None else percent(loss)
