"""How much LoadGen may generate before a run, and what is told to it."""

import json

import pytest

from lydite.errors import InputError
from lydite.mlperf import harness
from lydite.mlperf.child import expected_ns, generated
from lydite.mlperf.loadgen import Issue, check_memory

FULL_S = 600.0


def generated_bytes(hint_ns):
    """LoadGen's rule: twice the queries that the expected latency asks for, 300 bytes each."""
    return 2 * FULL_S * 1e9 / hint_ns * 300


def test_half_of_the_pilots_latency_is_told_where_memory_allows():
    assert expected_ns(1_000_000, FULL_S, 4 << 30) == 500_000
    assert expected_ns(1, FULL_S, 1 << 60) == 1


def test_a_fast_net_is_told_as_little_room_as_fits():
    """45 us and 600 s: half of it would take 14.9 GiB, itself 7.5 GiB."""
    assert generated_bytes(22_500) > 8 << 30 > generated_bytes(45_000)
    found = expected_ns(45_000, FULL_S, 8 << 30)
    assert 22_500 < found < 45_000
    assert generated_bytes(found) <= 8 << 30 < generated_bytes(found - 1)
    check_memory(2 * FULL_S * 1e9 / found, 8 << 30)


def test_never_more_than_the_pilots_latency_is_told():
    """A larger one would leave no room for a run that is faster than its pilot."""
    assert expected_ns(45_000, FULL_S, 1 << 30) == 45_000
    with pytest.raises(InputError, match=r"26,666,667 queries.*7\.5 GiB.*1\.0 GiB, half of what"):
        check_memory(2 * FULL_S * 1e9 / 45_000, 1 << 30)


@pytest.mark.parametrize(
    ("scenario", "message"),
    [
        ("Offline", r"Offline: .*35,000,000 samples.*7\.2 GiB.*--expected-qps"),
        ("Server", r"Server: .*35,000,000 queries.*9\.8 GiB.*--target-qps"),
        ("MultiStream", r"MultiStream: .*--expected-latency"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(scenario, message):
    with pytest.raises(InputError, match=message):
        check_memory(35e6, 4 << 30, scenario)
    check_memory(1e6, 4 << 30, scenario)


def issue(scenario, mode="PerformanceOnly", **values):
    return Issue(scenario, mode, "", 5000, 1024, {"min_duration_ms": 600_000, **values})


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (issue("SingleStream", single_stream_expected_latency_ns=21_000), 57_142_857),
        (issue("MultiStream", multi_stream_expected_latency_ns=10**9, min_query_count=662), 1200),
        (issue("MultiStream", multi_stream_expected_latency_ns=10**9, min_query_count=2000), 2000),
        (issue("Offline", offline_expected_qps=1000.0), 660_000),
        (issue("Server", server_target_qps=10.5, min_query_count=100), 6300),
        (issue("Offline", "AccuracyOnly", offline_expected_qps=1000.0), 5000),
    ],
)
def test_what_loadgen_generates_before_a_run(made, wanted):
    assert generated(made) == wanted


def test_the_watchdog_waits_while_queries_are_generated(monkeypatch):
    """57 million queries take minutes, in which no query can be completed."""
    now = [0.0]
    monkeypatch.setattr(harness.time, "monotonic", lambda: now[0])
    watch = harness._Watch(None, None, None)
    said = []

    class Silent:
        """A process that has said what is in the list, and goes on."""

        class stdout:
            fileno = staticmethod(lambda: 0)

    class Selector:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        register = staticmethod(lambda *_: None)
        select = staticmethod(lambda _: said)

    monkeypatch.setattr(harness.selectors, "DefaultSelector", Selector)
    monkeypatch.setattr(
        harness.os,
        "read",
        lambda *_: b"".join(json.dumps(said.pop()).encode() + b"\n" for _ in [0]),
    )

    def after(seconds, **record):
        now[0] += seconds
        said.extend([record] if record else [])
        watch.read(Silent)
        return watch.stopped

    idle = {"slowest_ns": 0, "failure": ""}
    assert not after(0, generated=57_142_857)
    assert not after(1, completed=0, **idle)
    assert not after(1100)  # 20 us a query, and a minute
    assert not after(60, completed=1, **idle)
    assert not after(59)
    assert after(2) == "no completion within 60 s"
