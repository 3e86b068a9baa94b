"""The application layer: everything that decides an answer, for the command line and for Python.

One file per verb. Each verb is a function whose first argument is a `Session`; the package `lydite`
offers the same functions with the default session. Each returns a `lydite.results.Result`.
"""

from lydite.api.options import Help, ModelOptions, Options
from lydite.api.session import VERBS, Session, default

__all__ = ["VERBS", "Help", "ModelOptions", "Options", "Session", "default"]
