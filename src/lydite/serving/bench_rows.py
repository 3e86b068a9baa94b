"""Requests of load generators' result files, and checks of the JSON values that state them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from lydite.errors import InputError
from lydite.records import dataclass


@dataclass(frozen=True)
class BenchRequest:
    """A request that a load generator sent and that was answered.

    Attributes:
        start_s: When it was sent, in seconds after any fixed time.
        prompt: Prompt tokens.
        output: Output tokens.
        ttft_s: Time to the first token, in seconds after `start_s`; NaN where unknown.
        latency_s: Time to the last token, in seconds after `start_s`; NaN where unknown.
        name: Name in the file.
    """

    start_s: float
    prompt: int
    output: int
    ttft_s: float
    latency_s: float
    name: str


Rows = tuple[list[BenchRequest], list[str]]
"""Answered requests, and notes of what was left out."""


def number_of(value: Any, what: str, where: str, least: float = 0.0) -> float:
    """A finite number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        shown = json.dumps(value)[:40]
        raise InputError(f"{what} is {shown}", where=where, allowed="a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or number < least:
        allowed = "a finite number" + (f", {least:g} or more" if math.isfinite(least) else "")
        raise InputError(f"{what} is {number:g}", where=where, allowed=allowed)
    return number


def seconds_of(value: Any, what: str, where: str, scale: float = 1.0) -> float:
    """A time in seconds from a value that may be absent; NaN where it is."""
    return math.nan if value is None else number_of(value, what, where) * scale


def tokens_of(value: Any, what: str, where: str) -> int:
    """A whole number of tokens."""
    number = number_of(value, what, where)
    if number != int(number):
        raise InputError(f"{what} is {number:g}", where=where, allowed="a whole number of tokens")
    return int(number)


def object_of(value: Any, what: str, where: str) -> Mapping[str, Any]:
    """A JSON object."""
    if not isinstance(value, dict):
        raise InputError(f"{what} is no JSON object", where=where)
    return value


def list_of(value: Any, what: str, where: str) -> list[Any]:
    """A JSON list."""
    if not isinstance(value, list):
        raise InputError(f"{what} is no list", where=where)
    return value


def left_out(counts: Mapping[str, int]) -> list[str]:
    """One note of the requests that were left out, by reason."""
    told = [f"{count} {reason}" for reason, count in counts.items() if count]
    return [f"requests left out: {', '.join(told)}"] if told else []
