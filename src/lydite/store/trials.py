"""Trials: schedules of operators that were compiled and timed, or that a log names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from sqlalchemy import Row

from lydite.errors import InputError
from lydite.opkey import OpKey
from lydite.records import dataclass
from lydite.results import OneLine
from lydite.store import values
from lydite.store.records import Software

ROLES = ("trial", "paired", "imported")
TRIAL_STATUSES = ("ok", "compile_error", "timeout", "wrong", "crash", "out_of_memory", "untimed")

_set = object.__setattr__


@dataclass(frozen=True, slots=True, repr=False)
class Trial(OneLine):
    """One schedule of one operator, and what came of it.

    Attributes:
        key: Key of the operator.
        device: Name of the device that it ran on.
        software: Compiler and package versions.
        target: Target of the compiler with the processor's name.
        space: Schedule space.
        factors: Values of the space's factors by name.
        role: "trial" of a tuner, "paired" comparison that decides whether the schedule is used, or
            "imported" from a log.
        status: "ok", or why there is no time: "compile_error", "timeout", "wrong" (its result),
            "crash", "out_of_memory", "untimed" (a log's time on another machine).
        error: Message of the failure.
        seconds: Seconds of CPU time per call; None for a failure.
        reference_s: Seconds of what is in use, measured in turns with it; None when not measured.
        ratio_low, ratio_high: 95 % interval of seconds over reference_s in a paired run.
        parent: Log that an import came from.
        measured_at: Time of the trial in UTC.
        run: Id of the run that it belongs to.

    Raises:
        InputError: a field has the wrong type or value.
    """

    key: OpKey
    device: str
    software: Software
    target: str
    space: str
    factors: Mapping[str, int | float | str]
    role: str = "trial"
    status: str = "ok"
    error: str = ""
    seconds: float | None = None
    reference_s: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    parent: str = ""
    measured_at: str = field(default_factory=values.utc_now)
    run: str | None = None

    def __post_init__(self) -> None:
        for name in ("device", "target", "space"):
            values.check_text(name, getattr(self, name))
        values.one_of("role", self.role, ROLES)
        values.one_of("status", self.status, TRIAL_STATUSES)
        if not isinstance(self.factors, Mapping):
            raise InputError(f"factors is {self.factors!r}", allowed="names to values")
        for name in ("seconds", "reference_s", "ratio_low", "ratio_high"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise InputError(f"{name} is {value!r}", allowed="a positive number")
        if (self.status == "ok") != (self.seconds is not None):
            raise InputError(
                f"a trial with status '{self.status}' and seconds {self.seconds}",
                allowed="seconds for 'ok' and for nothing else",
            )
        _set(self, "error", values.printable(self.error))
        _set(self, "measured_at", values.parse_utc(self.measured_at))

    @property
    def accepted(self) -> bool:
        """Whether a paired run shows the schedule to be faster than what is in use."""
        faster = self.ratio_high is not None and self.ratio_high < 1
        return self.role == "paired" and self.status == "ok" and faster

    def headline(self) -> str:
        """Operator, space and outcome."""
        time = f"{self.seconds * 1e6:.1f} us" if self.seconds else self.status
        return f"{self.key.qualified_type} by {self.space}: {time}"


def trial_row(item: Trial, software_digest: str) -> dict[str, Any]:
    """The row of a trial."""
    row = {
        "op": item.key.digest,
        "device": item.device,
        "software": software_digest,
        "target": item.target,
        "space": item.space,
        "factors": values.canonical_json(item.factors, "factors"),
        "role": item.role,
        "status": item.status,
        "error": item.error,
        "seconds": item.seconds,
        "reference_s": item.reference_s,
        "ratio_low": item.ratio_low,
        "ratio_high": item.ratio_high,
        "parent": item.parent,
        "measured_at": item.measured_at,
    }
    # An export names no run, and reading it again must add nothing.
    return {"id": values.digest(values.canonical_json(row, "trial")), **row, "run": item.run}


def read_trial(row: Row[Any]) -> Trial:
    """The trial in a row of the whole table with the operator's text and the software."""
    return Trial(
        OpKey.parse(row.text),
        row.device,
        Software(row.backend, json.loads(row.versions)),
        row.target,
        row.space,
        json.loads(row.factors),
        row.role,
        row.status,
        row.error,
        row.seconds,
        row.reference_s,
        row.ratio_low,
        row.ratio_high,
        row.parent,
        row.measured_at,
        row.run,
    )
