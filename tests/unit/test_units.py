import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.errors import UnitError
from lydite.units import (
    format_bytes,
    format_duration,
    format_percent,
    format_seconds,
    format_si,
    parse_quantity,
)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("900 GB/s", "B/s", 9e11),
        ("2 us", "s", 2e-6),
        ("2µs", "s", 2e-6),
        ("24 MiB", "B", 24 * 2**20),
        ("100 Gb/s", "B/s", 12.5e9),
        ("100 Gibps", "B/s", 100 * 2**30 / 8),  # as AISim's resource pools write it
        ("19.5 TFLOP/s", "FLOP/s", 19.5e12),
        ("19.5 TFLOPS", "FLOP/s", 19.5e12),
        ("624 TOP/s", "OP/s", 624e12),
        ("1.41 GHz", "Hz", 1.41e9),
        ("5 min", "s", 300.0),
        ("1 year", "s", 31_557_600.0),  # 365.25 days: the Julian year
        ("2.5 years", "s", 2.5 * 31_557_600.0),
        ("1_000 W", "W", 1000.0),
        (3, "s", 3.0),
        ("7", "B", 7.0),
    ],
)
def test_parse(text, unit, value):
    assert parse_quantity(text, unit) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("900 GB", "B/s"),
        ("fast", "s"),
        ("-1 s", "s"),
        ("1e999 s", "s"),
        ("2 XB", "B"),
        ("", "s"),
        ("nan", "s"),
        (float("nan"), "s"),
        (float("inf"), "s"),
        ("5 GB/s", "s"),
        ("3 ms", "B"),
    ],
)
def test_refused(text, unit):
    with pytest.raises(UnitError):
        parse_quantity(text, unit, where="field 'x'")


def test_refusal_names_place_and_unit():
    with pytest.raises(UnitError, match=r"chip\.yaml: dma: '3 ms' is not in B/s; allowed: such as"):
        parse_quantity("3 ms", "B/s", where="chip.yaml: dma")


@given(st.floats(1e-11, 1e17))
def test_printing_is_read_back(value):
    assert parse_quantity(format_si(value, "B", digits=6), "B") == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00123, "1.23 ms"),
        (999.96e-6, "1.00 ms"),
        (0.0, "0 s"),
        (59.0, "59.0 s"),
        (2.5e-7, "250 ns"),
        (2e-12, "2.00 ps"),
        (3.47e-18, "0 s"),
        (-3.47e-18, "0 s"),
    ],
)
def test_format_seconds(seconds, text):
    assert format_seconds(seconds) == text


def test_format_bytes():
    assert [format_bytes(n) for n in (12, 2048, 3 << 20)] == ["12 B", "2.00 KiB", "3.00 MiB"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5400, "90 min"), (119, "119 s"), (7200, "2 h"), (1.6e6, "18.5 d"), (157_788_000, "5 years")],
)
def test_format_duration(seconds, text):
    assert format_duration(seconds) == text


def test_format_percent():
    assert [format_percent(0.0532), format_percent(1.0, 0)] == ["5.3 %", "100 %"]
