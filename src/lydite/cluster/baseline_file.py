"""Files of measured step times: by number of devices, by model."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lydite.errors import InputError
from lydite.graph.formats import read_text


@dataclass(frozen=True, slots=True)
class Baselines:
    """Measured step times.

    Attributes:
        seconds: by (GPUs, model).
        refused: by (GPUs, model) what stands there and is no time.
    """

    seconds: Mapping[tuple[int, str], float]
    refused: Mapping[tuple[int, str], str]

    def why_not(self, gpus: int, model: str) -> str:
        """Why there is no time; "" if there is one."""
        if (gpus, model) in self.seconds:
            return ""
        given = self.refused.get((gpus, model))
        return f"{model} on {gpus}: {f'baseline is {given}' if given else 'no baseline'}"


def read_baselines(path: Path | str) -> Baselines:
    """Read `{"<gpus>": {"<model>": milliseconds}}`.

    A time that is zero, negative or no number is kept as refused, so that it can be named.

    Raises:
        InputError: no such file, no JSON, or of another form.
    """
    try:
        raw = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"is no JSON: {error}", where=str(path)) from error
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
