"""Whether the parts of a chip go together."""

from __future__ import annotations

from lydite.errors import InputError
from lydite.hardware.chip.design import Chip, SmvArray, SystolicArray

MOST_ACCELERATORS = 64
_NEEDED = {SmvArray: ("inputs", "weights", "results"), SystolicArray: ("ifmap", "filter", "ofmap")}


def checked(chip: Chip, where: str = "") -> Chip:
    """The chip, if it holds together.

    Args:
        chip: to look at.
        where: its file, for the error message; its name if none.

    Raises:
        InputError: a scratchpad that its array needs is missing, two of one name, one with more
            banks than words; a data type that its array does not compute; more accelerators than
            the engine plays; a request larger than a page; registers where nothing counts them.
    """
    where = where or chip.name
    names = [pad.name for pad in chip.scratchpads]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise InputError(f"two scratchpads '{double}'", where=where)
    missing = [name for name in _NEEDED[type(chip.array)] if name not in names]
    if missing:
        raise InputError(
            f"no scratchpad '{missing[0]}'",
            where=where,
            allowed=", ".join(_NEEDED[type(chip.array)]),
        )
    for pad in chip.scratchpads:
        if pad.banks * pad.word_bytes > pad.bytes:
            raise InputError(
                f"{pad.banks} banks with words of {pad.word_bytes} bytes in {pad.bytes} bytes",
                where=f"{where}: scratchpads.{pad.name}",
                allowed="a word in each bank",
            )
    if isinstance(chip.array, SmvArray) and chip.dtype != "float16":
        raise InputError(
            f"SMV does not compute {chip.dtype}", where=f"{where}: dtype", allowed="float16"
        )
    if isinstance(chip.array, SystolicArray) and chip.registers_bytes:
        raise InputError(
            "registers are part of a systolic array's processing elements",
            where=f"{where}: registers",
            allowed="none",
        )
    if not 1 <= chip.accelerators <= MOST_ACCELERATORS:
        raise InputError(
            f"{chip.accelerators} accelerators", where=where, allowed=f"1 to {MOST_ACCELERATORS}"
        )
    if chip.dma.chunk_bytes > chip.dma.page_bytes:
        raise InputError(
            f"chunks of {chip.dma.chunk_bytes} bytes in pages of {chip.dma.page_bytes}",
            where=f"{where}: dma",
            allowed="chunks no larger than a page",
        )
    return chip
