"""Fitting on from a model: trees of what it leaves open on one's own rows, kept where they help."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lydite.errors import InputError
from lydite.estimate.learned.model import Family, LearnedModel
from lydite.estimate.learned.trees import read_trees
from lydite.learn.boost import boosted
from lydite.learn.fit import Fitted, predicted_s
from lydite.learn.rows import Rows
from lydite.records import dataclass

_HELD_OUT = 5
"""One row of so many is left out of the fit, and judges it."""
_LEAST, _ENOUGH = 10, 100
"""Rows from which a factor is fitted, and from which trees are."""
_SIZE = (30, 4)


@dataclass(frozen=True)
class Refitted:
    """What one's own rows made of a family.

    Attributes:
        fitted: The family, changed or as it was.
        rows: Number of own rows.
        before: Mean error of the model on rows that were left out.
        after: The same of the refitted family; None where there are too few rows.
    """

    fitted: Fitted
    rows: int
    before: float
    after: float | None

    @property
    def kept(self) -> bool:
        """Whether the refitted family replaced the one it started from."""
        return self.after is not None and self.after <= self.before

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "own_rows": self.rows,
            "before": self.before,
            "after": self.after,
            "kept": self.kept,
        }


def refit(model: LearnedModel, rows: Sequence[Rows]) -> dict[str, Refitted]:
    """Fit each family of a model on, with own rows; the result is never worse on those left out.

    Args:
        model: Model to start from.
        rows: Own rows.

    Returns:
        What became of each family that has rows, by name.

    Raises:
        InputError: no row is of a family of the model.
        MissingExtra: LightGBM is not installed.
    """
    made: dict[str, Refitted] = {}
    for name, family in model.families.items():
        own = [part for part in rows if part.family == name]
        if own:
            made[name] = _refit(name, family, own, model.about.get("digests", {}).get(name, {}))
    if not made:
        raise InputError(
            "no row is of a family of the model", allowed=", ".join(sorted(model.families))
        )
    return made


def _refit(name: str, family: Family, own: Sequence[Rows], digests: Mapping[str, str]) -> Refitted:
    draw = np.random.default_rng(0)
    number = sum(len(part.seconds) for part in own)
    held = [draw.permutation(len(part.seconds)) % _HELD_OUT == 0 for part in own]
    train = [part.taken(~chosen) for part, chosen in zip(own, held, strict=True)]
    test = [part.taken(chosen) for part, chosen in zip(own, held, strict=True)]
    before = _error(family, test)
    unchanged = Fitted(name, family, digests)
    if sum(len(part.seconds) for part in train) < _LEAST or not sum(map(np.sum, held)):
        return Refitted(unchanged, number, before, None)
    changed = _continued(name, family, train)
    after = _error(changed, test)
    if not after <= before:
        return Refitted(unchanged, number, before, after)
    known = {**digests, **{part.device: part.digest for part in own}}
    devices = tuple(dict.fromkeys([*family.devices, *(part.device for part in own)]))
    whole = replace(changed, devices=devices, rows=family.rows + number)
    return Refitted(Fitted(name, whole, known), number, before, after)


def _error(family: Family, rows: Sequence[Rows]) -> float:
    """Mean error over rows."""
    errors = [np.abs(predicted_s(family.trees, part) / part.seconds - 1) for part in rows]
    return float(np.concatenate(errors).mean())


def _continued(name: str, family: Family, rows: Sequence[Rows]) -> Family:
    """The family with a factor more, and trees of what that leaves where rows are enough."""
    features = np.concatenate([part.problem.features for part in rows])
    left = np.concatenate([np.log(p.seconds / predicted_s(family.trees, p)) for p in rows])
    factor = float(np.median(left))
    blocks = [_constant(factor)]
    if len(left) >= _ENOUGH:
        weight = np.ones(len(left))
        blocks += _blocks(boosted(name, features, left - factor, weight, _SIZE))
    text = _joined(family.text, blocks)
    return replace(family, text=text, trees=read_trees(text, name))


def _constant(value: float) -> str:
    return f"num_leaves=1\nleaf_value={value!r}\n"


def _blocks(text: str) -> list[str]:
    """Trees of a model's text, without their numbers."""
    inner = text.partition("\n\nend of trees")[0]
    return [part.partition("\n")[2] for part in re.split(r"\n\n+(?=Tree=)", inner)[1:]]


def _joined(text: str, blocks: Sequence[str]) -> str:
    """A model's text with trees more; their sizes in bytes, which its head lists, are left out."""
    inner = re.sub(r"^tree_sizes=.*\n", "", text.partition("\n\nend of trees")[0], flags=re.M)
    first = len(_blocks(text))
    added = (f"Tree={first + place}\n{block.strip()}" for place, block in enumerate(blocks))
    return "\n\n\n".join([inner.rstrip(), *added]) + "\n\n\nend of trees\n"
