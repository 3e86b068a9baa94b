"""What a record refuses, and what it says of itself."""

from __future__ import annotations

import math
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_contract import measurements, moments, seconds
from store_samples import key_of, measured

from lydite.errors import InputError
from lydite.opkey import OpKey
from lydite.store import Conditions, Measurement, Run, Software, utc_now
from lydite.store.values import canonical_json, parse_utc


@given(st.lists(seconds.filter(lambda s: s < 1e300), min_size=1, max_size=50))
def test_quantiles_are_numpys(samples):
    item = measured(samples_s=np.array(samples))
    wanted = np.quantile(samples, [0.05, 0.5, 0.95])
    assert np.allclose([item.low_s, item.median_s, item.high_s], wanted, rtol=1e-12, atol=0)
    assert item.low_s <= item.median_s <= item.high_s


def test_a_failure_has_no_time():
    for samples in ([], [1.0]):
        item = measured(status="timeout", samples_s=np.array(samples))
        assert all(math.isnan(value) for value in (item.low_s, item.median_s, item.high_s))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("samples_s", [1.0, -1e-9]),
        ("samples_s", [math.nan]),
        ("samples_s", [math.inf, 1.0]),
        ("samples_s", [10**400]),
        ("samples_s", ["fast"]),
        ("samples_s", [[1.0]]),
        ("samples_s", []),
        ("samples_s", 1.0),
        ("status", "OK"),
        ("energy_j", -1.0),
        ("energy_j", math.nan),
        ("energy_j", "2"),
        ("energy_j", True),
        ("device", ""),
        ("device", "a\0b"),
        ("device", "\ud800"),
        ("device", 3),
        ("source", ""),
        ("run", ""),
        ("error", None),
        ("environment", [1]),
        ("measured_at", "2025-11-22"),
        ("measured_at", "2025-11-22T04:30:00"),
        ("measured_at", "yesterday"),
        ("measured_at", "0001-01-01T00:00:00+23:00"),
        ("measured_at", 5),
        ("measured_at", "2025-13-22T04:30:00.000000Z"),
        ("key", OpKey("")),
        ("key", OpKey("a\0")),
        ("key", OpKey("Relu", attrs={"name": "\udcff"})),
        ("key", OpKey("Relu", attrs={"a": {1}})),
    ],
)
def test_refused(field, value):
    with pytest.raises(InputError):
        measured(**{field: np.array(value) if field == "samples_s" and value == [] else value})


@pytest.mark.parametrize(
    "fields",
    [
        {"threads": 0},
        {"threads": 2**31},
        {"threads": 1.0},
        {"threads": True},
        {"cache": "warm"},
        {"scope": "alone"},
    ],
)
def test_conditions_refused(fields):
    with pytest.raises(InputError):
        Conditions(**fields)


@pytest.mark.parametrize(
    "fields", [("",), ("ort", {"": "1"}), ("ort", {"ort": 1}), ("ort", [1]), (None,)]
)
def test_software_refused(fields):
    with pytest.raises(InputError):
        Software(*fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"command": ""},
        {"id": ""},
        {"status": "ok"},
        {"arguments": None},
        {"result": [1]},
        {"started_at": "now"},
        {"finished_at": "now"},
    ],
)
def test_run_refused(fields):
    with pytest.raises(InputError):
        Run(**({"command": "profile"} | fields))


def test_software_is_one_whatever_the_order():
    one, other = Software("ort", {"a": "1", "b": "2"}), Software("ort", {"b": "2", "a": "1"})
    assert one == other
    assert hash(one) == hash(other)
    assert one.digest == other.digest != Software("ort", {"a": "1"}).digest


def test_equal_content_is_equal():
    one = measured(environment={"load": 0.5, "clocks": (1, 2)})
    other = measured(environment=MappingProxyType({"clocks": [1, 2], "load": 0.5}))
    assert one == other
    assert hash(one) == hash(other)
    assert one != "something else"


def test_the_id_depends_on_every_field():
    base = measured()
    changes = {
        "key": key_of(2),
        "device": "cpu-b",
        "software": Software("ort", {"ort": "2"}),
        "conditions": Conditions(2),
        "samples_s": np.array([2e-3]),
        "status": "crash",
        "error": "signal 11",
        "energy_j": 0.0,
        "environment": {"load": 1.0},
        "measured_at": utc_now(),
        "run": "1",
        "source": "imported:aisim",
    }
    assert set(changes) == set(Measurement.__slots__)
    ids = {replace(base, **{name: value}).id for name, value in changes.items()}
    assert len(ids | {base.id}) == len(changes) + 1
    assert replace(base, samples_s=np.array([1e-3, 0.0])).id != base.id


def test_samples_are_a_copy_that_stays():
    samples = np.array([1.0, 2.0])
    item = measured(samples_s=samples)
    samples[0] = 5
    assert item.samples_s.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        item.samples_s[0] = 3


def test_what_a_crash_said_can_always_be_kept():
    item = measured(status="crash", error="a\0b \udcff")
    assert item.error == "a\\x00b \\udcff"
    assert replace(item) == item


@given(measurements())
def test_copies_are_equal(item):
    assert replace(item) == item


@given(moments)
def test_moments_sort_as_text(moment):
    text = parse_utc(moment)
    assert parse_utc(text) == text
    assert len(text) == len(utc_now())


def test_moments_are_converted():
    wanted = "2025-11-22T04:30:00.000000Z"
    for text in ("2025-11-22T05:30:00+01:00", "2025-11-22T04:30Z", "20251122T043000Z"):
        assert parse_utc(text) == wanted


def test_canonical_json():
    assert canonical_json({"b": [2, None], "a": "ä"}, "x") == '{"a":"\\u00e4","b":[2,null]}'
    nested: list = []
    nested.append(nested)
    for value in ({"a": math.nan}, {"a": np.float32(1)}, {"a": {1}}, nested, {(1, 2): 3}):
        with pytest.raises(InputError, match="load cannot be stored as JSON"):
            canonical_json(value, "load")
