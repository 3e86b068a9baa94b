"""Sophgo devices through the driver's files, `/proc/bmsophon/cardN/bmsophonM/`.

Source: Sophgo, libsophon guide, "proc file system". A card holds one chip or several; power is
measured of the card (`board_power`), temperature, clock and `tpu_power` of each chip. The files do
not give utilisation and memory in use; where Sophgo's package `sail` is installed, it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from lydite.measure.telemetry.base import NoSensor, Reading, SensorDevice, number
from lydite.measure.telemetry.files import text_of

ROOT = "/proc/bmsophon"
_WATTS = {"w": 1.0, "mw": 1e-3, "": 1.0}
_DEGREES = {"c": 1.0, "°c": 1.0, "": 1.0}
_HERTZ = {"mhz": 1e6, "hz": 1.0, "": 1e6}


class Sophgo:
    """Chips of Sophgo's cards.

    Args:
        root: Folder of the driver's files.
        sail: Sophgo's Python package; None for the installed one, if it is.
    """

    name = "sophgo"
    least_interval_s = 0.1

    def __init__(self, root: str = ROOT, sail: Any = None) -> None:
        self.root, self._sail = Path(root), sail
        self._chips: dict[str, tuple[Path, Path, int]] = {}

    def devices(self) -> Sequence[SensorDevice]:
        """All chips of all cards.

        Raises:
            NoSensor: the driver is not there, or lists no card.
        """
        cards = sorted(self.root.glob("card[0-9]*"), key=lambda p: (len(p.name), p.name))
        if not cards:
            raise NoSensor(
                f"no card in {self.root}", "load Sophgo's PCIe driver, if there is a card"
            )
        self._sail = self._sail or _sail()
        return [device for card in cards for device in self._of_card(card)]

    def _of_card(self, card: Path) -> list[SensorDevice]:
        chips = sorted(card.glob("bmsophon[0-9]*"), key=lambda p: (len(p.name), p.name))
        told = number(text_of(card / "chip_num_on_card") or "")
        count = int(told) if told else len(chips) or None
        if count is None:
            whole, note = None, "how many chips are on the card is unknown"
        elif count == 1:
            whole, note = True, "power of the card, which holds one chip"
        else:
            whole = True
            note = f"power of the whole card with {count} chips; this chip's share is unknown"
        name = f"{text_of(card / 'board_type') or 'Sophgo'} {text_of(card / 'chipid') or ''}"
        limit = number(text_of(card / "maxboardp") or "", _WATTS)
        made = []
        for folder in chips or [card]:
            number_of_chip = int(number(folder.name.removeprefix("bmsophon")) or 0) if chips else 0
            identity = f"{self.name}:{number_of_chip if chips else card.name.removeprefix('card')}"
            self._chips[identity] = card, folder, number_of_chip
            made.append(SensorDevice(identity, name.strip(), whole, note, limit or None))
        return made

    def read(self, device: SensorDevice) -> Reading:
        """Power of the card; temperature and clock of the chip."""
        card, folder, chip = self._chips[device.id]
        power = number(text_of(card / "board_power") or "", _WATTS)
        temperature = number(text_of(folder / "chip_temp") or "", _DEGREES)
        if temperature is None:
            temperature = number(text_of(card / "board_temp") or "", _DEGREES)
        values: dict[str, float | None] = {
            "power_w": power,
            "temperature_c": temperature,
            "clock_hz": number(text_of(folder / "tpu_freq") or "", _HERTZ),
        }
        if self._sail is not None:
            values |= self._asked(chip)
        return {name: value for name, value in values.items() if value is not None}

    def _asked(self, chip: int) -> dict[str, float | None]:
        """Utilisation and memory, as Sophgo's package tells them (memory in MB)."""
        found: dict[str, float | None] = {}
        try:
            _, used_mb, found["utilisation_percent"], *_ = self._sail.get_dev_stat(chip)
            found["memory_bytes"] = float(used_mb) * (1 << 20)
        except Exception:  # a compiled package: what it raises is not stated
            return found
        return found

    def close(self) -> None:
        """Nothing to give back."""


def _sail() -> Any:
    try:
        return import_module("sophon.sail")
    except Exception:
        return None
