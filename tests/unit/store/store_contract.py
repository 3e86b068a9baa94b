"""What every database must do, whatever it is kept in: run on SQLite and on PostgreSQL."""

from __future__ import annotations

import math
import multiprocessing
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC

import numpy as np
import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_samples import key_of, measured, tried, write_many

from lydite.errors import InputError, StoreError
from lydite.opkey import Operand, OpKey, TensorType
from lydite.store import (
    Conditions,
    Database,
    DeviceRecord,
    Measurement,
    Run,
    Software,
    export_file,
    import_file,
    schema,
)
from lydite.store.records import CACHES, SCOPES, STATUSES
from lydite.store.rows import ForeignRows

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
environments = st.dictionaries(st.text(), json_values, max_size=3)
seconds = st.floats(0, allow_nan=False, allow_infinity=False)
types = st.builds(
    TensorType,
    st.sampled_from(["float32", "int8", "seq(float32)", ""]),
    st.none() | st.lists(st.integers(0, 2**40) | st.sampled_from(["N", "seq"])).map(tuple),
    st.sampled_from(["", "nchwc8"]),
)
keys = st.builds(
    OpKey,
    op_type=text,
    domain=text | st.just(""),
    inputs=st.lists(st.builds(Operand, types, st.booleans()), max_size=3).map(tuple),
    outputs=st.lists(types, max_size=2).map(tuple),
    attrs=environments,
    fused=st.lists(text, max_size=2).map(tuple),
)
moments = st.datetimes(timezones=st.just(UTC)).map(lambda t: t.isoformat())


@st.composite
def measurements(draw: st.DrawFn) -> Measurement:
    status = draw(st.sampled_from(STATUSES))
    return Measurement(
        key=draw(keys),
        device=draw(text),
        software=draw(st.builds(Software, text, st.dictionaries(text, text, max_size=2))),
        conditions=draw(
            st.builds(
                Conditions,
                st.integers(1, 2**31 - 1),
                st.sampled_from(CACHES),
                st.sampled_from(SCOPES),
            )
        ),
        samples_s=np.array(draw(st.lists(seconds, min_size=int(status == "ok"), max_size=5))),
        status=status,
        error=draw(st.text()),
        energy_j=draw(st.none() | seconds),
        environment=draw(environments),
        measured_at=draw(moments),
        source=draw(text),
    )


few = st.builds(
    measured,
    size=st.integers(1, 4),
    seconds=st.sampled_from([1e-3, 2e-3]),
    key=st.builds(key_of, st.integers(1, 3), st.sampled_from(["Relu", "Conv"])),
    device=st.sampled_from(["cpu-a", "gpu"]),
    status=st.sampled_from(["ok", "ok", "crash"]),
    software=st.sampled_from([Software("onnxruntime"), Software("torch")]),
)
"""Rows of which many are the same."""


def counted(database: Database) -> list[tuple[str, str, str, str, int, int]]:
    """Counts of what a query gives, in plain Python."""
    rows: dict[tuple[str, str, str, str], list[str]] = {}
    for item in database.query():
        place = (item.device, item.key.domain, item.key.op_type, item.status)
        rows.setdefault(place, []).append(item.key.digest)
    return sorted((*place, len(ops), len(set(ops))) for place, ops in rows.items())


def same(found: Measurement, wanted: Measurement) -> bool:
    """Whether every field came back, not only the digest of them."""
    names = set(Measurement.__slots__) - {"samples_s", "key"}
    return (
        all(getattr(found, name) == getattr(wanted, name) for name in names)
        and found.samples_s.tobytes() == wanted.samples_s.tobytes()
        and found.key.text == wanted.key.text
        and found == wanted
    )


def make_older(connection: sqlalchemy.Connection, version: int) -> None:
    """Take away what later schema versions added."""
    for name in ("measurements_by_run", "measurements_by_time", "runs_by_start"):
        connection.execute(sqlalchemy.text(f"DROP INDEX {name}"))
    connection.execute(sqlalchemy.text("DROP TABLE coverage"))
    if version < 2:
        connection.execute(sqlalchemy.text("DROP TABLE trials"))
    connection.execute(schema.meta.update().values(value=str(version)))


def shape_of(database: Database) -> dict[str, tuple[set[str], set[str]]]:
    """Columns and indexes of every table."""
    with database._reading() as connection:
        inspector = sqlalchemy.inspect(connection)
        return {
            table: (
                {str(column["name"]) for column in inspector.get_columns(table)},
                {str(index["name"]) for index in inspector.get_indexes(table)},
            )
            for table in inspector.get_table_names()
        }


_WRITER = """
import sys
sys.path[:0] = sys.argv[2].split(":")
from store_samples import measured
from lydite.store import Database
with Database.open(sys.argv[1]) as database:
    for number in range(10**6):
        database.add(measured(10 * number + row, device=f"cpu-{number % 3}") for row in range(10))
        print(number, flush=True)
"""


def kill_a_writer(target: object) -> int:
    """Kill a process that writes ten rows a transaction; returns how many it has committed."""
    command = [sys.executable, "-c", _WRITER, str(target), ":".join(sys.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(30)]
        process.send_signal(signal.SIGKILL)
        said += process.stdout.readlines()
    return int(said[-1]) + 1


class StoreContract:
    """Tests that need a fixture `target`: where a new, empty database may be made."""

    @pytest.fixture
    def database(self, target):
        with Database.open(target) as database:
            yield database

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
            HealthCheck.differing_executors,  # both kinds of database run this one test
        ],
    )
    @given(items=st.lists(measurements(), min_size=1, max_size=4))
    def test_what_goes_in_comes_out(self, database, items):
        database.add(items)
        assert database.add(items) == 0
        for item in items:
            found = database.lookup([item.key], device=item.device, scope=None, status=None)
            assert [m for m in found[item.key.digest] if same(m, item)]
            by_type = (item.key.domain, item.key.op_type)
            parsed = database.rows_for([by_type], device=item.device, scope=None, status=None)
            assert [m for m in parsed if same(m, item)]

    def test_adding_says_how_many_were_new(self, database):
        assert database.add([measured(1), measured(2), measured(1)]) == 2
        assert database.add([measured(2), measured(3)]) == 1
        assert database.add([]) == 0

    def test_more_rows_than_one_statement_takes(self, database, monkeypatch):
        monkeypatch.setattr("lydite.store.writer.CHUNK", 7)
        assert database.add(measured(size) for size in range(50)) == 50
        found = database.lookup([key_of(size) for size in range(60)], device="cpu-a")
        assert len(found) == 50

    def test_lookup_narrows(self, database):
        other = Software("torch", {"torch": "2.6"})
        wanted = measured(conditions=Conditions(2, "cold"))
        database.add(
            [
                wanted,
                measured(conditions=Conditions(1, "cold")),
                measured(conditions=Conditions(2, "hot")),
                measured(conditions=Conditions(2, "cold", "in_graph")),
                measured(conditions=Conditions(2, "cold"), device="cpu-b"),
                measured(conditions=Conditions(2, "cold"), software=other),
                measured(
                    conditions=Conditions(2, "cold"), samples_s=np.array([]), status="timeout"
                ),
                measured(2, conditions=Conditions(2, "cold")),
            ]
        )
        found = database.lookup(
            [key_of(1), key_of(99)], device="cpu-a", backend="onnxruntime", threads=2, cache="cold"
        )
        assert found == {key_of(1).digest: [wanted]}
        assert len(database.lookup([key_of(1)], device="cpu-a")[key_of(1).digest]) == 4
        everything = database.lookup([key_of(1)], device="cpu-a", scope=None, status=None)
        assert len(everything[key_of(1).digest]) == 6
        assert database.lookup([key_of(1)], device="cpu-a", backend="tvm") == {}
        assert database.lookup([], device="cpu-a") == {}

    def test_newest_first(self, database):
        days = ["2025-11-03", "2025-11-01", "2025-11-02"]
        database.add(measured(measured_at=f"{day}T00:00:00Z") for day in days)
        wanted = [f"{day}T00:00:00.000000Z" for day in sorted(days, reverse=True)]
        (found,) = database.lookup([key_of(1)], device="cpu-a").values()
        assert [m.measured_at for m in found] == wanted
        assert [m.measured_at for m in database.query()] == wanted
        assert [m.measured_at for m in database.rows_for([("", "Relu")], device="cpu-a")] == wanted
        assert [m.measured_at for m in database.query(limit=2)] == wanted[:2]

    def test_rows_for_types(self, database):
        conv, own = key_of(1, "Conv"), key_of(1, "Conv", "com.microsoft")
        database.add([measured(key=conv), measured(key=own), measured(3)])
        found = database.rows_for([("com.microsoft", "Conv"), ("", "Relu")], device="cpu-a")
        assert {m.key for m in found} == {own, key_of(3)}
        assert database.rows_for([], device="cpu-a") == []
        assert database.rows_for([("", "Conv")], device="cpu-a", backend="tvm") == []

    def test_query_filters(self, database):
        run = database.start_run("profile", {})
        odd = measured(
            key=key_of(1, "Conv", "com.microsoft"),
            device="gpu",
            software=Software("torch"),
            conditions=Conditions(3, "cold", "in_graph"),
            status="crash",
            source="imported:aisim",
            run=run,
        )
        database.add([odd, measured(1), measured(2)])
        for name, value in {
            "device": "gpu",
            "backend": "torch",
            "op_type": "Conv",
            "domain": "com.microsoft",
            "threads": 3,
            "scope": "in_graph",
            "cache": "cold",
            "status": "crash",
            "source": "imported:aisim",
            "run": run,
        }.items():
            assert list(database.query(**{name: value})) == [odd]
        assert list(database.query(device="gpu", backend="onnxruntime")) == []

    @pytest.mark.parametrize(
        "name", ["x'; DROP TABLE measurements; --", "%s", ":device", "\\", "ß"]
    )
    def test_names_are_no_statements(self, database, name):
        item = measured(device=name, software=Software(name), key=key_of(1, name), source=name)
        database.add([item])
        (found,) = database.lookup([item.key], device=name, backend=name).values()
        assert same(found[0], item)
        assert list(database.query(device=name, op_type=name, source=name)) == [item]

    def test_an_error_keeps_nothing(self, database):
        def failing():
            yield from (measured(size) for size in range(10))
            raise InputError("line 11 is wrong")

        with pytest.raises(InputError, match="line 11"):
            database.add(failing())
        with pytest.raises(InputError, match="JSON"):
            database.add([measured(1), measured(2, environment={"load": math.nan})])
        assert database.stats()["measurements"] == 0
        assert database.add([measured(1)]) == 1

    def test_a_run_must_be_there(self, database):
        with pytest.raises(StoreError, match="run it does not have"):
            database.add([measured(1), measured(2, run="nowhere")])
        assert database.stats()["measurements"] == 0

    def test_runs(self, database):
        first = database.start_run("profile", {"models": ["resnet50"]})
        second = database.start_run("bench", {})
        database.finish_run(first, "done", {"measured": 53})
        runs = {run.id: run for run in database.runs()}
        assert runs[first].result == {"measured": 53}
        assert runs[first].arguments == {"models": ["resnet50"]}
        assert runs[first].finished_at >= runs[first].started_at
        assert (runs[second].status, runs[second].finished_at) == ("running", None)
        assert [run.id for run in database.runs(limit=1)] == [second]
        with pytest.raises(StoreError, match="no run"):
            database.finish_run(first, "failed")
        with pytest.raises(InputError, match="status"):
            database.finish_run(second, "running")
        database.finish_run(second, "interrupted")
        assert database.runs(limit=1)[0].result is None

    def test_devices(self, database):
        database.add([measured(1)])
        assert database.devices() == [DeviceRecord("cpu-a", None)]
        database.add_device("cpu-a", {"cores": 2})
        database.add_device("gpu", {"watts": 300})
        database.add_device("gpu", {"watts": 350})
        database.add([measured(2)])
        assert database.devices() == [
            DeviceRecord("cpu-a", {"cores": 2}),
            DeviceRecord("gpu", {"watts": 350}),
        ]

    def test_stats(self, database):
        database.start_run("profile", {})
        failed = measured(3, samples_s=np.array([]), status="crash")
        database.add([measured(1), measured(1, 2e-3), failed, measured(key=key_of(1, "Conv"))])
        stats = database.stats()
        assert stats.pop("size_bytes") > 0
        assert stats == {
            "measurements": 4,
            "operators": 3,
            "runs": 1,
            "by_device": {"cpu-a": 4},
            "by_backend": {"onnxruntime": 4},
            "by_op_type": {"Relu": 3, "Conv": 1},
            "by_status": {"ok": 3, "crash": 1},
            "schema_version": schema.SCHEMA_VERSION,
        }

    def test_merge(self, database):
        run = Run("profile", status="done", finished_at="2025-11-22T05:00:00Z", result={"n": 1})
        with Database.in_memory() as other:
            started = replace(run, status="running", finished_at=None, result=None)
            other.load([run, DeviceRecord("cpu-a", {"cores": 2}), measured(1), measured(2)])
            other.add([measured(3, run=run.id)])
            database.load([started, measured(2), measured(4)])
            counts = database.merge(other)
            added = {"measurements": 2, "ops": 2, "runs": 1, "devices": 1, "softwares": 0}
            assert counts == {**added, "trials": 0}
            assert set(database.merge(other).values()) == {0}
            other.merge(database)
            assert list(other.dump()) == list(database.dump())
        assert database.runs() == [run]
        assert database.devices() == [DeviceRecord("cpu-a", {"cores": 2})]
        assert {m.key for m in database.query()} == {key_of(size) for size in (1, 2, 3, 4)}

    def test_a_run_that_ended_stays_ended(self, database):
        ended = Run("profile", status="failed", finished_at="2025-11-22T05:00:00Z", result={})
        database.load([ended])
        database.load([replace(ended, status="running", finished_at=None, result=None)])
        assert database.runs() == [ended]

    def test_dump_with_filters(self, database):
        ids = [database.start_run("profile", {}) for _ in range(2)]
        chosen = measured(1, device="gpu", run=ids[0])
        database.add([chosen, measured(2, run=ids[1])])
        kinds = [type(item) for item in database.dump()]
        assert kinds == [Run, Run, DeviceRecord, DeviceRecord, Measurement, Measurement]
        run, device, item = database.dump(device="gpu")
        assert (run.id, device.name) == (ids[0], "gpu")
        assert same(item, chosen)

    def test_reading_while_writing(self, target):
        with Database.open(target) as writer, Database.open(target) as reader:
            writer.add(measured(size) for size in range(3000))
            reading = reader.query()
            next(reading)
            assert writer.add([measured(5000)]) == 1
            assert len(list(reading)) == 2999

    def test_read_only(self, target):
        with Database.open(target) as database:
            database.add([measured(1)])
        with Database.open(target, read_only=True) as database:
            assert list(database.query()) == [measured(1)]
            with pytest.raises(StoreError, match="read-only"):
                database.add([measured(2)])
            with pytest.raises(StoreError, match="read-only"):
                database.start_run("profile", {})
        with Database.open(target) as database:
            assert database.stats()["measurements"] == 1

    def test_locked(self, target):
        with (
            Database.open(target) as holder,
            Database.open(target, busy_timeout_s=0.05) as other,
            holder._writing(),
        ):
            assert list(other.query()) == []
            with pytest.raises(StoreError, match="locked by another process"):
                other.add([measured(1)])

    def test_newer_schema(self, target):
        with Database.open(target) as database, database._writing() as connection:
            connection.execute(schema.meta.update().values(value="99"))
        with pytest.raises(StoreError, match=r"schema version 99.*pip install --upgrade"):
            Database.open(target)

    def test_migration(self, target, monkeypatch):
        """An older schema, in which measurements had no energy."""
        with Database.open(target) as database:
            database.add([measured(1)])
            with database._writing() as connection:
                make_older(connection, 0)
                connection.execute(sqlalchemy.text("ALTER TABLE measurements DROP energy_j"))
        with pytest.raises(StoreError, match="version 0, which is too old"):
            Database.open(target)
        with pytest.raises(StoreError, match=r"older schema version 0.*open it once for writing"):
            Database.open(target, read_only=True)

        def add_energy(connection: sqlalchemy.Connection) -> None:
            words = "ALTER TABLE measurements ADD energy_j DOUBLE PRECISION"
            connection.execute(sqlalchemy.text(words))

        monkeypatch.setitem(schema.MIGRATIONS, 0, add_energy)
        with Database.open(target) as database:
            database.add([measured(2, energy_j=0.5)])
            assert {m.energy_j for m in database.query()} == {None, 0.5}
        with Database.open(target, read_only=True) as database:
            assert database.stats()["schema_version"] == schema.SCHEMA_VERSION

    def test_trials_come_to_an_older_database(self, target):
        """Version 1 had no trials; its measurements stay, and both tables work afterwards."""
        with Database.open(target) as database:
            database.add([measured(1)])
            with database._writing() as connection:
                make_older(connection, 1)
        with pytest.raises(StoreError, match="older schema version 1"):
            Database.open(target, read_only=True)
        with Database.open(target) as database:
            assert database.stats()["measurements"] == 1
            assert database.load([tried(2)])["trials"] == 1
            assert database.trials() == [tried(2)]
            assert database.stats()["measurements"] == 1

    def test_counts_come_to_an_older_database(self, target, tmp_path):
        """Version 2 had neither counts nor the indexes of pages; it loses nothing."""
        with Database.open(target) as database:
            fresh = shape_of(database)
            run = database.start_run("profile", {"models": ["resnet50"]})
            failed = measured(2, samples_s=np.array([]), status="crash", run=run)
            twice = measured(1, 2e-3, device="gpu", software=Software("torch"))
            items = [measured(1, run=run), failed, twice, measured(key=key_of(1, "Conv")), tried(2)]
            database.load(items)
            database.add_device("gpu", {"watts": 300})
            database.finish_run(run, "done", {"n": 4})
            before = (list(database.dump()), database.trials(), database.coverage())
            with database._writing() as connection:
                make_older(connection, 2)
        with pytest.raises(StoreError, match="older schema version 2"):
            Database.open(target, read_only=True)
        with Database.open(target) as database:
            assert shape_of(database) == fresh
            assert (list(database.dump()), database.trials(), database.coverage()) == before
            assert database.coverage() == database.coverage(recount=True)
            assert database.add([*items[:4], measured(1, 3e-3)]) == 1
            assert database.coverage() == database.coverage(recount=True)

    def test_coverage(self, database):
        database.add([measured(1), measured(1, 2e-3), measured(2), measured(3, device="gpu")])
        database.add([measured(2), measured(2, 2e-3), measured(4)])
        failed = measured(1, samples_s=np.array([]), status="crash")
        database.add([failed, measured(key=key_of(1, "Conv", "com.microsoft"))])
        assert database.coverage() == [
            ("cpu-a", "", "Relu", "crash", 1, 1),
            ("cpu-a", "", "Relu", "ok", 5, 3),
            ("cpu-a", "com.microsoft", "Conv", "ok", 1, 1),
            ("gpu", "", "Relu", "ok", 1, 1),
        ]

    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
            HealthCheck.differing_executors,
        ],
    )
    @given(
        steps=st.lists(
            st.tuples(
                st.sampled_from(["add", "merge", "import", "fail"]), st.lists(few, max_size=12)
            ),
            max_size=6,
        )
    )
    def test_kept_counts_equal_a_recount(self, database, tmp_path, steps):
        """Batches with rows in common, merged databases, imported files and broken writes."""
        for number, (way, items) in enumerate(steps):
            if way == "add":
                database.add(items)
            elif way == "fail":

                def failing(items=items):
                    yield from items
                    raise InputError("the last line is wrong")

                with pytest.raises(InputError, match="last line"):
                    database.add(failing())
            else:
                with Database.in_memory() as other:
                    other.add(items)
                    if way == "merge":
                        database.merge(other)
                    else:
                        path = tmp_path / f"{number}.jsonl"
                        export_file(other, path)
                        import_file(database, path)
            assert database.coverage() == database.coverage(recount=True) == counted(database)

    def test_foreign_rows_are_counted(self, database):
        texts = [key_of(size).text for size in (1, 2, 2)]
        digests = [key_of(size).digest for size in (1, 2, 2)]
        times = ForeignRows(
            "gpu", Software("trt"), "others", "", "Relu", texts, digests, np.array([1.0, 2.0, 2.0])
        )
        for added in (2, 0):
            with database.foreign_writer() as put:
                assert put(times)["measurements"] == added
        assert database.coverage() == [("gpu", "", "Relu", "ok", 2, 2)]
        assert database.coverage() == database.coverage(recount=True)

    def test_trials(self, database):
        failed = tried(1, status="timeout", seconds=None, error="no answer within 5 s")
        paired = tried(2, role="paired", reference_s=2e-4, ratio_low=0.4, ratio_high=0.6)
        items = [tried(1), failed, paired, tried(3, target="llvm -mcpu=other")]
        assert database.load(items)["trials"] == 4
        assert database.load(items)["trials"] == 0
        assert {t.space for t in database.trials()} == {"matmul"}
        assert database.trials(role="paired") == [paired]
        assert [t.accepted for t in database.trials(role="paired")] == [True]
        same = database.trials(digest=key_of(1).digest, target=failed.target)
        assert {t.status: t for t in same} == {"ok": tried(1), "timeout": failed}
        assert database.trials(target="llvm -mcpu=other")[0].key == key_of(3)
        assert list(database.query()) == []
        with Database.in_memory() as other:
            assert other.merge(database)["trials"] == 4

    def test_a_failed_migration_changes_nothing(self, target, monkeypatch):
        with Database.open(target) as database, database._writing() as connection:
            make_older(connection, 0)

        def half(connection: sqlalchemy.Connection) -> None:
            connection.execute(sqlalchemy.text("ALTER TABLE measurements ADD novelty TEXT"))
            connection.execute(sqlalchemy.text("ALTER TABLE nowhere ADD novelty TEXT"))

        monkeypatch.setitem(schema.MIGRATIONS, 0, half)
        with pytest.raises(StoreError, match="nowhere"):
            Database.open(target)
        monkeypatch.setitem(schema.MIGRATIONS, 0, lambda connection: None)
        with Database.open(target) as database, database._reading() as connection:
            columns = sqlalchemy.inspect(connection).get_columns("measurements")
            assert "novelty" not in {column["name"] for column in columns}

    def test_somebody_elses_database(self, target):
        with Database.open(target) as database, database._writing() as connection:
            connection.execute(sqlalchemy.text("DROP TABLE meta"))
        with pytest.raises(StoreError, match="is not a Lydite database"):
            Database.open(target)

    def test_a_table_gone(self, target):
        with Database.open(target) as database, database._writing() as connection:
            connection.execute(sqlalchemy.text("DROP TABLE measurements"))
        with pytest.raises(StoreError, match="lacks the table measurements"):
            Database.open(target)

    @pytest.mark.parametrize(
        ("column", "value"),
        [("samples", b"123"), ("environment", "{"), ("environment", "1,2"), ("op", "text")],
    )
    def test_a_damaged_row(self, target, column, value):
        with Database.open(target) as database:
            database.add([measured(1)])
            table = schema.ops if column == "op" else schema.measurements
            field = "text" if column == "op" else column
            with database._writing() as connection:
                connection.execute(table.update().values({field: value}))
            with pytest.raises(StoreError, match="damaged row"):
                list(database.query())

    def test_threads_share_a_database(self, database):
        def work(number: int) -> int:
            added = database.add([measured(number), measured(-1)])
            return added + len(database.lookup([key_of(number)], device="cpu-a"))

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(work, range(40))) == 40 + 40 + 1

    def test_killed_while_writing(self, target):
        for _ in range(3):  # the second and third write rows that are there, then new ones
            committed = kill_a_writer(target)
            with Database.open(target) as database:
                kept = database.stats()["measurements"]
                assert kept % 10 == 0
                assert kept >= 10 * committed
                assert database.coverage() == database.coverage(recount=True) == counted(database)
                assert sum(row.n for row in database.coverage()) == kept
        with Database.open(target) as database:
            assert database.add([measured(10**8)]) == 1

    def test_four_processes_write_at_once(self, target):
        count = 25
        spawn = multiprocessing.get_context("spawn")
        arguments = [(str(target), writer, count) for writer in range(4)]
        processes = [spawn.Process(target=write_many, args=each) for each in arguments]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * 4
        with Database.open(target) as database:
            assert database.stats()["measurements"] == 5 * count
            assert {run.status for run in database.runs()} == {"done"}
            assert len(database.runs()) == 4
            assert database.coverage() == database.coverage(recount=True)
            assert [row[4:] for row in database.coverage()] == [(5 * count, count)]
