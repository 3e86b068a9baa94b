"""The registry of model readers, and the choice of the reader for a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from lydite.errors import InputError
from lydite.files import refuse_special
from lydite.graph.graph import Graph
from lydite.graph.shapes.retype import bind_dims
from lydite.registry import Registry


class ModelReader(Protocol):
    """Reads model files of one format; classes that derive from it define what differs.

    Attributes:
        title: Name of the format in messages, such as "SMAUG".
        suffixes: Suffixes of its file names, such as ".pbtxt"; several formats may share one.
        content: Content of such files, for messages, if formats share a suffix; "" if none do.
        takes_params: Whether the weights may be in a second file.
        listed: Whether messages name the format among those that are read.
        takes_sizes: Whether the file only describes a network, which is built for a sequence, a
            context and a phase like a built-in model (Hugging Face's config.json).
    """

    title: str
    suffixes: tuple[str, ...]
    content: str = ""
    takes_params: bool = False
    listed: bool = True
    takes_sizes: bool = False

    def claims(self, path: Path) -> bool:
        """Whether a file with one of the suffixes, or a folder, has this format.

        Raises:
            InputError: the file cannot be read at all.
        """
        ...

    def read(self, path: Path, params: Path | None, dims: Mapping[str, int]) -> Graph:
        """The graph of a file.

        Args:
            path: File, or a folder that `claims` accepted.
            params: Second file, with the weights; None for none.
            dims: Symbolic sizes to bind, by name.

        Raises:
            InputError: the file is invalid.
        """
        ...


READERS: Registry[ModelReader] = Registry(
    "lydite.readers",
    "model format",
    {
        "onnx": "lydite.graph.formats.own_readers:ONNX",
        "tensorflow": "lydite.graph.formats.own_readers:TENSORFLOW",
        "tensorflow-binary": "lydite.graph.formats.own_readers:TENSORFLOW_BINARY",
        "torch": "lydite.graph.formats.own_readers:TORCH",
        "huggingface": "lydite.models.huggingface.reader:HUGGINGFACE",
        "smaug": "lydite.compat.smaug.reader:SMAUG",
        "aisim": "lydite.compat.aisim.reader:AISIM",
        "scalesim": "lydite.compat.scalesim.reader:SCALESIM",
    },
)


def is_model_file(path: Path | str) -> bool:
    """Whether a text is the path of a model file: by its suffix, or because the path exists."""
    path = Path(path)
    if not may_be_file(path):
        return False
    ends = tuple(end for name in READERS for end in READERS.find(name).suffixes)
    return path.name.endswith(ends) or path.exists()


def may_be_file(path: Path) -> bool:
    """Whether some reader may take a path; what has no suffix and is not there needs none."""
    return "." in path.name or path.exists()


def reader_of(path: Path | str) -> ModelReader:
    """The reader for a file or a folder.

    Raises:
        InputError: no reader takes it (the error lists what is read), or it is no regular file.
    """
    path = Path(path)
    refuse_special(path)
    sharing = [r for r in map(READERS.find, READERS) if path.is_dir() or _ends(path, r)]
    for reader in sharing:
        if reader.claims(path):
            return reader
    if path.is_dir():
        raise InputError("is a folder", where=str(path), allowed=describe_formats())
    if not path.exists():
        raise InputError("no such file", where=str(path), allowed=describe_formats())
    if not sharing:
        raise InputError("has an unknown format", where=str(path), allowed=describe_formats())
    raise InputError(
        "has content that no reader recognises",
        where=str(path),
        allowed=" or ".join(reader.content for reader in sharing if reader.content),
    )


def read_file(
    path: Path | str, *, params: Path | str | None = None, dims: Mapping[str, int] | None = None
) -> Graph:
    """Read a model file of any known format.

    Args:
        path: File to read.
        params: Second file, with the weights, if the format has one (SMAUG).
        dims: Symbolic sizes to bind, by name.

    Raises:
        InputError: the format is unknown (the error lists what is read), or as for its reader.
    """
    path = Path(path)
    reader = reader_of(path)
    if params is not None and not reader.takes_params:
        raise InputError(f"{reader.title} has no parameter file", where=str(path))
    return reader.read(path, None if params is None else Path(params), dims or {})


def bound(graph: Graph, dims: Mapping[str, int]) -> Graph:
    """The graph with its symbolic sizes bound; unchanged if `dims` is empty."""
    return bind_dims(graph, dims) if dims else graph


def describe_formats() -> str:
    """Formats that are read, for messages: "*.onnx (ONNX), *.pbtxt (SMAUG or TensorFlow), ..."."""
    titles: dict[str, list[str]] = {}
    for reader in map(READERS.find, READERS):
        if reader.listed:
            for suffix in reader.suffixes:
                titles.setdefault(suffix, []).append(reader.title)
    ordered = sorted(titles.items(), key=lambda item: (item[0] != ".onnx", item[0]))
    return ", ".join(
        f"{'' if end[0].isalnum() else '*'}{end} ({' or '.join(sorted(t))})" for end, t in ordered
    )


def _ends(path: Path, reader: ModelReader) -> bool:
    return path.name.endswith(reader.suffixes)
