"""Files of the kernel that hold one value each."""

from __future__ import annotations

from pathlib import Path

from lydite.measure.telemetry.base import number

_MOST_BYTES = 4096


def text_of(path: Path) -> str | None:
    """The text of a small file without blanks around it; None if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode("utf-8", "replace").strip()
    except OSError:
        return None


def value_of(path: Path, factor: float = 1.0) -> float | None:
    """The number in a file times a factor; None if it cannot be read or holds none."""
    text = text_of(path)
    value = None if text is None else number(text, {"": 1.0})
    return None if value is None else value * factor
