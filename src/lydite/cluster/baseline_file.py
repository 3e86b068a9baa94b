"""Files of measured step times: by number of devices, by model."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from lydite.errors import InputError
from lydite.graph.formats import read_text
from lydite.records import dataclass


@dataclass(frozen=True, slots=True)
class Baselines:
    """Measured step times.

    Attributes:
        seconds: Time of a step in seconds, by (number of GPUs, model).
        refused: Text of each entry that is not a valid time, by (number of GPUs, model).
    """

    seconds: Mapping[tuple[int, str], float]
    refused: Mapping[tuple[int, str], str]

    def why_not(self, gpus: int, model: str) -> str:
        """Why there is no time for a model on so many GPUs; "" if there is one."""
        if (gpus, model) in self.seconds:
            return ""
        given = self.refused.get((gpus, model))
        return f"{model} on {gpus}: {f'baseline is {given}' if given else 'no baseline'}"


def read_baselines(path: Path | str) -> Baselines:
    """Read `{"<gpus>": {"<model>": milliseconds}}`.

    An entry that is zero, negative or not a number is kept in `refused`, to be reported later.

    Raises:
        InputError: there is no such file, or it is not JSON of that form.
    """
    try:
        raw = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON: {error}", where=str(path)) from error
    allowed = '{"<gpus>": {"<model>": milliseconds}}'
    if not isinstance(raw, dict):
        raise InputError("holds no baselines", where=str(path), allowed=allowed)
    seconds: dict[tuple[int, str], float] = {}
    refused: dict[tuple[int, str], str] = {}
    for gpus, models in raw.items():
        if not (gpus.isdecimal() and gpus.isascii() and len(gpus) < 8 and isinstance(models, dict)):
            raise InputError(f"'{gpus:.40}' has no baselines", where=str(path), allowed=allowed)
        for model, value in models.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if number and 0 < value < 1e15 and math.isfinite(value):
                seconds[int(gpus), model] = value * 1e-3
            else:
                refused[int(gpus), model] = f"{value} ms" if number else f"{value!r:.40}"
    return Baselines(seconds, refused)
