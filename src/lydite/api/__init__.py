"""The application layer: everything that decides an answer, for the command line and for Python.

One file per verb. Each verb is a function whose first argument is a `Session`; the package `lydite`
offers the same functions with the default session. Each returns a `lydite.results.Result`.
"""

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
