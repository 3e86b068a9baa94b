"""Moore Threads devices through the driver's tool, `mthreads-gmi -q` (with -j: as JSON).

The tool is a process for every reading, so it is asked no more than twice a second, and what it
does not know it calls "N/A".
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

from lydite.measure.telemetry.base import NoSensor, Reading, SensorDevice, number

_TIMEOUT_S = 5.0
_BYTES = {"b": 1.0, "kib": 1024.0, "mib": 1024.0**2, "gib": 1024.0**3, "mb": 1e6, "gb": 1e9}
_HERTZ = {"hz": 1.0, "khz": 1e3, "mhz": 1e6, "ghz": 1e9}
_UNITS: Mapping[str, Mapping[str, float]] = {
    "power_w": {"w": 1.0, "mw": 1e-3},
    "utilisation_percent": {"%": 1.0},
    "memory_bytes": _BYTES,
    "clock_hz": _HERTZ,
    "memory_clock_hz": _HERTZ,
    "temperature_c": {"c": 1.0, "°c": 1.0, "℃": 1.0},
}
_KEYS: Mapping[str, tuple[str, ...]] = {
    "power_w": ("power_draw", "board_power_draw", "power"),
    "utilisation_percent": ("gpu_utilization", "utilization_gpu", "gpu"),
    "memory_bytes": ("memory_used", "fb_memory_usage_used", "used"),
    "clock_hz": ("graphics_clock", "clocks_graphics", "gpu_clock", "graphics"),
    "memory_clock_hz": ("memory_clock", "clocks_memory"),
    "temperature_c": ("temperature", "gpu_current_temp", "gpu_temperature"),
}
"""Names of each channel in the tool's releases, in lower case with underscores."""


class MooreThreads:
    """Boards of Moore Threads.

    Args:
        tool: Program to ask.
    """

    name = "moore_threads"
    least_interval_s = 0.5

    def __init__(self, tool: str = "mthreads-gmi") -> None:
        self.tool = tool
        self._is_json = True
        self._last: tuple[float, list[dict[str, str]]] | None = None

    def devices(self) -> Sequence[SensorDevice]:
        """All boards.

        Raises:
            NoSensor: the tool is missing, fails, or lists no board.
        """
        boards = self._boards()
        if not boards:
            raise NoSensor(f"{self.tool} lists no board")
        return [
            SensorDevice(
                f"{self.name}:{index}",
                board.get("product_name", "Moore Threads device"),
                None,
                f"as {self.tool} tells it, at most every {self.least_interval_s:g} s",
            )
            for index, board in enumerate(boards)
        ]

    def read(self, device: SensorDevice) -> Reading:
        """All channels that the tool knows; every board is read at once."""
        now = time.monotonic()
        if self._last is None or now - self._last[0] > self.least_interval_s / 2:
            self._last = now, self._boards()
        index, boards = int(device.id.rpartition(":")[2]), self._last[1]
        if index >= len(boards):
            raise OSError(f"{self.tool} no longer lists board {index}")
        values = {name: _value(name, boards[index]) for name in _KEYS}
        return {name: value for name, value in values.items() if value is not None}

    def _boards(self) -> list[dict[str, str]]:
        if self._is_json:
            boards = boards_of_json(self._told("-q", "-j"))
            if boards is not None:
                return boards
            self._is_json = False
        return boards_of_text(self._told("-q"))

    def _told(self, *words: str) -> str:
        if shutil.which(self.tool) is None:  # much faster than a process that fails
            raise NoSensor(
                f"the tool '{self.tool}' is not on this machine",
                "install the driver of Moore Threads, if there is a board",
            )
        try:
            done = subprocess.run(
                [self.tool, *words],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NoSensor(f"{self.tool} does not answer: {error}"[:200]) from None
        if done.returncode and not (self._is_json and "-j" in words):
            told = (done.stderr or done.stdout).strip().partition("\n")[0]
            raise NoSensor(f"{self.tool} failed with code {done.returncode}: {told}"[:200])
        return done.stdout

    def close(self) -> None:
        """Nothing to give back."""


def _value(channel: str, board: Mapping[str, str]) -> float | None:
    for key in _KEYS[channel]:
        if key in board:
            return number(board[key], _UNITS[channel])
    return None


def boards_of_json(text: str) -> list[dict[str, str]] | None:
    """Boards of `-q -j`: texts by key; None if this is not such a document."""
    try:
        document = json.loads(text)
    except ValueError:
        return None
    boards = document.get("gpus") if isinstance(document, dict) else None
    if not isinstance(boards, list):
        return None
    return [_flat(board) for board in boards if isinstance(board, dict)]


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Texts by key; keys of nested tables follow those of the outer ones."""
    flat: dict[str, str] = {}
    for key, item in value.items():
        name = _key(prefix + key)
        if isinstance(item, Mapping):
            flat |= _flat(item, f"{name}_")
        elif isinstance(item, str | int | float):
            flat[name] = str(item)
    return flat


def boards_of_text(text: str) -> list[dict[str, str]]:
    """Boards of `-q`: lines "key : value", indented under headings; "GPU..." starts a board."""
    boards: list[dict[str, str]] = []
    headings: list[tuple[int, str]] = []
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        key, colon, value = line.strip().partition(":")
        if key.strip().lower().startswith("gpu") and not indent:
            boards.append({})
            headings = []
            continue
        if not boards or not key.strip():
            continue
        headings = [heading for heading in headings if heading[0] < indent]
        if not colon or not value.strip():
            headings.append((indent, _key(key)))
            continue
        full = "_".join([name for _, name in headings] + [_key(key)])
        boards[-1].setdefault(_key(key), value.strip())
        boards[-1][full] = value.strip()
    return boards


def _key(text: str) -> str:
    return "_".join(text.strip().lower().replace("-", " ").split())
