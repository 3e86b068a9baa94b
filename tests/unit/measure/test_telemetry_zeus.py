"""Our counters against Zeus's, where that is installed."""

from __future__ import annotations

import pytest

from lydite.measure.telemetry import cross_check


def test_zeus_reads_the_same():
    pytest.importorskip("zeus", reason="zeus is not installed")
    found = cross_check.zeus_check()
    if not found["devices"]:
        pytest.skip(f"{found['status']} {found['reason']}")
    assert found["agrees"], found["devices"]


def test_without_zeus_nothing_is_said(monkeypatch):
    monkeypatch.setattr(cross_check, "find_spec", lambda _: None)
    assert cross_check.zeus_check()["status"] == "not installed"


def test_only_devices_that_both_read_are_compared():
    rows = cross_check.compared({"a": 100.0, "b": 50.0, "c": 0.0}, {"a": 100.5, "c": 1.0})
    assert rows == [
        {"device": "a", "zeus_j": 100.0, "lydite_j": 100.5, "difference": pytest.approx(0.005)}
    ]
