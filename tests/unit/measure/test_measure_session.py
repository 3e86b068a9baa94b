import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lydite.backends import Settings, find_backend
from lydite.backends.replay import ReplayBackend
from lydite.errors import BackendError
from lydite.graph import Builder, keys_of
from lydite.hardware import Device
from lydite.measure import MeasuringSession, TimingPlan, profile, profile_in_graph, validate
from lydite.measure.client import Worker, WorkerLost
from lydite.measure.isolation import call_costs, corrected, layout_for, weight_bytes
from lydite.measure.timing import measure
from lydite.measure.worker import Request
from lydite.opkey import BACKEND_KEYS, Operand, OpKey, TensorType
from lydite.store import Conditions, Database, Measurement, Software

QUICK = TimingPlan(rounds=3, budget_s=0.2)
T = TensorType("float32", (8, 8))


def net(name="net", widths=(32, 64, 32)):
    g = Builder(name)
    x = g.input("x", (1, 16))
    for width in widths:
        x = g.relu(g.linear(x, width))
    return g.build(x)


def key(deed="", n=8):
    attrs = {"deed": deed} if deed else {}
    return OpKey("Relu", (Operand(TensorType("float32", (n, n))),), (T,), attrs, version=14)


def recording(tmp_path, graph, seconds):
    """A database to replay: each operator of the graph takes what `seconds(key)` says."""
    path = tmp_path / "recorded.db"
    with Database.open(path) as db:
        db.add(
            Measurement(k, "anywhere", Software("x", {}), Conditions(), np.array([seconds(k)]))
            for k in set(keys_of(graph).values())
        )
    return path


def session(db, backend="villain", **options):
    return MeasuringSession(find_backend(backend), db, "toy", Settings(), QUICK, **options)


@pytest.mark.parametrize("cache", ["hot", "rotated"])
def test_copies_call_and_taps_are_taken_out_exactly(cache):
    wide = OpKey(
        "MatMul",
        (Operand(T), Operand(TensorType("float32", (256, 64)), const=True)),
        (T,),
        version=13,
    )
    backend = ReplayBackend({wide.digest: 7e-5}, call_s=3e-6, dispatch_s=4e-7)
    costs = call_costs(backend, Settings(), QUICK)
    assert costs.medians() == pytest.approx((3e-6, 4e-7, 4e-7))
    copies = layout_for(wide, cache).copies
    timing = measure({"x": backend.prepare_op(wide, Settings(), copies)}, QUICK)["x"]
    assert corrected(timing, copies, costs) == pytest.approx([7e-5] * 3)


def test_rotation_leaves_the_private_caches():
    wide = OpKey(
        "MatMul", (Operand(T), Operand(TensorType("float32", (512, 512)), const=True)), (T,)
    )
    assert layout_for(wide, "rotated").span_bytes >= 16 << 20
    assert layout_for(wide, "rotated", 3 << 20).copies == 3
    assert layout_for(wide, "hot").copies == 1


HALF = TensorType("float32", (1, 256, 256))
ADD = OpKey("Add", (Operand(HALF), Operand(HALF)), (HALF,))


def test_inputs_take_turns_where_the_network_comes_back_to_them_late():
    """Two tensors of 256 KiB that 2 MiB were touched since: four buffers of both."""
    assert layout_for(ADD, "rotated").turns == 1
    late = layout_for(ADD, "rotated", 2 << 20)
    assert (late.turns, late.span_bytes, late.copies) == (4, 2 << 20, 8)
    assert layout_for(ADD, "rotated", 1 << 40).turns == 16
    assert layout_for(ADD, "hot", 2 << 20).turns == 1
    same = OpKey("Mul", (Operand(HALF), Operand(None, same_as=0)), (HALF,))
    assert layout_for(same, "rotated", 2 << 20).turns == 8
    huge = OpKey("Relu", (Operand(TensorType("float32", (4 << 20,))),), ())
    assert layout_for(huge, "rotated").turns == 4


def test_a_row_of_another_span_is_not_known(tmp_path):
    with (
        Database.open(tmp_path / "db") as db,
        MeasuringSession(ReplayBackend({}), db, "toy", Settings(), QUICK) as session,
    ):
        environment = {"clock": QUICK.clock, "span_bytes": 2 << 20}
        conditions = Conditions(1, "hot")
        sample = np.array([1e-5])
        db.add(
            [Measurement(ADD, "toy", session.software, conditions, sample, environment=environment)]
        )
        assert set(session.known([ADD])) == {ADD}
        assert set(session.known([ADD], {ADD: 2 << 20})) == {ADD}
        assert session.known([ADD], {ADD: 6 << 20}) == {}


def test_profile_measures_each_distinct_operator_once_and_then_reuses(tmp_path):
    graph = net(widths=(16, 16, 16))
    with Database.in_memory() as db, session(db) as s:
        first = profile(graph, s)
        again = profile(graph, s)
        rows = [r for r in db.query() if r.key not in BACKEND_KEYS]
    distinct = len(set(keys_of(graph).values()))
    assert (first.distinct, first.measured, first.reused) == (distinct, distinct, 0)
    assert (again.measured, again.reused) == (0, distinct)
    assert Counter(r.key for r in rows) == Counter(set(keys_of(graph).values()))
    assert all(r.median_s == pytest.approx(1e-3) for r in rows)
    assert all("load_average_1min" in r.environment for r in rows)


@pytest.mark.parametrize(
    ("deed", "status"), [("crash", "crash"), ("refuse", "error"), ("hang", "timeout")]
)
def test_one_bad_operator_is_recorded_and_the_others_are_measured(deed, status):
    keys = [key(n=4), key(deed), key(n=6)]
    with Database.in_memory() as db, session(db, timeout_s=3.0) as s:
        rows = [row for k in keys for row in s.measure([k])[0]]
        assert [r.status for r in rows] == ["ok", status, "ok"]
        assert s.known(keys).keys() == set(keys)
        kept = {r.key: r.status for r in db.query()}
    assert kept[keys[1]] == status
    assert np.isnan(rows[1].median_s)


def test_a_greedy_operator_is_stopped():
    with Worker(memory_bytes=600 << 20, timeout_s=60) as worker:
        with pytest.raises(WorkerLost) as lost:
            worker.request(Request("villain", keys=(key("greed").text,), plan=QUICK))
    assert lost.value.status == "out_of_memory"
    assert lost.value.at == key("greed").text


def test_a_crash_among_several_costs_only_the_culprit():
    keys = [key(n=4), key("crash"), key(n=6)]
    with Database.in_memory() as db, session(db) as s:
        rows, _ = s.measure(keys)
    assert {r.key: r.status for r in rows} == dict(zip(keys, ("ok", "crash", "ok"), strict=True))


def test_an_unknown_backend_is_refused_by_the_worker():
    with Worker() as worker, pytest.raises(BackendError, match="unknown backend 'replayy'"):
        worker.request(Request("replayy", plan=QUICK))


def test_validation_of_a_replayed_machine_is_exact(tmp_path, monkeypatch):
    graph = net()
    path = recording(tmp_path, graph, lambda k: 1e-4 * len(k.inputs))
    monkeypatch.setenv("LYDITE_REPLAY", str(path))
    device = Device("toy", "Toy", "cpu", "nobody", {"float32": 1e11}, 8e9, 1e10)
    with Database.in_memory() as db, session(db, "replay") as s:
        found = validate(graph, s, device)
    truth = sum(1e-4 * len(k.inputs) for k in keys_of(graph).values()) + 2e-6
    assert found.measured_s == pytest.approx(truth)
    assert found.paired_s == pytest.approx(truth, rel=1e-6)
    assert found.prediction.total.seconds == pytest.approx(truth, rel=1e-6)
    assert found.prediction.total.low < truth < found.prediction.total.high


def test_in_graph_times_are_kept_apart(tmp_path, monkeypatch):
    graph = net()
    monkeypatch.setenv("LYDITE_REPLAY", str(recording(tmp_path, graph, lambda k: 2e-4)))
    with Database.in_memory() as db, session(db, "replay") as s:
        profile_in_graph(graph, s, runs=4)
        rows = list(db.query())
    assert {r.conditions.scope for r in rows} == {"in_graph"}
    assert all(len(r.samples_s) == 4 for r in rows)


KILLED = """
import os, signal, sys
sys.path.insert(0, {plugins!r})
from test_measure_session import *
db = Database.open({db!r})
done = []
def stop(n, total, now):
    if n == 2:
        os.kill(os.getpid(), signal.SIGKILL)
with session(db) as s:
    profile(net(), s, progress=stop)
"""


def test_kill_9_loses_nothing_and_the_run_goes_on(tmp_path):
    path = tmp_path / "killed.db"
    code = KILLED.format(plugins=str(Path(__file__).parent), db=str(path))
    ended = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    with Database.open(path) as db, session(db) as s:
        kept = [r for r in db.query() if r.key not in BACKEND_KEYS]
        assert len(kept) == 2
        rest = profile(net(), s)
    assert rest.reused == 2
    assert rest.measured == rest.distinct - 2


@pytest.mark.parametrize("cache", ["hot", "rotated", "cold"])
def test_rows_of_another_cache_state_are_not_known(cache):
    """What was measured with weights in the cache says nothing of weights out of it."""
    wide = OpKey("MatMul", (Operand(T), Operand(TensorType("float32", (8, 512)), const=True)), (T,))
    assert weight_bytes(wide) == 4 * 8 * 512
    with Database.in_memory() as db:
        for other in ("hot", "rotated", "cold"):
            with session(db, cache=cache) as wanted, session(db, cache=other) as measured:
                row = Measurement(
                    wide, "toy", measured.software, Conditions(1, other), np.array([1e-3])
                )
                db.add([row])
                states = {found.conditions.cache for found in wanted.known([wide]).values()}
                assert states <= {cache}
        assert states == {cache}


@pytest.mark.parametrize(
    ("span_kib", "copies"),
    [(0, 16), (1044, 1), (1400, 1), (1500, 2), (2500, 2), (2600, 3), (3072, 3), (10**6, 128)],
)
def test_copies_come_nearest_to_what_the_network_leaves_in_between(span_kib, copies):
    """Of a product that has nearly all of a net's weights there is one copy, as in the net."""
    wide = OpKey(
        "MatMul", (Operand(T), Operand(TensorType("float32", (512, 512)), const=True)), (T,)
    )
    assert layout_for(wide, "rotated", span_kib << 10).copies == copies


def test_operators_of_other_rounds_than_the_model_s_are_compared_by_medians():
    from lydite.measure.whole import _ratio

    whole = np.array([1.0, 2.0, 4.0])
    assert _ratio(0.1 * whole, whole) == pytest.approx(0.1)  # the machine's drift falls out
    assert _ratio(np.array([0.2, 0.3, 0.25, 0.4, 0.1]), whole) == pytest.approx(0.125)
