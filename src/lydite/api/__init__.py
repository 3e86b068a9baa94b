"""The application layer: all that the command line and Python share.

One file per verb. Each verb is a function whose first argument is a `Session`; the package `lydite`
offers the same functions with the default session. Each returns a `lydite.results.Result`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lydite.api.load import Model, ModelLike, resolve
from lydite.api.options import Help, ModelOptions, Options, chosen
from lydite.api.session import Session, default
from lydite.api.verbs import COMMANDS, VERBS, Command

if TYPE_CHECKING:
    from lydite.api.chip import ChipResult, DesignOptions
    from lydite.api.keywords import DesignKeywords

__all__ = [
    "COMMANDS",
    "VERBS",
    "ChipResult",
    "Command",
    "DesignKeywords",
    "DesignOptions",
    "Help",
    "Model",
    "ModelLike",
    "ModelOptions",
    "Options",
    "Session",
    "chosen",
    "default",
    "resolve",
]

# imported on first use: most verbs need no chip
_LATER = {"ChipResult": "chip", "DesignOptions": "chip", "DesignKeywords": "keywords"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
