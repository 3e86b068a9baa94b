"""Devices against operator types: how many operators were measured."""

from __future__ import annotations

from lydite.api import dashboard
from lydite.api.dashboard import CoverageCount, Reader
from lydite.report.view import Cell, Table, View
from lydite.web.urls import Urls


def coverage(reader: Reader, urls: Urls) -> View:
    """The matrix; a cell leads to its measurements."""
    cells = dashboard.coverage_matrix(reader)
    devices = sorted({cell.device for cell in cells})
    by_type: dict[tuple[str, str], dict[str, list[CoverageCount]]] = {}
    for cell in cells:
        row = by_type.setdefault((cell.domain, cell.op_type), {})
        row.setdefault(cell.device, []).append(cell)
    rows = [
        [Cell(f"{domain}:{op_type}" if domain else op_type)]
        + [_cell(row.get(device, []), urls) for device in devices]
        for (domain, op_type), row in sorted(by_type.items())
    ]
    total = sum(cell.n for cell in cells)
    lead = f"{total:,} measurements of {len(devices)} devices and {len(rows)} operator types"
    table = Table("Operators measured, by type and device", ["operator type", *devices], rows)
    return View("Coverage", [table], lead, "coverage")


def _cell(cells: list[CoverageCount], urls: Urls) -> Cell:
    if not cells:
        return Cell("–")
    first = cells[0]
    measured = sum(cell.ops for cell in cells if cell.status == "ok")
    failed = sum(cell.ops for cell in cells if cell.status != "ok")
    text = f"{measured:,}" if not failed else f"{measured:,} ({failed:,} failed)"
    href = urls.to("measurements", device=first.device, op_type=first.op_type, domain=first.domain)
    return Cell(text, href, is_number=True, tone="bad" if failed else "")
