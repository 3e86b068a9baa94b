"""What the catalog's files hold, kept as JSON from one start to the next.

To read YAML and to check it with pydantic takes 0.1 s, most of which is spent on importing them. A
file that was read before is rebuilt from JSON instead, as long as its text and the modules that
read it are what they were. What is kept lies beside the compiled modules, or in the user's cache
folder where that cannot be written; damaged files are made anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from functools import cache
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, cast

from lydite.errors import LyditeError

T = TypeVar("T")
_ROOM = Path(__file__).parent
_READING = (_ROOM, _ROOM / "chip", _ROOM / "cluster", _ROOM.parent)
"""Folders of the modules that read the files; units are in the last."""


def kept(name: str, text: str, read: Callable[[], T]) -> T:
    """What `read` makes of a file, from what is kept of it if that is current.

    Args:
        name: of the kept file, unique in the catalog, such as "devices-h100".
        text: of the catalog's file.
        read: reads it; the value is built of dataclasses, tuples, lists and plain values.
    """
    path = _folder() / f"{name}.json"
    state = f"{_state()} {sha256(text.encode()).hexdigest()}"
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, ImportError):
        head, digest, body = path.read_text().split("\n", 2)
        if head == state and digest == sha256(body.encode()).hexdigest():
            return cast(T, _built(json.loads(body)))
    made = read()
    with suppress(TypeError, LyditeError):  # of a foreign kind; a full or read-only disk
        body = json.dumps(_plain(made))
        from lydite.files import write_atomic

        write_atomic(path, f"{state}\n{sha256(body.encode()).hexdigest()}\n{body}")
    return made


@cache
def _folder() -> Path:
    base = _ROOM / "__pycache__"
    if not os.access(base if base.exists() else _ROOM, os.W_OK):
        from platformdirs import user_cache_path

        base = user_cache_path("lydite", appauthor=False)
    return base / "catalog"


@cache
def _state() -> str:
    """Version of the modules that read the files, by their size and time as Python's own cache."""
    found = (entry for folder in _READING for entry in os.scandir(folder))
    modules = sorted((each.path, each.stat()) for each in found if each.name.endswith(".py"))
    stamps = [(path, stat.st_size, stat.st_mtime_ns) for path, stat in modules]
    return sha256(repr(stamps).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """The value as JSON; `_built` is its inverse.

    Raises:
        TypeError: part of it is neither a plain value nor a dataclass of Lydite's.
    """
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind is list:
        return [_plain(each) for each in value]
    if kind is tuple:
        return {"is": "tuple", "of": [_plain(each) for each in value]}
    if kind is dict and all(type(key) is str for key in value):
        return {"is": "dict", "of": {key: _plain(each) for key, each in value.items()}}
    if "__dataclass_fields__" in vars(kind) and kind.__module__.startswith("lydite."):
        of = {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
        return {"is": f"{kind.__module__}:{kind.__qualname__}", "of": of}
    raise TypeError(f"{kind.__qualname__} is not kept")


def _built(value: Any) -> Any:
    if isinstance(value, list):
        return [_built(each) for each in value]
    if not isinstance(value, dict):
        return value
    kind, of = value["is"], value["of"]
    if kind == "tuple":
        return tuple(_built(each) for each in of)
    given = {key: _built(each) for key, each in of.items()}
    if kind == "dict":
        return given
    module, _, name = kind.partition(":")
    if not module.startswith("lydite."):
        raise ValueError(kind)
    made = getattr(import_module(module), name)
    if "__dataclass_fields__" not in vars(made):
        raise ValueError(kind)
    return made(**given)
