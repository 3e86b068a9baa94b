"""Replicas that fail, start cold, or are started and stopped by the load."""

from __future__ import annotations

import math
import re

from lydite.errors import InputError, UnitError
from lydite.records import dataclass
from lydite.units import parse_quantity

_FAILURE = re.compile(r"\s*(\d+)@([^:]+)(?::([^:]+))?\s*")
_SCALE = re.compile(r"\s*(\d+):(\d+)\s*")
FAILURES = "REPLICA@SECONDS or REPLICA@SECONDS:DURATION, such as 2@30:10 or 2@30s:5min"
SCALES = "MIN:MAX,queue=REQUESTS,idle=SECONDS, such as 1:4,queue=8,idle=60s"


@dataclass(frozen=True)
class Failure:
    """A replica that fails.

    Attributes:
        replica: Its number, from 0.
        at_s: When it fails.
        duration_s: Time until it starts again; infinite for never.
    """

    replica: int
    at_s: float
    duration_s: float = math.inf


@dataclass(frozen=True)
class Scale:
    """When replicas are started and stopped.

    Attributes:
        least: Replicas that run at the beginning and at least.
        queue: Requests that wait, for each replica that runs or starts, beyond which an arrival
            starts one more.
        idle_s: Time without requests after which a replica is stopped.
    """

    least: int
    queue: int = 8
    idle_s: float = 60.0


@dataclass(frozen=True)
class Fleet:
    """What changes which replicas run.

    Attributes:
        failures: Replicas that fail.
        scale: When replicas are started and stopped; None for all that run all the time.
        cold_s: Time from the start of a replica until it takes requests.
    """

    failures: tuple[Failure, ...] = ()
    scale: Scale | None = None
    cold_s: float = 0.0


def read_failures(text: str, replicas: int) -> tuple[Failure, ...]:
    """Failures from words such as "1@30,2@40:10"; replicas are counted from 1.

    Raises:
        InputError: a failure cannot be read, or there is no such replica.
    """
    made = []
    for part in text.split(","):
        match = _FAILURE.fullmatch(part)
        at = _seconds(match[2]) if match else math.nan
        lasts = _seconds(match[3]) if match and match[3] else math.inf
        if match is None or not 0 <= at < math.inf or not lasts > 0:
            raise InputError(f"'{part.strip()}' is no failure", allowed=FAILURES)
        number = int(match[1])
        if not 1 <= number <= replicas:
            raise InputError(f"replica {number} cannot fail", allowed=f"1 to {replicas}")
        made.append(Failure(number - 1, at, lasts))
    return tuple(made)


def read_scale(text: str) -> tuple[Scale, int]:
    """When replicas are started and stopped, and the most of them, from words.

    Raises:
        InputError: the words cannot be read, or a number is out of its limits.
    """
    limits, *rest = text.split(",")
    match = _SCALE.fullmatch(limits)
    pairs = (part.strip().partition("=") for part in rest)
    given = {name: value for name, _, value in pairs}
    if match is None or not set(given) <= {"queue", "idle"}:
        raise InputError(f"'{text}' is no rule of scaling", allowed=SCALES)
    least, most = int(match[1]), int(match[2])
    queue, idle_s = given.get("queue", "8"), _seconds(given.get("idle", "60"))
    if not 1 <= least < most <= 4096 or not queue.isdigit() or not 0 <= idle_s < 1e9:
        raise InputError(
            f"'{text}' is no rule of scaling",
            allowed=f"{SCALES}, with 1 <= MIN < MAX <= 4096",
        )
    return Scale(least, int(queue), idle_s), most


def _seconds(text: str) -> float:
    """A duration; NaN for what is none."""
    try:
        return parse_quantity(text.strip(), "s")
    except UnitError:
        return math.nan
