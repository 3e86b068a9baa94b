"""Writing a learned model: a text file of trees for each family, and a manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lydite.estimate.learned.model import MANIFEST, VERSION
from lydite.files import write_atomic
from lydite.learn.fit import Fitted


def write_model(fitted: Sequence[Fitted], folder: Path, about: Mapping[str, Any]) -> Path:
    """Write a model: a text file of trees for each family, and manifest.json.

    Raises:
        LyditeError: the folder cannot be written.
    """
    families: dict[str, Any] = {}
    for each in fitted:
        family = each.family
        write_atomic(folder / f"{each.name}.txt", family.text)
        families[each.name] = {
            "sha256": hashlib.sha256(family.text.encode()).hexdigest(),
            "features": list(family.trees.names),
            "edges_s": list(family.edges_s),
            "bounds": [[_short(pair) for pair in pairs] for pairs in family.bounds],
            "reach": {"low": _short(family.reach.low), "high": _short(family.reach.high)},
            "devices": list(family.devices),
            "rows": family.rows,
            "digests": dict(each.digests),
        }
    manifest = {"version": VERSION, "families": families, **about}
    return write_atomic(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")


def _short(values: Any) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
