"""Graphs and engines of a target: in its precision, with the sizes of its data, from the cache."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lydite.api.mlperf.benchmark import Target, data_of
from lydite.api.mlperf.options import RunOptions
from lydite.errors import InputError, unknown_name
from lydite.mlperf.calibration import read_table, usual_path
from lydite.mlperf.dataset import DataSet
from lydite.mlperf.engine import DTYPES, EngineSpec, build, is_built, model_digest, spec_of
from lydite.mlperf.settings import Setting, Settings

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.graph import Graph


def graph_of(
    session: Session, target: Target, size: int, dtype: str, data: DataSet | None
) -> Graph:
    """The target's graph at a batch size; symbolic sizes are those of the data set's samples.

    Raises:
        InputError: no model, one that cannot be read, or inputs of sizes that nobody says.
    """
    if not target.model:
        raise InputError(
            f"no model of the set is {target.name}", hint="give an .onnx file instead of the name"
        )
    dims = target.dims
    if data is not None and target.is_file:
        dims += _dims(session.load(target.model).graph, data)
    graph = session.load(target.model, batch=size, dtype=dtype, dim=dims).graph
    shapes = (graph.type_of(name).shape or () for name in graph.inputs)
    unknown = dict.fromkeys(dim for shape in shapes for dim in shape if not isinstance(dim, int))
    if unknown:
        raise InputError(
            "its inputs have sizes that nobody says",
            where=target.name,
            allowed=", ".join(f"--dim {dim}=SIZE" for dim in unknown),
            hint="or --data, whose samples have sizes",
        )
    return graph


def _dims(graph: Graph, data: DataSet) -> tuple[str, ...]:
    """Symbolic sizes of the inputs but the batch, as --dim takes them."""
    sizes: dict[str, int] = {}
    for name in graph.inputs:
        shape = graph.type_of(name).shape or ()
        array = data.inputs.get(name)
        if array is None or array.ndim != len(shape):
            continue
        for dim, size in list(zip(shape, array.shape, strict=True))[1:]:
            if not isinstance(dim, int):
                sizes[str(dim)] = size
    return tuple(f"{name}={size}" for name, size in sizes.items())


def engine_of(
    session: Session, target: Target, settings: Settings, device: str, options: RunOptions
) -> tuple[EngineSpec, bool]:
    """The engine of these settings, and whether it was built now.

    Raises:
        InputError: an unknown precision, int8 without a calibration or with one of another model,
            or with `built_only` an engine that is not in the cache.
    """
    precision = settings["precision"]
    if precision not in DTYPES:
        raise unknown_name("precision", precision, DTYPES)
    data = data_of(options)

    def plain(size: int) -> Graph:
        return graph_of(session, target, size, DTYPES[precision], data)

    graph = plain(1)
    if data is not None:
        data.check_fits(graph)
    calibration, make = "", plain
    if precision == "int8":
        digest = model_digest(graph)
        table = read_table(options.calibration or usual_path(digest))
        if table.model != digest:
            raise InputError(
                f"the calibration table is for the model {table.model}",
                where=str(options.calibration),
                allowed=f"{digest} ({target.name})",
                hint="lydite mlperf calibrate",
            )
        calibration = table.digest

        def make(size: int) -> Graph:
            from lydite.mlperf.quantiser import Quantiser

            return Quantiser(plain(size)).quantised(table)

    spec = spec_of(
        target.name,
        graph,
        precision,
        settings["backend"],
        device,
        settings.largest_batch,
        calibration,
    )
    if options.built_only and not is_built(spec):
        raise InputError(
            f"the engine of {target.name} in {settings.scenario} is not built",
            where=str(spec.folder),
            hint="lydite mlperf build, with the same options",
        )
    return spec, build(spec, make)


def in_precision(settings: Settings, precision: str) -> Settings:
    """The settings with another precision."""
    other = Setting("precision", precision, "reference")
    return replace(settings, values={**settings.values, "precision": other})
