"""What the user named, as objects: models, databases, backends, devices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lydite.errors import InputError

if TYPE_CHECKING:
    from lydite.cli.options import ModelOptions
    from lydite.estimate import Estimate, Estimator, Reached, Rows
    from lydite.graph import Graph
    from lydite.graph.training import TrainingStep
    from lydite.hardware import Device
    from lydite.store import Database


def load_model(name: str, shape: ModelOptions) -> Graph:
    """A model by name or path, as the options want it.

    Raises:
        InputError: unknown name, bad file, or an option that this model does not take.
    """
    graph, step = load_step(name, shape)
    return step.graph if step is not None else graph


def load_step(name: str, shape: ModelOptions) -> tuple[Graph, TrainingStep | None]:
    """The model, and its training step with --train.

    Raises:
        InputError: see `load_model`; an option of training without --train.
    """
    from lydite.graph.training import training_step

    given = {"--optimizer": shape.optimizer, "--loss": shape.loss, "--recompute": shape.recompute}
    for option, value in given.items():
        if value is not None and not shape.train:
            raise InputError(f"{option} {value} asks for training", hint="add --train")
    language = {"phase": "forward"} if shape.train and shape.phase is None else {}
    graph = _inference(name, shape, language)
    if not shape.train:
        return graph, None
    step = training_step(
        graph, loss=shape.loss, optimizer=shape.optimizer, recompute=shape.recompute or 0
    )
    return graph, step


def _inference(name: str, shape: ModelOptions, usual: dict[str, str]) -> Graph:
    if _is_config(name):
        return _from_config(name, shape, usual)
    if Path(name).suffix in (".onnx", ".pbtxt", ".json", ".pt2") or Path(name).exists():
        return _from_file(name, shape)
    from lydite.models import build_model, describe
    from lydite.models.info import FLOATS

    for option in ("dim", "params"):
        if getattr(shape, option):
            raise InputError(
                f"--{option} is for files; '{name}' is a model of the set", hint="lydite models"
            )
    takes = describe(name).defaults
    options = {
        option: value
        for option, value in {**usual, **_sizes(shape)}.items()
        if option in takes or option not in usual
    }
    dtype = shape.dtype or "float32"
    graph = build_model(
        name, batch=shape.batch or 1, dtype=dtype if dtype in FLOATS else "float32", **options
    )
    return graph if dtype in FLOATS else _in_precision(graph, dtype)


def _sizes(shape: ModelOptions) -> dict[str, int | str | None]:
    return {
        "image_size": shape.image_size,
        "sequence": shape.sequence,
        "context": shape.context,
        **({"phase": shape.phase} if shape.phase else {}),
    }


def _is_config(name: str) -> bool:
    """A Hugging Face config: by its name, by what a folder holds, or by its field `model_type`."""
    path = Path(name)
    if path.suffix != ".json" or path.name == "config.json" or not path.is_file():
        return path.name == "config.json" or (path / "config.json").is_file()
    with path.open("rb") as file:
        return b'"model_type"' in file.read(1 << 16)


def _from_config(name: str, shape: ModelOptions, usual: dict[str, str]) -> Graph:
    """A Hugging Face config; other precisions than the plain floats are made by a pass."""
    from lydite.models.huggingface import graph_from_config
    from lydite.models.info import FLOATS

    for option in ("dim", "params", "image_size"):
        if getattr(shape, option):
            dashed = option.replace("_", "-")
            raise InputError(f"--{dashed} is not for a config.json", where=name)
    plain = shape.dtype is None or shape.dtype in FLOATS
    graph = graph_from_config(
        name,
        batch=shape.batch or 1,
        sequence=shape.sequence,
        context=shape.context,
        phase=shape.phase or usual.get("phase"),
        dtype=shape.dtype if plain else "float32",
    )
    return graph if plain else _in_precision(graph, str(shape.dtype))


def _from_file(name: str, shape: ModelOptions) -> Graph:
    from lydite.graph import rebatched
    from lydite.graph.formats import read_file

    for option, value in _sizes(shape).items():
        if value is not None:
            dashed = option.replace("_", "-")
            raise InputError(
                f"a file has its own sizes, --{dashed} is for the model set",
                where=name,
                hint="use --dim NAME=SIZE for symbolic sizes",
            )
    bound = dict(_dim(text) for text in shape.dim or [])
    graph = read_file(name, dims=bound, params=shape.params).renamed(Path(name).stem)
    if shape.batch is not None:
        graph = rebatched(graph, shape.batch)
    return graph if shape.dtype is None else _in_precision(graph, shape.dtype)


def _in_precision(graph: Graph, dtype: str) -> Graph:
    from lydite.graph.passes import in_precision

    return in_precision(graph, dtype)


def _dim(text: str) -> tuple[str, int]:
    name, equals, size = text.rpartition("=")
    if not (name and equals and size.isdecimal() and int(size) < 2**31):
        raise InputError(f"'{text}' binds nothing", where="--dim", allowed="NAME=SIZE")
    return name, int(size)


@contextmanager
def open_database(target: str | None, *, read_only: bool = False) -> Iterator[Database]:
    """The database that the user means."""
    from lydite.store import Database

    with Database.open(target, read_only=read_only) as database:
        yield database


def device_named(name: str, databases: Sequence[Database]) -> Device:
    """A device by name: this machine's, one of the catalog, or one that a database has rows of.

    Raises:
        InputError: nobody knows it (with the nearest name).
    """
    from lydite.hardware import Device, find_device, local_device

    for database in databases:
        for record in database.devices():
            if record.name == name and record.spec and name != local_device().name:
                return Device.from_json(record.spec)
    return find_device(name)


def as_run(graph: Graph) -> Graph:
    """As runtimes usually fuse; as it is where control flow forbids it."""
    from lydite.errors import GraphError
    from lydite.graph.passes import fused

    try:
        return fused(graph)
    except GraphError:
        return graph


def chain_for(
    databases: Sequence[Database], device: Device, rows: Rows, reached: Reached | None = None
) -> tuple[Estimator, Estimate | None]:
    """Who says how long operators take: of a chip's design the simulator, else the usual chain."""
    from lydite.estimate.assemble import usual_chain

    if device.chip is None:
        return usual_chain(databases, device, rows, reached)
    from lydite.chip import ChipEstimator

    return ChipEstimator(device.chip), None


@contextmanager
def recorded_run(database: Database, command: str, arguments: dict[str, Any]) -> Iterator[Run]:
    """A run in the database: done with its result, or failed, or interrupted."""
    run = Run(database.start_run(command, arguments))
    try:
        yield run
    except KeyboardInterrupt:
        database.finish_run(run.id, "interrupted", run.result)
        raise
    except BaseException:
        database.finish_run(run.id, "failed", run.result)
        raise
    database.finish_run(run.id, "done", run.result)


class Run:
    """A run's id, and the result it will be saved with."""

    def __init__(self, identity: str) -> None:
        self.id = identity
        self.result: dict[str, Any] = {}
