"""Files that are either wholly written or not there at all, and never outside their folder."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from lydite.errors import InputError, LyditeError


def write_atomic(path: Path, data: bytes | str) -> Path:
    """Write `data` to `path` through a temporary file beside it, made durable and then renamed.

    Raises:
        LyditeError: the disk is full or the folder cannot be written; an older file stays intact.
    """
    raw = data.encode() if isinstance(data, str) else data
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise LyditeError(f"cannot write: {error.strerror}", where=str(path)) from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise LyditeError(
            f"cannot write: {error.strerror}", where=str(path), hint="nothing was changed"
        ) from error
    return path


def inside(folder: Path, relative: str, where: str = "") -> Path:
    """The file `relative` in `folder`.

    Raises:
        InputError: an absolute path, or one that leaves the folder (also through a link).
    """
    path = (folder / relative).resolve()
    if Path(relative).is_absolute() or not path.is_relative_to(folder.resolve()):
        raise InputError(f"'{relative}' points outside the folder of the model", where=where)
    return path
