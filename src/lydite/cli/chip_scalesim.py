"""Layers as SCALE-Sim 3.0.0 counts them, its bugs included."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from lydite.chip.systolic import Array, Memory, Product
    from lydite.cli.options import ModelOptions
    from lydite.hardware.chip import Chip

_COLUMNS = (
    "cycles",
    "utilisation_percent",
    "mapping_percent",
    "compute_percent",
    "ifmap_reads",
    "filter_reads",
    "ofmap_writes",
)


def scalesim(
    name: str, shape: ModelOptions, file: str, chip: Chip, out: Path | None, json: bool
) -> None:
    """Print SCALE-Sim's columns.

    Args:
        name: a model, or a topology .csv.
        shape: of the model.
        file: of the chip; SCALE-Sim's own .cfg with limited bandwidth adds stalls.
        chip: its array.
        out, json: as the command has them.

    Raises:
        InputError: the chip has no systolic array, or a bad topology.
    """
    from lydite.cli.show import deliver, table

    array, memory = _array(file, chip)
    layers = _layers(name, shape)
    rows = _rows(array, memory, layers)
    total = sum(row["cycles"] for row in rows)
    stalls = sum(row["stall_cycles"] for row in rows)
    document = {"layers": rows, "cycles": total, "stall_cycles": stalls}
    if deliver("scalesim", document, out, as_json=json):
        return
    lines = [
        [
            row["layer"],
            f"{row['cycles']:,.0f}",
            f"{row['stall_cycles']:,.0f}",
            *(f"{row[key]:.2f}" for key in _COLUMNS[1:4]),
        ]
        for row in rows
    ]
    print(f"{name} on {array.rows} x {array.columns} {array.dataflow}, as SCALE-Sim 3.0.0 counts")
    columns = ["layer", "cycles", "stalls", "overall util %", "mapping %", "compute util %"]
    print(table("", columns, lines))
    print(f"\n{total:,.0f} cycles, {stalls:,.0f} of them stalls")


def _array(file: str, chip: Chip) -> tuple[Array, Memory | None]:
    """The array, its folds one after the other, and the memory where that is limited."""
    from lydite.chip.systolic import Array, read_config
    from lydite.chip.systolic.tiles import array_of

    found = array_of(chip)
    array = Array(found.rows, found.columns, found.dataflow, "none")
    return array, read_config(Path(file)).memory if file.endswith(".cfg") else None


def _layers(name: str, shape: ModelOptions) -> dict[str, tuple[Product, np.ndarray | None]]:
    """Products by layer; of a topology also where the ifmap's elements lie."""
    from lydite.chip.systolic import products_of, read_topology
    from lydite.cli.load import load_model

    if name.endswith(".csv"):
        return {each.name: (each.product, each.ifmap) for each in read_topology(Path(name))}
    return {k: (product, None) for k, product in products_of(load_model(name, shape)).items()}


def _rows(
    array: Array, memory: Memory | None, layers: dict[str, tuple[Product, np.ndarray | None]]
) -> list[dict[str, Any]]:
    from lydite.chip.systolic import run_on, stalled_run

    rows: list[dict[str, Any]] = []
    for name, (product, ifmap) in layers.items():
        run = run_on(array, product, compat=True)
        row = {"layer": name, "stall_cycles": 0, **{k: float(getattr(run, k)) for k in _COLUMNS}}
        if memory is not None:
            waited = stalled_run(array, product, memory, ifmap=ifmap, compat=True)
            row |= {"cycles": waited.cycles, "stall_cycles": waited.stall_cycles}
            scale = float(run.cycles) / waited.cycles
            row["utilisation_percent"] *= scale
        rows.append(row)
    return rows
