"""Host, framework and device constants of a step, which no operator measurement covers.

They are kept as JSON. `lydite calibrate` fits them to measured steps, each within physical limits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lydite.cluster.collectives import KINDS, Calibration, Curve, curves_in
from lydite.errors import InputError, unknown_name
from lydite.estimate import AchievedEfficiency
from lydite.files import write_atomic
from lydite.hardware import read_json_spec
from lydite.hardware.cluster import Cluster
from lydite.records import dataclass
from lydite.results import OneLine

if TYPE_CHECKING:
    from lydite.store import Readings


@dataclass(frozen=True, repr=False)
class Constants(OneLine):
    """Figures of the host, the framework and the device.

    Attributes:
        dispatch_s: Time in which the host's processor launches a kernel; None for the runtime's.
        step_s: Time that a training step takes once, besides operators and messages: reading the
            batch, scaling and clipping, synchronisation.
        compute_slowdown: Factor by which kernels take longer while gradients are sent.
        exchange_slowdown: Factor by which sending gradients takes longer while kernels run.
        achieved: Shares of the device's peaks that arithmetic, memory and kernels reach.
        collectives: Terms that NCCL's model leaves out, as `lydite.cluster.calibration.collectives`
            fits them; None for those that follow from the device's memory bandwidth.
        seen: Smallest and largest value of what tells steps apart, over the steps of the fit (see
            `lydite.cluster.seen`); empty where nothing was fitted.
        host_memory_bytes_per_s: Memory bandwidth of a host for what is offloaded to it; None for
            the assumed one. Not kept as JSON.
        curves: Measured times of collectives inside a host, by kind and ranks; not kept as JSON.
        source: Origin of the figures, such as "assumed".
    """

    dispatch_s: float | None = None
    step_s: float = 0.0
    compute_slowdown: float = 1.0
    exchange_slowdown: float = 1.0
    achieved: AchievedEfficiency = field(default_factory=AchievedEfficiency)
    collectives: Calibration | None = None
    seen: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    host_memory_bytes_per_s: float | None = None
    curves: Mapping[str, Mapping[int, Curve]] = field(default_factory=dict, compare=False)
    source: str = "assumed"

    @property
    def values(self) -> dict[str, float]:
        """All constants that have a value, by name."""
        own = {name: getattr(self, name) for name in OWN}
        constants = {name: value for name, value in own.items() if value is not None}
        return constants | {name: getattr(self.achieved, name) for name in ACHIEVED}

    def with_values(self, values: Mapping[str, float], source: str) -> Constants:
        """A copy with other values of the constants named.

        Raises:
            InputError: an unknown name, or a value out of its range.
        """
        for name, value in values.items():
            if name not in LIMITS:
                raise unknown_name("constant", name, tuple(LIMITS))
            low, high = LIMITS[name]
            if not low <= value <= high:
                raise InputError(f"{name} is {value:g}", allowed=f"{low:g} to {high:g}")
        device = {n: v for n, v in values.items() if n in ACHIEVED}
        changed: dict[str, Any] = {n: v for n, v in values.items() if n not in ACHIEVED}
        achieved = replace(self.achieved, **device, source=source)
        return replace(self, **changed, achieved=achieved, source=source)

    def headline(self) -> str:
        """Source of the constants, in one line."""
        return f"{len(self.values)} constants, {self.source}"


OWN = ("dispatch_s", "step_s", "compute_slowdown", "exchange_slowdown")
ACHIEVED = ("products", "streams", "misaligned", "kernel_s")

LIMITS: Mapping[str, tuple[float, float]] = {
    "dispatch_s": (0.0, 1e-3),
    "step_s": (0.0, 10.0),
    "kernel_s": (0.0, 1e-3),
    "compute_slowdown": (1.0, 100.0),
    "exchange_slowdown": (1.0, 100.0),
    "products": (0.01, 0.92),
    "streams": (0.01, 0.95),
    "misaligned": (0.01, 1.0),
}
"""Range of each constant: no time below 0, no speed-up by interference, no share above what large
products (0.87 of peak on an A100) and streams (0.9 of the bandwidth) are known to reach."""

ASSUMED = Constants()


def write_constants(path: Path, constants: Constants) -> Path:
    """Write constants as JSON, and return the path."""
    document: dict[str, Any] = {**constants.values, "source": constants.source}
    if constants.achieved.spread:
        document["spread"] = list(constants.achieved.spread)
    if constants.seen:
        document["seen"] = {name: list(span) for name, span in constants.seen.items()}
    if constants.collectives is not None:
        document["collectives"] = constants.collectives.to_json()
    return write_atomic(path, json.dumps(document, indent=2) + "\n")


def read_constants(path: Path) -> Constants:
    """Read a file written by `write_constants`; constants that it lacks keep their assumed values.

    Raises:
        InputError: there is no such file, it is not a JSON object, a name is unknown, or a value is
            out of its range.
    """
    document = read_json_spec(path, "a file of constants", most_bytes=1 << 24)
    source = str(document.pop("source", path.name))
    sent = document.pop("collectives", None)
    spread = _spread(document.pop("spread", None), path)
    seen = _seen(document.pop("seen", {}), path)
    for name, value in document.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(f"{name} is not a number", where=str(path))
    constants = ASSUMED.with_values(document, source)
    calibration = None if sent is None else Calibration.from_json(sent, f"{path}: collectives")
    achieved = replace(constants.achieved, spread=spread)
    return replace(constants, collectives=calibration, achieved=achieved, seen=seen)


def _spread(given: object, path: Path) -> tuple[float, ...]:
    """Lower and upper bound of a step's time, relative to its estimate."""
    if given is None:
        return ()
    numbers = given if isinstance(given, list) else []
    known = [float(n) for n in numbers if isinstance(n, (int, float)) and not isinstance(n, bool)]
    if len(known) != 2 or len(numbers) != 2 or not 0 < known[0] <= 1 <= known[1] < float("inf"):
        raise InputError(
            f"spread is {given}", where=str(path), allowed="two numbers, 0 < low <= 1 <= high"
        )
    return known[0], known[1]


def _seen(given: object, path: Path) -> dict[str, tuple[float, float]]:
    """Ranges of the fitted steps."""
    found: dict[str, tuple[float, float]] = {}
    for name, span in given.items() if isinstance(given, dict) else ():
        known = isinstance(span, list) and all(type(n) in (int, float) for n in span)
        if not known or len(span) != 2 or not 0 < span[0] <= span[1] < float("inf"):
            raise InputError(
                f"seen.{name} is {span!r:.40}",
                where=str(path),
                allowed="two numbers, 0 < least <= most",
            )
        found[str(name)] = float(span[0]), float(span[1])
    if not isinstance(given, dict):
        raise InputError(f"seen is {given!r:.40}", where=str(path), allowed="ranges by name")
    return found


def with_curves(constants: Constants, database: Readings, cluster: Cluster) -> Constants:
    """The constants with the collectives that a database has of a cluster, else of its device."""
    curves_by_kind: dict[str, Mapping[int, Curve]] = {}
    for kind in KINDS:
        for name in (cluster.name.partition(" x ")[0], cluster.device.name):
            curves = curves_in(database, name, kind)
            if curves and kind not in curves_by_kind:
                curves_by_kind[kind] = curves
    return replace(constants, curves=curves_by_kind)
