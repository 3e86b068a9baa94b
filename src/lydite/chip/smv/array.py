"""Access to the SMV of a chip, for SMV-specific code."""

from __future__ import annotations

from lydite.errors import InputError
from lydite.hardware.chip import Chip, SmvArray


def smv_array(chip: Chip) -> SmvArray:
    """The chip's array.

    Raises:
        InputError: the array is of another kind.
    """
    if not isinstance(chip.array, SmvArray):
        raise InputError("has no SMV", where=chip.name, hint="use a systolic dataflow")
    return chip.array
