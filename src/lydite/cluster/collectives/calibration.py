"""The two terms that NCCL's cost model omits, fitted to nccl-tests logs or assumed."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lydite.errors import InputError
from lydite.files import write_atomic
from lydite.records import dataclass


@dataclass(frozen=True)
class Calibration:
    """Seconds on top of NCCL's model: launch_s + local_s_per_byte x bytes.

    Attributes:
        launch_s: Additional time in seconds of every collective, at least 0.
        local_s_per_byte: Seconds per byte of an all-reduce's local tensor, for reading, adding and
            writing it in memory where the links do not hide that; at least 0.
        ranks: Numbers of ranks in the measurements fitted to; empty where assumed.
        points: Number of measured times fitted to.
        error: Geometric mean error of the fit, as a share; None where assumed.
    """

    launch_s: float = 0.0
    local_s_per_byte: float = 0.0
    ranks: tuple[int, ...] = ()
    points: int = 0
    error: float | None = None

    def __post_init__(self) -> None:
        for name in ("launch_s", "local_s_per_byte"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise InputError(f"{name} is {value:g}", where="calibration", allowed="0 or more")

    def to_json(self) -> dict[str, Any]:
        """The calibration as JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(document: Any, where: str = "calibration") -> Calibration:
        """A calibration from JSON values.

        Raises:
            InputError: there are other fields, or values of the wrong type.
        """
        fields = Calibration.__dataclass_fields__
        if not isinstance(document, dict) or set(document) != set(fields):
            raise InputError(
                "not a calibration", where=where, allowed=f"an object of {list(fields)}"
            )
        try:
            error = document["error"]
            return Calibration(
                float(document["launch_s"]),
                float(document["local_s_per_byte"]),
                tuple(int(count) for count in document["ranks"]),
                int(document["points"]),
                None if error is None else float(error),
            )
        except (TypeError, ValueError) as fault:
            raise InputError(
                f"not a calibration: {fault}", where=where, allowed="numbers"
            ) from fault


def write_calibration(calibration: Calibration, path: Path | str) -> Path:
    """Write a calibration as JSON, and return the path.

    Raises:
        LyditeError: the file cannot be written.
    """
    return write_atomic(Path(path), json.dumps(calibration.to_json(), indent=1) + "\n")


def read_calibration(path: Path | str) -> Calibration:
    """Read a file written by `write_calibration`.

    Raises:
        InputError: there is no such file, or it does not hold a calibration.
    """
    try:
        document = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON: {error}", where=str(path)) from error
    return Calibration.from_json(document, str(path))
