"""Rules that every kind of log has to meet: its end, its mode, its seeds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lydite.mlperf.fault import Fault
from lydite.mlperf.round import Round

HARMLESS = ("Loadgen built with uncommitted changes", "Multiple conf files")
"""Errors of a log that say nothing about the run."""
RERUN = "run it again"
"""What to do about a log that is no use."""


def ended(path: Path, values: dict[str, Any], errors: list[str]) -> Iterator[Fault]:
    """A log that comes to its end, without errors."""
    if "result_validity" not in values:
        yield Fault(path, "no result", "a run that came to its end", RERUN)
    for error in errors:
        if not any(harmless in error for harmless in HARMLESS):
            yield Fault(
                path, f"LoadGen's error: {error[:200]}", "none", "mend the cause, run again"
            )


def mode_is(path: Path, values: dict[str, Any], scenario: str, mode: str) -> Iterator[Fault]:
    """The mode and the scenario of a run."""
    found = str(values.get("effective_test_mode", "")) or "nothing"
    if found != mode:
        yield Fault(path, f"test mode {found}", mode, RERUN)
    base = "Server" if scenario == "Interactive" else scenario
    found = str(values.get("effective_scenario", "")) or "nothing"
    if found != base:
        yield Fault(path, f"scenario {found}", base, "put the logs into their scenario's folder")


def seeds_are(path: Path, values: dict[str, Any], chosen: Round) -> Iterator[Fault]:
    """The round's seeds."""
    seeds = chosen.seeds_of()
    wanted = {
        "effective_qsl_rng_seed": seeds.qsl,
        "effective_sample_index_rng_seed": seeds.sample_index,
        "effective_schedule_rng_seed": seeds.schedule,
    }
    for key, seed in wanted.items():
        if values.get(key) != seed:
            yield Fault(path, f"{key} {values.get(key)}", f"{seed} ({chosen.name})", RERUN)


def at_least(
    path: Path, values: dict[str, Any], key: str, least: int, step: str
) -> Iterator[Fault]:
    """A value of a log that is large enough."""
    found = values.get(key)
    if not isinstance(found, int | float) or found < least:
        yield Fault(path, f"{key} {found}", f"at least {least:,}", step)


def number(text: str) -> float | None:
    """A number, or None for a text that is none."""
    try:
        return float(text)
    except ValueError:
        return None
