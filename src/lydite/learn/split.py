"""Which devices to learn from and which to judge, and that no judged row was learned from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lydite.errors import InputError, unknown_name
from lydite.estimate.learned.model import LearnedModel
from lydite.learn.rows import Rows
from lydite.records import dataclass


@dataclass(frozen=True)
class Split:
    """Devices to learn from, and devices to judge.

    Attributes:
        train: Names in the catalog.
        test: Names in the catalog; none of `train`.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]


def read_split(path: Path, known: Sequence[str]) -> Split:
    """A split from JSON: {"train": [DEVICE, ...], "test": [DEVICE, ...]}.

    Args:
        path: The file.
        known: Devices of the rows.

    Raises:
        InputError: it is no such file, names an unknown device, or one on both sides.
    """
    where = str(path)
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        sides = [tuple(str(name) for name in found[side]) for side in ("train", "test")]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"is no split: {error}", where=where, allowed='{"train": [DEVICE], "test": [DEVICE]}'
        ) from None
    for name in (*sides[0], *sides[1]):
        if name not in known:
            raise unknown_name("device of the rows", name, known)
    both = sorted({*sides[0]} & {*sides[1]})
    if both:
        raise InputError(f"learns from a device that it judges: {', '.join(both)}", where=where)
    if not sides[0] or not sides[1]:
        raise InputError("names no device to learn from or to judge", where=where)
    return Split(*sides)


def refuse_known(model: LearnedModel, rows: Sequence[Rows], test: Sequence[str]) -> None:
    """Refuse to judge a model on rows that it was trained on.

    Raises:
        InputError: the digest of a device's rows is among those of the model.
    """
    families: Mapping[str, Any] = model.about.get("digests", {})
    for part in rows:
        known = families.get(part.family, {})
        if part.device in test and part.digest in known.values():
            raise InputError(
                f"was trained on the rows of {part.device} ({part.family}, {part.digest})",
                where="the model",
                hint="judge it on devices that it has not seen",
            )
