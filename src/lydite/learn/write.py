"""Writing a learned model: text files of trees for each family, and a manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lydite.estimate.learned.model import MANIFEST, SIDES, VERSION, Spread
from lydite.files import write_atomic
from lydite.learn.fit import Fitted


def write_model(fitted: Sequence[Fitted], folder: Path, about: Mapping[str, Any]) -> Path:
    """Write a model: text files of trees for each family and its spreads, and manifest.json.

    Raises:
        LyditeError: the folder cannot be written.
    """
    families: dict[str, Any] = {}
    for each in fitted:
        family = each.family
        families[each.name] = {
            "sha256": _written(folder, each.name, family.text),
            "features": list(family.trees.names),
            "seen": _spread(folder, f"{each.name}.seen", family.seen),
            "unseen": _spread(folder, f"{each.name}.unseen", family.unseen),
            "reach": {"low": _short(family.reach.low), "high": _short(family.reach.high)},
            "devices": list(family.devices),
            "rows": family.rows,
            "digests": dict(each.digests),
        }
    manifest = {"version": VERSION, "families": families, **about}
    return write_atomic(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")


def _spread(folder: Path, name: str, spread: Spread) -> dict[str, Any]:
    texts = zip(SIDES, spread.texts, strict=True)
    return {
        "sha256": {side: _written(folder, f"{name}.{side}", text) for side, text in texts},
        "open": _short([spread.open])[0],
        "usual": _short(spread.usual),
    }


def _written(folder: Path, name: str, text: str) -> str:
    """Write trees; their SHA-256."""
    write_atomic(folder / f"{name}.txt", text)
    return hashlib.sha256(text.encode()).hexdigest()


def _short(values: Any) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
