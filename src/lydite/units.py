"""Quantities with units at the edge; SI floats everywhere else.

Text such as "900 GB/s", "2 us" or "24 MiB" is parsed once, where a user typed it. Decimal prefixes
are powers of 1000 and binary ones (Ki, Mi, ...) powers of 1024, as in IEC 80000-13. `B` is a byte
and `b` a bit; a quantity given in bits is converted where bytes are wanted.
"""

from __future__ import annotations

import math
import re

from lydite.errors import UnitError

_DECIMAL = {
    "f": 1e-15,
    "p": 1e-12,
    "n": 1e-9,
    "u": 1e-6,
    "µ": 1e-6,
    "m": 1e-3,
    "": 1.0,
    "k": 1e3,
    "K": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50}
_PREFIX = _DECIMAL | _BINARY
_SYNONYM = {
    "bps": "b/s",
    "FLOPS": "FLOP/s",
    "flops": "FLOP/s",
    "OPS": "OP/s",
    "qps": "/s",
    "sec": "s",
}
_NUMBER = re.compile(r"\s*([-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(\S*)\s*$")
_YEAR_S = 365.25 * 86400.0
_BASES = ("USD/h", "USD", "g/kWh", "B/s", "FLOP/s", "OP/s", "/s", "s", "B", "Hz", "W", "J")
_DURATIONS = {"min": 60.0, "h": 3600.0, "d": 86400.0, "year": _YEAR_S, "years": _YEAR_S}


def parse_quantity(text: str | float, unit: str, *, where: str = "") -> float:
    """Read a quantity as an SI float.

    Args:
        text: a number with a unit ("900 GB/s"), or a bare number already in `unit`.
        unit: the base unit wanted: "s", "B", "B/s", "FLOP/s", "OP/s", "Hz", "W" or "J".
        where: the option or field, for the error message.

    Raises:
        UnitError: not a finite number, negative, or in a unit that is not `unit`.
    """
    return _read(text, unit, "", where)


def parse_number(text: str | float, unit: str, *, where: str = "") -> float:
    """Read a quantity as a number of a unit that may have a prefix: "2 us" in "ms" is 0.002.

    Args:
        text: a number with any unit of the kind, or a bare number of `unit`.
        unit: the unit of the number: that of `parse_quantity`, or a rate ("/s"), a price ("USD",
            "USD/h") or emissions ("g/kWh"), with or without a decimal prefix.
        where: the option or field, for the error message.

    Raises:
        UnitError: not a finite number, negative, or in a unit of another kind.
    """
    for base in _BASES:
        if unit.endswith(base) and unit.removesuffix(base) in _DECIMAL:
            return _read(text, base, unit.removesuffix(base), where)
    raise ValueError(f"no unit: {unit}")


def _read(text: str | float, base: str, prefix: str, where: str) -> float:
    """A quantity as a number of the base unit with the prefix, which a bare number is already."""
    unit = prefix + base
    match = _NUMBER.match(text) if isinstance(text, str) else None
    if isinstance(text, str) and match is None:
        raise UnitError(f"'{text}' is not a quantity", where=where, allowed=f"such as '2 {unit}'")
    number, suffix = (float(match[1].replace("_", "")), match[2]) if match else (float(text), "")
    factor = _factor(suffix, base, unit, str(text), where) / _DECIMAL[prefix] if suffix else 1.0
    value = number * factor
    if not math.isfinite(value) or value < 0:
        raise UnitError(f"'{text}' is not a finite quantity >= 0", where=where)
    return value


def _factor(suffix: str, base: str, unit: str, text: str, where: str) -> float:
    """How many base units the suffix is; `unit` is an example for the error message."""
    if base == "s" and suffix in _DURATIONS:
        return _DURATIONS[suffix]
    if base == "/s" and suffix[1:] in _DURATIONS:
        return 1.0 / _DURATIONS[suffix[1:]]
    for alias, full in _SYNONYM.items():
        if suffix.endswith(alias):
            suffix = suffix[: -len(alias)] + full
            break
    spellings = [(base, 1.0)]
    if base in ("B", "B/s"):
        spellings.append((base.replace("B", "b"), 1 / 8))
    for spelling, scale in spellings:
        if suffix.endswith(spelling) and suffix[: -len(spelling)] in _PREFIX:
            return _PREFIX[suffix[: -len(spelling)]] * scale
    raise UnitError(f"'{text}' is not in {base}", where=where, allowed=f"such as '2 {unit}'")


_PRINT = (
    (1e18, "E"),
    (1e15, "P"),
    (1e12, "T"),
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
    (1e-3, "m"),
    (1e-6, "u"),
    (1e-9, "n"),
    (1e-12, "p"),
)


def format_si(value: float, unit: str, digits: int = 3) -> str:
    """Print with a decimal prefix and `digits` significant digits: 9.0e11 B/s -> "900 GB/s"."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}".rstrip()
    magnitude = abs(float(f"{value:.{digits}g}"))
    scale, prefix = next(((s, p) for s, p in _PRINT if magnitude >= s), _PRINT[-1])
    scaled = value / scale
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(float(f"{scaled:.{digits}g}")))))
    return f"{scaled:.{decimals}f} {prefix}{unit}".rstrip()


_LEAST_S = 0.5e-12
"""Half of the engine's clock tick; what is shorter is noise of rounding."""


def format_seconds(value: float) -> str:
    """Print a duration: 0.00123 -> "1.23 ms"; below half a picosecond it is "0 s"."""
    return format_si(0.0 if abs(value) < _LEAST_S else value, "s")


def format_duration(value: float) -> str:
    """Print a duration as people say it, from seconds to years: 5400 -> "90 min"."""
    for name in ("years", "d", "h", "min"):
        if value >= 2 * _DURATIONS[name]:
            return f"{value / _DURATIONS[name]:.3g} {name}"
    return format_seconds(value)


def format_percent(share: float, digits: int = 1) -> str:
    """Print a share of 1: 0.0532 -> "5.3 %"."""
    return f"{100 * share:.{digits}f} %"


def format_bytes(value: float) -> str:
    """Print a size in binary units: 2097152 -> "2.00 MiB"."""
    for name, scale in reversed(_BINARY.items()):
        if abs(value) >= scale:
            return f"{value / scale:.2f} {name}B"
    return f"{value:.0f} B"
