"""The importer of AISim's operator times, for the registry of importers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lydite.compat.aisim.database import read_aisim
from lydite.records import dataclass
from lydite.store import Database, told_device


@dataclass(frozen=True)
class _Aisim:
    """AISim's databases."""

    suffixes: tuple[str, ...] = (".json",)

    def add(
        self, database: Database, path: Path, *, device: str | None, ranks: int | None
    ) -> Mapping[str, int]:
        """Measurements on a device, which the file does not name."""
        del ranks
        rows = read_aisim(path, device=told_device("AISim's files", path, device))
        return {"measurements": database.add(rows)}


AISIM = _Aisim()
