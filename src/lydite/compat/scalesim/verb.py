"""`scalesim`: count layers as SCALE-Sim 3.0.0 does, including its bugs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from lydite.errors import InputError
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    import numpy as np

    from lydite.api import Session
    from lydite.chip.systolic import Array, Product
    from lydite.compat.scalesim.files import ScaleSimSettings
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

    def write_reports(self, folder: Path | str) -> list[Path]:
        """Write SCALE-Sim's report files, with its columns; those that are not counted are empty.

        Returns:
            COMPUTE_REPORT.csv, BANDWIDTH_REPORT.csv and DETAILED_ACCESS_REPORT.csv.
        """
        from lydite.compat.scalesim.reports import reports_of
        from lydite.files import write_atomic

        texts = reports_of(self.facts["layers"])
        return [write_atomic(Path(folder) / name, text) for name, text in texts.items()]


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
    array, settings = _array(wanted.chip, made)
    layers = _layers(model, chosen(ModelOptions, options, left), settings)
    rows = [_row(array, settings, layer) for layer in layers]
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


@dataclass(frozen=True)
class _Counted:
    """A layer to count; layers may share a name.

    Attributes:
        name: Name of the layer.
        product: Product of the weights that are stored.
        dense: Product with all weights.
        block: Size of a block of sparse weights; 1 for dense ones.
        ifmap: Addresses of the ifmap's elements; None if windows are not known.
    """

    name: str
    product: Product
    dense: Product
    block: int = 1
    ifmap: np.ndarray | None = None


def _array(file: str, chip: Chip) -> tuple[Array, ScaleSimSettings | None]:
    """The array without fold overlap, and what else SCALE-Sim's own file says."""
    from lydite.chip.systolic import Array, array_of
    from lydite.compat.scalesim.files import read_config

    found = array_of(chip)
    array = Array(found.rows, found.columns, found.dataflow, "none")
    return array, read_config(Path(file)) if file.endswith(".cfg") else None


def _layers(
    model: ModelLike, options: ModelOptions, settings: ScaleSimSettings | None
) -> list[_Counted]:
    """Products of the layers; of a topology also the addresses of the ifmap's elements."""
    from lydite.chip.systolic import products_of
    from lydite.compat.scalesim.files import read_topology

    if isinstance(model, str | Path) and str(model).endswith(".csv"):
        rows = read_topology(Path(model))
        if settings is None or not settings.sparse:
            return [_Counted(row.name, row.product, row.product, ifmap=row.ifmap) for row in rows]
        blocks = [1 if row.sparsity[0] == row.sparsity[1] else row.sparsity[1] for row in rows]
        return [
            _Counted(row.name, row.compressed, row.product, block, row.ifmap)
            for row, block in zip(rows, blocks, strict=True)
        ]
    found = products_of(resolve(model, options).graph)
    return [_Counted(name, product, product) for name, product in found.items()]


def _row(array: Array, settings: ScaleSimSettings | None, layer: _Counted) -> Any:
    from lydite.chip.systolic import run_on, stalled_run

    run = run_on(array, layer.product, compat=True)
    row: dict[str, Any] = {"layer": layer.name, "stall_cycles": 0}
    row |= {name: float(getattr(run, name)) for name in _COLUMNS}
    if layer.block > 1:
        row["utilisation_percent"] *= float(layer.dense.macs / layer.product.macs)
        if array.dataflow == "ws":  # activations of zero weights are fetched, in whole blocks
            fetched = -(-layer.dense.k // layer.block) * layer.block
            row["ifmap_reads"] *= float(fetched / layer.product.k)
    if settings is not None and settings.memory is not None:
        if layer.block > 1:
            raise InputError(
                f"{layer.name}: sparse weights with limited bandwidth",
                allowed="InterfaceBandwidth: CALC",
                hint="leave the sparsity or the limit out",
            )
        waited = stalled_run(array, layer.product, settings.memory, ifmap=layer.ifmap, compat=True)
        row |= {"cycles": waited.cycles, "stall_cycles": waited.stall_cycles}
        row["utilisation_percent"] *= float(run.cycles) / waited.cycles
    return row
