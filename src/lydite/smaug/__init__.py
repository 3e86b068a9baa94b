"""`lydite.compat.smaug` under its name of release 0.1, which the next release drops."""

import warnings

from lydite.compat.smaug.python import *  # noqa: F403
from lydite.compat.smaug.python import __all__ as __all__

warnings.warn(
    "lydite.smaug is now lydite.compat.smaug; the old name goes in the next release",
    DeprecationWarning,
    stacklevel=2,
)
