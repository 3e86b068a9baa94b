"""Databases of well-known devices that ship with the package, by device name.

Each is one export in the folder `shipped`, named after its device: `h100-sxm.jsonl.gz`. Characters
that a file name cannot have are percent-encoded, as in a URL.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from urllib.parse import quote, unquote

from lydite.store.database import Database
from lydite.store.exchange import import_file

_SUFFIX = ".jsonl.gz"


def shipped_devices() -> list[str]:
    """Names of the devices whose measurements ship with the package."""
    folder = _folder()
    if not folder.is_dir():
        return []
    names = (file.name for file in folder.iterdir() if file.name.endswith(_SUFFIX))
    return sorted(unquote(name.removesuffix(_SUFFIX)) for name in names)


def open_shipped(device: str) -> Database | None:
    """Measurements of this device that ship with the package, in memory; None without any.

    Raises:
        InputError: the shipped file is damaged.
    """
    if device not in shipped_devices():
        return None
    with resources.as_file(_folder() / (quote(device, safe=" ") + _SUFFIX)) as path:
        return Database.in_memory(_image(path, path.stat().st_mtime_ns))


@lru_cache(maxsize=4)
def _image(path: Path, _changed_ns: int) -> bytes:
    """The database of an export; reading it takes far longer than copying."""
    with Database.in_memory() as database:
        import_file(database, path)
        return database.image()


def _folder() -> Traversable:
    return resources.files("lydite.store") / "shipped"
