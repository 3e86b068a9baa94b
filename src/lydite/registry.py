"""Things found by name: our own, and those that installed packages add by entry points.

Backends, dataflows, collectives, readers, importers and the rest of what can be extended are each
one `Registry`. Its own entries are "module:attribute" texts, so that naming them imports nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, cached_property
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from lydite.errors import MissingExtra, unknown_name

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints

T = TypeVar("T")


@cache
def _installed(path: tuple[str, ...]) -> EntryPoints:
    del path  # where packages are looked for
    from importlib import metadata  # slow, and often not needed

    return cast("EntryPoints", metadata.entry_points())


def entry_points(group: str, **wanted: str) -> EntryPoints:
    """Entry points of installed packages, whose files are read once for a search path."""
    select: Any = _installed(tuple(sys.path)).select
    return select(group=group, **wanted)


class Registry(Generic[T]):
    """Entries by name; each is imported when it is asked for.

    Args:
        group: entry-point group through which packages add their own, such as "lydite.backends".
        noun: what an entry is called in messages, such as "backend".
        own: "module:attribute" by name; these win over entries of the same name.
    """

    def __init__(self, group: str, noun: str, own: Mapping[str, str]) -> None:
        self.group, self.noun = group, noun
        self._own = dict(own)

    @cached_property
    def _entries(self) -> dict[str, EntryPoint]:
        from importlib.metadata import EntryPoint

        found = {entry.name: entry for entry in entry_points(group=self.group)}
        found |= {name: EntryPoint(name, value, self.group) for name, value in self._own.items()}
        return dict(sorted(found.items()))

    def names(self) -> list[str]:
        """All names, sorted."""
        return list(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def find(self, name: str) -> T:
        """The entry called `name`.

        Raises:
            InputError: there is none (with the nearest name).
            MissingExtra: it needs a package that is not installed.
        """
        own = self._own.get(name)
        # Our own entries win, so installed packages are looked through for other names only.
        if own is None and name not in self._entries:
            raise unknown_name(self.noun, name, self.names())
        try:
            return cast(T, _loaded(own) if own else self._entries[name].load())
        except ModuleNotFoundError as error:
            raise MissingExtra(error.name or name, name) from None

    @contextmanager
    def added(self, name: str, value: str) -> Iterator[None]:
        """Have one more entry inside a `with` block, as an installed package would add for good.

        Args:
            name: of the entry; one of the same name is hidden meanwhile.
            value: "module:attribute".
        """
        before = self._own
        self._own = {**before, name: value}
        self.__dict__.pop("_entries", None)
        try:
            yield
        finally:
            self._own = before
            self.__dict__.pop("_entries", None)


def _loaded(value: str) -> object:
    """What "module:attribute" names."""
    module, _, attribute = value.partition(":")
    return attrgetter(attribute)(import_module(module))


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
