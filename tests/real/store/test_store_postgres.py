"""The contract on a real PostgreSQL server, and what only a server can do."""

from __future__ import annotations

import psycopg
import pytest
from store_contract import StoreContract
from store_samples import key_of, measured

from lydite.errors import StoreError
from lydite.store import Database


class TestPostgres(StoreContract):
    pass


def test_other_spellings_of_the_url(target):
    for scheme in ("postgres://", "postgresql+psycopg://"):
        with Database.open(target.replace("postgresql://", scheme)) as database:
            assert database.stats()["measurements"] in (0, 1)
            database.add([measured(1)])


def test_no_such_database(postgres):
    url = postgres.replace("/postgres?", "/nowhere?")
    with pytest.raises(StoreError, match="nowhere"):
        Database.open(url)


def test_no_right_to_write(target):
    Database.open(target).close()
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS guest")
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 'secret'")
        connection.execute("GRANT USAGE ON SCHEMA public TO guest")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO guest")
    guest = target.replace("postgres:@", "guest:secret@")
    with Database.open(guest) as database:
        assert list(database.query()) == []
        with pytest.raises(StoreError, match="permission denied") as caught:
            database.add([measured(1)])
        assert "secret" not in str(caught.value)
        assert "secret" not in database.where


def test_a_connection_that_breaks(target):
    with Database.open(target) as database:
        database.add([measured(1)])
        with psycopg.connect(target, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        with pytest.raises(StoreError, match="cannot reach the server"):
            database.add([measured(2)])
        assert database.add([measured(2)]) == 1


def test_from_sqlite_to_a_server_and_back(target, tmp_path):
    with (
        Database.open(tmp_path / "here.db") as here,
        Database.open(tmp_path / "again.db") as again,
        Database.open(target) as there,
    ):
        run = here.start_run("profile", {"models": ["resnet50"]})
        here.add_device("cpu-a", {"cores": 2})
        here.add(measured(size, run=run) for size in range(2500))
        there.merge(here)
        again.merge(there)
        assert list(again.dump()) == list(here.dump())
        assert len(there.lookup([key_of(size) for size in range(2500)], device="cpu-a")) == 2500
