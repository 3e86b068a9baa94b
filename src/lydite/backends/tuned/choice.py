"""Which operators run tuned: those whose schedule a paired run has shown to be faster."""

from __future__ import annotations

from collections.abc import Mapping

from lydite.backends.tuned.space import Config, config_from
from lydite.backends.tuned.task import task_of
from lydite.backends.tuned.toolchain import Machine, versions
from lydite.errors import InputError, LyditeError
from lydite.records import dataclass
from lydite.store import Database, Software

SEGMENT_S = 10e-6
"""Seconds of one more call into ONNX Runtime, which a tuned operator has to gain at least."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A schedule in use.

    Attributes:
        config: Configuration.
        gain_s: Seconds per call that it saves against ONNX Runtime's kernel.
    """

    config: Config
    gain_s: float


def accepted(database: Database, device: str, here: Machine) -> dict[str, Choice]:
    """Choice by digest of the operator; the newest paired run of an operator decides."""
    software = Software("tvm", versions())
    chosen: dict[str, Choice] = {}
    for row in database.trials(device=device, target=here.target, role="paired"):
        if row.software != software:
            continue
        chosen.pop(row.key.digest, None)
        task = task_of(row.key)
        if not row.accepted or task is None or row.seconds is None or row.reference_s is None:
            continue
        try:
            config = config_from(row.space, row.factors, task, here)
        except InputError:
            continue  # the space has changed since
        chosen[row.key.digest] = Choice(config, row.reference_s - row.seconds)
    return chosen


def accepted_here(here: Machine) -> Mapping[str, Choice]:
    """Choices of the user's own database; none where there is no database."""
    from lydite.hardware import local_device

    try:
        with Database.open(read_only=True) as database:
            return accepted(database, local_device().name, here)
    except LyditeError:
        return {}
