"""Measurements of well-known devices that ship with the package, by device name.

Each is one export in the folder `shipped`, named after its device: `h100-sxm.jsonl.gz`. Characters
that a file name cannot have are percent-encoded, as in a URL.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from urllib.parse import quote, unquote

from lydite.store import jsonlines
from lydite.store.readings import Table

_SUFFIX = ".jsonl.gz"


def shipped_devices() -> list[str]:
    """Names of the devices whose measurements ship with the package."""
    folder = _folder()
    if not folder.is_dir():
        return []
    names = (file.name for file in folder.iterdir() if file.name.endswith(_SUFFIX))
    return sorted(unquote(name.removesuffix(_SUFFIX)) for name in names)


def open_shipped(device: str) -> Table | None:
    """Measurements of this device that ship with the package; None without any.

    Raises:
        InputError: the shipped file is damaged.
    """
    if device not in shipped_devices():
        return None
    with resources.as_file(_folder() / (quote(device, safe=" ") + _SUFFIX)) as path:
        return _table(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _table(path: Path, _changed_ns: int) -> Table:
    return Table(item for _, item in jsonlines.read(path))


def _folder() -> Traversable:
    return resources.files("lydite.store") / "shipped"
