"""Checks that the parts of a chip fit together."""

from __future__ import annotations

from lydite.errors import InputError
from lydite.hardware.chip.design import Chip

MOST_ACCELERATORS = 64
CLOCKS_HZ = (1e3, 1e12)
"""Lowest and highest clock of an accelerator or a processor."""


def checked(chip: Chip, where: str = "") -> Chip:
    """Check a chip and return it.

    Args:
        chip: Chip to check.
        where: File name for error messages; the chip's name if empty.

    Raises:
        InputError: a scratchpad that the array needs is missing or too small, two have the same
            name, or one has more banks than words; the array does not compute the data type; a
            clock is out of range; there are more accelerators than the engine supports; a request
            is larger than a page; or there are registers that the array does not use.
    """
    where = where or chip.name
    names = [pad.name for pad in chip.scratchpads]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise InputError(f"two scratchpads are named '{double}'", where=where)
    _check_required(chip, where)
    for pad in chip.scratchpads:
        if pad.banks * pad.word_bytes > pad.bytes:
            raise InputError(
                f"{pad.banks} banks of {pad.word_bytes}-byte words do not fit in {pad.bytes} bytes",
                where=f"{where}: scratchpads.{pad.name}",
                allowed="at least one word per bank",
            )
    for name, clock_hz in (("clock", chip.clock_hz), ("cpu.clock", chip.cpu.clock_hz)):
        if not CLOCKS_HZ[0] <= clock_hz <= CLOCKS_HZ[1]:
            raise InputError(
                f"{clock_hz:g} Hz is no clock", where=f"{where}: {name}", allowed="1 kHz to 1 THz"
            )
    array = chip.array
    if array.dtypes and chip.dtype not in array.dtypes:
        raise InputError(
            f"{array.title} does not compute in {chip.dtype}",
            where=f"{where}: dtype",
            allowed=", ".join(array.dtypes),
        )
    if chip.registers_bytes and not array.has_registers:
        raise InputError(
            f"registers are part of the processing elements of {array.title}",
            where=f"{where}: registers",
            allowed="none",
        )
    if not 1 <= chip.accelerators <= MOST_ACCELERATORS:
        raise InputError(
            f"{chip.accelerators} accelerators", where=where, allowed=f"1 to {MOST_ACCELERATORS}"
        )
    if chip.dma.chunk_bytes > chip.dma.page_bytes:
        raise InputError(
            f"chunks of {chip.dma.chunk_bytes} bytes exceed pages of {chip.dma.page_bytes} bytes",
            where=f"{where}: dma",
            allowed="chunks no larger than a page",
        )
    return chip


def _check_required(chip: Chip, where: str) -> None:
    """Check that the chip has every scratchpad that its array needs, large enough."""
    sizes = {pad.name: pad.bytes for pad in chip.scratchpads}
    required = chip.array.required_scratchpads()
    for name, minimum in required.items():
        if name not in sizes:
            raise InputError(f"no scratchpad '{name}'", where=where, allowed=", ".join(required))
        if sizes[name] < minimum:
            raise InputError(
                f"{sizes[name]} bytes are too small for {chip.array.title}",
                where=f"{where}: scratchpads.{name}.size",
                allowed=f"at least {minimum} bytes",
            )
