"""Backends that run graphs on this machine, by name; other packages add theirs as entry points."""

from __future__ import annotations

from lydite.backends.base import Backend, Capabilities, NodeTime, Prepared, Settings
from lydite.registry import Registry

BACKENDS: Registry[type[Backend]] = Registry(
    "lydite.backends",
    "backend",
    {
        "onnxruntime": "lydite.backends.onnxruntime:OnnxRuntimeBackend",
        "replay": "lydite.backends.replay:ReplayBackend",
        "torch": "lydite.backends.torch:TorchBackend",
        "tuned": "lydite.backends.tuned.backend:TunedBackend",
    },
)


def backend_names() -> list[str]:
    """Names of all registered backends, whether or not their packages are installed."""
    return BACKENDS.names()


def find_backend(name: str) -> Backend:
    """The backend called `name`.

    Raises:
        InputError: no backend has this name (the error suggests the nearest one).
        MissingExtra: the backend needs a package that is not installed.
    """
    return BACKENDS.find(name)()


__all__ = [
    "BACKENDS",
    "Backend",
    "Capabilities",
    "NodeTime",
    "Prepared",
    "Settings",
    "backend_names",
    "find_backend",
]
