"""SMAUG's configuration files, for the registry of chip files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lydite.compat.smaug.chip.files import accelerator_file, read_smaug_chip
from lydite.hardware.chip import Chip
from lydite.records import dataclass


@dataclass(frozen=True)
class _SmaugFile:
    """The accelerator's file, or the system's file that names it."""

    title: str = "SMAUG's smv-accel.cfg or gem5.cfg"
    suffix: str = ".cfg"

    def claims(self, lines: Sequence[str]) -> bool:
        """Whether the first line opens an accelerator's section, or is a directive with commas."""
        first = _first(lines)
        return _is_system(first) or (not first.startswith("[") and "," in first)

    def read(self, path: Path) -> tuple[Chip, list[str]]:
        """The chip, and notes on what was ignored and why."""
        text = path.read_text(encoding="utf-8", errors="replace")
        if _is_system(_first([line.strip() for line in text.splitlines()])):
            return read_smaug_chip(accelerator_file(path), path)
        return read_smaug_chip(path)


def _first(lines: Sequence[str]) -> str:
    return next((line for line in lines if line and line[0] not in "#;"), "")


def _is_system(first: str) -> bool:
    return first.startswith(("[DEFAULT]", "[acc"))


SMAUG = _SmaugFile()
