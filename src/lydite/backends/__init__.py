"""Who can run a graph here. Backends are found by name; outside packages add entry points."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from lydite.backends.base import Backend, Capabilities, NodeTime, Prepared, Settings
from lydite.errors import MissingExtra, unknown_name

GROUP = "lydite.backends"
_OWN = {
    "onnxruntime": "lydite.backends.onnxruntime:OnnxRuntimeBackend",
    "replay": "lydite.backends.replay:ReplayBackend",
    "torch": "lydite.backends.torch:TorchBackend",
}


def _entries() -> dict[str, EntryPoint]:
    own = {name: EntryPoint(name, value, GROUP) for name, value in _OWN.items()}
    return {**{entry.name: entry for entry in entry_points(group=GROUP)}, **own}


def backend_names() -> list[str]:
    """Names of all registered backends, installed or not."""
    return sorted(_entries())


def find_backend(name: str) -> Backend:
    """The backend called `name`.

    Raises:
        InputError: no such backend (with the nearest name).
        MissingExtra: it needs a package that is not installed.
    """
    entry = _entries().get(name)
    if entry is None:
        raise unknown_name("backend", name, backend_names())
    try:
        return entry.load()()
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or name, name) from None


__all__ = [
    "GROUP",
    "Backend",
    "Capabilities",
    "NodeTime",
    "Prepared",
    "Settings",
    "backend_names",
    "find_backend",
]
