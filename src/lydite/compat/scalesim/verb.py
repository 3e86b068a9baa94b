"""`scalesim`: count layers as SCALE-Sim 3.0.0 does, including its bugs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from typing_extensions import TypedDict

from lydite.api import (
    DesignKeywords,
    DesignOptions,
    Model,
    ModelLike,
    ModelOptions,
    chosen,
    resolve,
)
from lydite.results import Result

if TYPE_CHECKING:
    import numpy as np

    from lydite.api import Session
    from lydite.chip.systolic import Array, OffChipMemory, Product
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


class ScalesimLayer(TypedDict):
    """SCALE-Sim's columns for a layer."""

    layer: str
    stall_cycles: float
    cycles: float
    utilisation_percent: float
    mapping_percent: float
    compute_percent: float
    ifmap_reads: float
    filter_reads: float
    ofmap_writes: float


class ScalesimDocument(TypedDict):
    """All layers, and their total cycles."""

    model: str
    chip: str
    array: str
    source: str
    cycles: float
    stall_cycles: float
    layers: list[ScalesimLayer]


@dataclass(frozen=True, eq=False, repr=False)
class ScalesimResult(Result):
    """Layers as SCALE-Sim counts them.

    Attributes:
        facts: The document.
    """

    verb = "scalesim"

    facts: ScalesimDocument

    def document(self) -> ScalesimDocument:
        """All layers."""
        return self.facts

    def summary(self) -> str:
        """A table with one line per layer."""
        from lydite.compat.scalesim.text import scalesim_text

        return scalesim_text(self.facts)

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per layer."""
        return self.facts["layers"]


def scalesim(
    session: Session,
    model: ModelLike,
    *,
    options: ModelOptions | None = None,
    design: DesignOptions | None = None,
    **given: Unpack[DesignKeywords],
) -> ScalesimResult:
    """Count the cycles of layers on a systolic array as SCALE-Sim 3.0.0 does.

    Args:
        session: Not used.
        model: Model (see `load`), or path of SCALE-Sim's topology .csv.
        options: Options of the model.
        design: Options of the chip; SCALE-Sim's own .cfg with limited bandwidth adds stalls.
        given: Fields of `DesignOptions` and `ModelOptions`.

    Raises:
        InputError: the chip has no systolic array, or the topology is invalid.
    """
    del session
    left = dict(given)
    names = [name for name in DesignOptions.__dataclass_fields__ if name in left]
    wanted = chosen(DesignOptions, design, {name: left.pop(name) for name in names})
    made = wanted.design()
    array, memory = _array(wanted.chip, made)
    layers = _layers(model, chosen(ModelOptions, options, left))
    rows = _rows_of(array, memory, layers)
    return ScalesimResult(
        {
            "model": model.name if isinstance(model, Model) else str(model),
            "chip": made.name,
            "array": f"{array.rows} x {array.columns} {array.dataflow}",
            "source": "simulated",
            "cycles": sum(row["cycles"] for row in rows),
            "stall_cycles": sum(row["stall_cycles"] for row in rows),
            "layers": rows,
        }
    )


def _array(file: str, chip: Chip) -> tuple[Array, OffChipMemory | None]:
    """The array without fold overlap, and the memory if its bandwidth is limited."""
    from lydite.chip.systolic import Array, array_of
    from lydite.compat.scalesim.files import read_config

    found = array_of(chip)
    array = Array(found.rows, found.columns, found.dataflow, "none")
    return array, read_config(Path(file)).memory if file.endswith(".cfg") else None


def _layers(
    model: ModelLike, options: ModelOptions
) -> dict[str, tuple[Product, np.ndarray | None]]:
    """Products by layer; for a topology also the addresses of the ifmap's elements."""
    from lydite.chip.systolic import products_of
    from lydite.compat.scalesim.files import read_topology

    if isinstance(model, str | Path) and str(model).endswith(".csv"):
        return {each.name: (each.product, each.ifmap) for each in read_topology(Path(model))}
    return {k: (product, None) for k, product in products_of(resolve(model, options).graph).items()}


def _rows_of(
    array: Array, memory: OffChipMemory | None, layers: dict[str, tuple[Product, np.ndarray | None]]
) -> list[Any]:
    from lydite.chip.systolic import run_on, stalled_run

    rows: list[Any] = []
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
