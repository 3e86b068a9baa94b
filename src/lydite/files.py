"""Files that are either wholly written or not there at all, and never outside their folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lydite.errors import InputError, LyditeError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well.

    Raises:
        LyditeError: the disk is full or the folder cannot be written; an older file stays intact.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise LyditeError(
            f"cannot write: {error.strerror or error}",
            where=str(path),
            hint="nothing was changed",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes | str) -> Path:
    """Write `data` to `path`, wholly or not at all.

    Raises:
        LyditeError: as `replacing`.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def refuse_special(path: Path) -> None:
    """Refuse a pipe or a device, which a reader would wait for or read without end.

    Raises:
        InputError: there is something that is neither a file nor a folder.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise InputError("is not a regular file", where=str(path))


def inside(folder: Path, relative: str, where: str = "") -> Path:
    """The file `relative` in `folder`.

    Raises:
        InputError: an absolute path, or one that leaves the folder (also through a link).
    """
    path = (folder / relative).resolve()
    if Path(relative).is_absolute() or not path.is_relative_to(folder.resolve()):
        raise InputError(f"'{relative}' points outside the folder of the model", where=where)
    return path
