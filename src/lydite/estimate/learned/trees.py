"""Boosted trees as text: the model files of LightGBM, read strictly and evaluated without it.

Only what our own files hold is read: numerical splits, no missing values, no categories, no linear
leaves (LightGBM, "Features", text format version 4).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lydite.errors import InputError
from lydite.records import dataclass

_MOST_NODES = 1 << 20
_FEW = 500
"""Rows up to which a compiled kernel takes longer to load than they do without it."""
_FIELDS = ("split_feature", "threshold", "left_child", "right_child", "leaf_value")


@dataclass(frozen=True, eq=False)
class Trees:
    """A sum of trees, all their nodes in one array.

    Attributes:
        names: Names of the features, in order.
        feature: Feature that a node splits by; -1 at a leaf.
        threshold: Largest value that goes left; at a leaf, its value.
        left, right: Places of a node's children.
        roots: Places of the trees' roots.
    """

    names: tuple[str, ...]
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    roots: np.ndarray

    def values(self, features: np.ndarray) -> np.ndarray:
        """The sum of the trees for each row of features [rows, features]."""
        if features.shape[1] != len(self.names):
            raise InputError(f"{features.shape[1]} features", allowed=str(len(self.names)))
        table = np.ascontiguousarray(features, np.float64)
        if len(table) <= _FEW:
            return _walked(self, table)
        from lydite.estimate.learned.kernels.trees import evaluate

        total = np.zeros(len(table))
        evaluate(table, self.feature, self.threshold, self.left, self.right, self.roots, total)
        return total


def _walked(trees: Trees, table: np.ndarray) -> np.ndarray:
    """As the kernel: all trees are walked at once, and their values added in order."""
    node = np.tile(trees.roots, (len(table), 1))
    row = np.arange(len(table))[:, None]
    while (inner := trees.feature[node] >= 0).any():
        goes_left = table[row, trees.feature[node]] <= trees.threshold[node]
        child = np.where(goes_left, trees.left[node], trees.right[node])
        node = np.where(inner, child, node)
    return np.add.accumulate(trees.threshold[node], axis=1)[:, -1]


def read_trees(text: str, where: str) -> Trees:
    """Read a model file.

    Raises:
        InputError: it is no such file, or it holds what our own never do.
    """
    blocks = text.split("\n\n")
    header = _fields(blocks[0])
    if not text.startswith("tree\n") or header.get("version") != "v4":
        raise InputError("is no LightGBM model of version 4", where=where)
    names = tuple(header.get("feature_names", "").split())
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("f", "t", "l", "r")}
    roots: list[int] = []
    size = 0
    for block in blocks[1:]:
        if not block.lstrip().startswith("Tree="):
            continue
        tree = _tree(_fields(block), len(names), where)
        roots.append(size)
        for name, column, shift in zip("ftlr", tree, (0, 0, size, size), strict=True):
            columns[name].append(column + shift if shift else column)
        size += len(tree[0])
        if size > _MOST_NODES:
            raise InputError(f"has more than {_MOST_NODES:,} nodes", where=where)
    if not roots:
        raise InputError("holds no tree", where=where)
    feature, threshold, left, right = (np.concatenate(columns[name]) for name in "ftlr")
    return Trees(names, feature, threshold, left, right, np.array(roots))


def _fields(block: str) -> Mapping[str, str]:
    lines = (line.partition("=") for line in block.splitlines())
    return {name: value for name, equals, value in lines if equals}


def _tree(
    fields: Mapping[str, str], features: int, where: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Nodes of a tree: inner ones first, then its leaves."""
    try:
        values = np.array(fields["leaf_value"].split(), float)
        if len(values) == 1:
            return np.array([-1]), values, np.zeros(1, int), np.zeros(1, int)
        feature = np.array(fields["split_feature"].split(), int)
        threshold = np.array(fields["threshold"].split(), float)
        children = [np.array(fields[name].split(), int) for name in ("left_child", "right_child")]
        kinds = {int(kind) for kind in fields["decision_type"].split()}
    except (KeyError, ValueError) as error:
        raise InputError(f"holds a tree that cannot be read: {error}", where=where) from None
    inner = len(feature)
    # A child below zero is a leaf: -1 is the first. Decision type 2 is a numerical split.
    places = [np.where(child >= 0, child, inner - 1 - child) for child in children]
    odd = (
        len(values) != inner + 1
        or len(threshold) != inner
        or any(len(place) != inner for place in places)
        or any(place.min() < 0 or place.max() > 2 * inner for place in places)
        or feature.min() < 0
        or feature.max() >= features
        or not kinds <= {2}
        or not np.isfinite(values).all()
    )
    # Children come after their parents, so that no walk goes round.
    odd = odd or any((place <= np.arange(inner)).any() for place in places)
    if odd:
        raise InputError("holds a tree that contradicts itself", where=where)
    nothing = np.zeros(len(values), int)
    return (
        np.concatenate([feature, np.full(len(values), -1)]),
        np.concatenate([threshold, values]),
        np.concatenate([places[0], nothing]),
        np.concatenate([places[1], nothing]),
    )
