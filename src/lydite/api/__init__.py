"""The application layer: everything that decides an answer, for the command line and for Python.

One file a verb. Each is a function whose first argument is a `Session`; the package `lydite` offers
the same functions with the default session, and each verb's result is a `lydite.results.Result`.
"""

from lydite.api.options import Help, MeasureOptions, ModelOptions, Options
from lydite.api.session import VERBS, Session, default

__all__ = ["VERBS", "Help", "MeasureOptions", "ModelOptions", "Options", "Session", "default"]
