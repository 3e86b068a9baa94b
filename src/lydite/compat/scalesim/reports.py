"""SCALE-Sim's report files, by its column names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_PORTS = ("IFMAP", "Filter", "OFMAP")
_READS = ("ifmap_reads", "filter_reads", "ofmap_writes")


def reports_of(layers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Texts of the report files by name.

    Columns that are not counted stay empty: cycles with the initial prefetch, which SCALE-Sim takes
    as ten words a cycle, cycles at which ports start and stop, and DRAM's accesses.

    Args:
        layers: rows of the document of `scalesim`.
    """
    compute = [
        "LayerID, Total Cycles (incl. prefetch), Total Cycles, Stall Cycles, Overall Util %, "
        "Mapping Efficiency %, Compute Util %,"
    ]
    bandwidth = [
        "LayerID, Avg IFMAP SRAM BW, Avg FILTER SRAM BW, Avg OFMAP SRAM BW, Avg IFMAP DRAM BW, "
        "Avg FILTER DRAM BW, Avg OFMAP DRAM BW,"
    ]
    columns = [
        f"{memory} {port} {what}"
        for memory in ("SRAM", "DRAM")
        for port in _PORTS
        for what in ("Start Cycle", "Stop Cycle", "Writes" if port == "OFMAP" else "Reads")
    ]
    detail = ["LayerID, " + ", ".join(columns) + ","]
    for number, row in enumerate(layers):
        shares = (row[f"{name}_percent"] for name in ("utilisation", "mapping", "compute"))
        cycles = [f"{row['cycles']:.0f}", f"{row['stall_cycles']:.0f}"]
        compute.append(_line(number, "", *cycles, *map(str, shares)))
        rates = (str(row[name] / row["cycles"]) for name in _READS)
        bandwidth.append(_line(number, *rates, "", "", ""))
        counts = (cell for name in _READS for cell in ("", "", f"{row[name]:.0f}"))
        detail.append(_line(number, *counts, *[""] * 9))
    files = {"COMPUTE": compute, "BANDWIDTH": bandwidth, "DETAILED_ACCESS": detail}
    return {f"{name}_REPORT.csv": "\n".join(lines) + "\n" for name, lines in files.items()}


def _line(number: int, *cells: str) -> str:
    return ", ".join([str(number), *cells]) + ","
