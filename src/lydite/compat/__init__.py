"""Other systems' files, words and commands, one folder each, on public entry points only.

Nothing below imports this room: the rooms below name its readers and verbs as text in their
registries, as they would find those of an installed package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazily(package: str, where: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package whose names are imported when they are first used.

    Args:
        package: its full name.
        where: the module inside the package that has each name.
    """

    def get(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return getattr(import_module(f"{package}.{where[name]}"), name)

    return get
