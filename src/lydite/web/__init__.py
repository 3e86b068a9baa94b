"""The dashboard: what a database holds, in a browser, read-only and on this machine.

`serve` runs it, `export_run` writes the pages of one run into a folder, `make_app` is the
application for another server. Pages are functions in `pages`, which return a `View` of the few
components in `view`; a template and a stylesheet show any of them.
"""

from lydite.web.app import make_app
from lydite.web.export import export_run
from lydite.web.server import serve

__all__ = ["export_run", "make_app", "serve"]
