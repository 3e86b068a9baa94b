"""The application layer: all that the command line and Python share.

One file per verb. Each verb is a function whose first argument is a `Session`; the package `lydite`
offers the same functions with the default session. Each returns a `lydite.results.Result`.
"""

from typing import TYPE_CHECKING

from lydite.registry import lazily

if TYPE_CHECKING:
    from lydite.api.chip import ChipResult, DesignOptions
    from lydite.api.keywords import DesignKeywords
    from lydite.api.load import Model, ModelLike, resolve
    from lydite.api.options import Help, ModelOptions, Options, chosen
    from lydite.api.session import Session, default
    from lydite.api.verbs import COMMANDS, VERBS, Command

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

_WHERE = {
    **dict.fromkeys(("ChipResult", "DesignOptions"), "chip"),
    **dict.fromkeys(("DesignKeywords",), "keywords"),
    **dict.fromkeys(("Model", "ModelLike", "resolve"), "load"),
    **dict.fromkeys(("Help", "ModelOptions", "Options", "chosen"), "options"),
    **dict.fromkeys(("Session", "default"), "session"),
    **dict.fromkeys(("COMMANDS", "VERBS", "Command"), "verbs"),
}

__getattr__ = lazily(__name__, _WHERE)
