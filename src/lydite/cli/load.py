"""What the user named, as objects: models, databases, backends, devices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lydite.errors import InputError

if TYPE_CHECKING:
    from lydite.graph import Graph
    from lydite.hardware import Device
    from lydite.store import Database


def load_model(
    name: str,
    *,
    batch: int | None = None,
    image_size: int | None = None,
    sequence: int | None = None,
    dtype: str = "float32",
    dims: Sequence[str] | None = None,
) -> Graph:
    """A model of the set by name, or an ONNX file by path.

    Raises:
        InputError: unknown name, bad file, or an option that this model does not take.
    """
    if not name.endswith(".onnx"):
        from lydite.models import build_model

        if dims:
            raise InputError(
                f"--dim is for .onnx files; '{name}' takes --batch, --image-size, --sequence"
            )
        return build_model(
            name, batch=batch or 1, image_size=image_size, sequence=sequence, dtype=dtype
        )
    from pathlib import Path

    from lydite.graph import read_onnx

    if image_size is not None or sequence is not None or dtype != "float32":
        raise InputError("a file has its own sizes and precision", where=name, hint="use --dim")
    bound = dict(_dim(text) for text in dims or [])
    graph = read_onnx(name, dims=bound).renamed(Path(name).stem)
    if batch is not None:
        graph = _with_batch(graph, batch)
    return graph


def _dim(text: str) -> tuple[str, int]:
    name, equals, size = text.rpartition("=")
    if not (name and equals and size.isdecimal() and int(size) < 2**31):
        raise InputError(f"'{text}' binds nothing", where="--dim", allowed="NAME=SIZE")
    return name, int(size)


def _with_batch(graph: Graph, batch: int) -> Graph:
    """The batch of a file: the symbolic first size of its first input."""
    from lydite.graph import bind_dims

    shape = graph.type_of(graph.inputs[0]).shape if graph.inputs else None
    if not shape or not isinstance(shape[0], str):
        raise InputError(
            "its batch is fixed", where=graph.name, hint="export it with a symbolic batch"
        )
    return bind_dims(graph, {shape[0]: batch})


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
