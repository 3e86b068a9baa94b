"""A benchmark of the user's own: a model, its data, and how its answers are scored.

An adapter is code of the user's: it is imported by name, from an entry point of the group
"lydite.mlperf" or as "package.module:NAME", and never executed from a path. What it describes is
run by MLPerf's rules, and never called MLPerf.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from lydite.errors import InputError, LyditeError
from lydite.mlperf.dataset import DataSet, save
from lydite.records import dataclass
from lydite.registry import Registry


@dataclass(frozen=True)
class Adapter:
    """A benchmark of the user's own.

    Attributes:
        name: Name of the benchmark.
        model: A model file, or a name of the model set.
        samples: From the folder of the data to items with their labels; None where an item has
            none.
        preprocess: From an item to the model's inputs by name, without the batch axis.
        score: From the first output of each sample and its label to a share between 0 and 1; None
            scores by the labels' usual metric.
        target: Least share that passes; None for 99 % of the fp32 engine's.
        generate: From a sample's inputs to its output tokens, one after the other; None where the
            model itself is run. The run then counts tokens.
        text: From a sample's output tokens to their text, which is what is scored; None where the
            tokens are.
        metric: Name of the metric where score is None; "" for the labels' usual one.
    """

    name: str
    model: str
    samples: Callable[[Path], Iterable[tuple[Any, Any]]]
    preprocess: Callable[[Any], Mapping[str, np.ndarray]]
    score: Callable[[Sequence[np.ndarray], Sequence[Any]], float] | None = None
    target: float | None = None
    generate: Callable[[Mapping[str, np.ndarray]], Iterable[int]] | None = None
    text: Callable[[Sequence[int]], str] | None = None
    metric: str = ""


ADAPTERS: Registry[Adapter] = Registry("lydite.mlperf", "adapter", {})
"""Adapters of installed packages."""


def find_adapter(name: str) -> Adapter:
    """An adapter of an installed package, or of an importable module as "package.module:NAME".

    Raises:
        InputError: there is none, or it is something else.
    """
    if ":" not in name:
        return _checked(ADAPTERS.find(name), name)
    module_name, _, attribute = name.partition(":")
    if "/" in module_name or module_name.endswith(".py"):
        raise InputError(
            f"'{module_name}' is a path; an adapter is imported by its module's name",
            where="--adapter",
            allowed="package.module:NAME",
            hint="put its folder on PYTHONPATH",
        )
    try:
        module = sys.modules.get(module_name) or import_module(module_name)
    except ImportError as error:
        raise InputError(
            f"module '{module_name}' cannot be imported: {error}",
            where="--adapter",
            hint="put its folder on PYTHONPATH, or install it",
        ) from None
    if not hasattr(module, attribute):
        names = [key for key, value in vars(module).items() if isinstance(value, Adapter)]
        raise InputError(
            f"module '{module_name}' has no '{attribute}'",
            where="--adapter",
            allowed=", ".join(names) or "none",
        )
    return _checked(getattr(module, attribute), name)


def _checked(found: object, name: str) -> Adapter:
    if not isinstance(found, Adapter):
        raise InputError(
            f"'{name}' is a {type(found).__name__}",
            where="--adapter",
            allowed="an instance of lydite.mlperf.adapter.Adapter",
        )
    return found


def prepared(adapter: Adapter, source: Path, folder: Path) -> DataSet:
    """Preprocess an adapter's samples into a data set.

    Args:
        adapter: Adapter.
        source: Folder of the data, which the adapter reads.
        folder: Folder to write the data set into.

    Raises:
        InputError: no samples, samples of different shapes, or an adapter that raises.
    """
    columns: dict[str, list[np.ndarray]] = {}
    labels: list[Any] = []
    try:
        for item, label in adapter.samples(source):
            for name, array in adapter.preprocess(item).items():
                columns.setdefault(name, []).append(np.asarray(array))
            labels.append(label)
    except LyditeError:
        raise
    except Exception as error:  # the adapter's own
        raise InputError(
            f"raised {type(error).__name__} at sample {len(labels)}: {error}",
            where=f"adapter {adapter.name}",
        ) from error
    if not labels:
        raise InputError("gives no samples", where=f"adapter {adapter.name}", allowed=str(source))
    inputs = {name: _stacked(arrays, name, adapter) for name, arrays in columns.items()}
    told, origin = _labels(labels, adapter), {"from": str(source)}
    return save(folder, adapter.name, inputs, told, origin, adapter.metric)


def _stacked(arrays: Sequence[np.ndarray], name: str, adapter: Adapter) -> np.ndarray:
    first = arrays[0]
    for number, array in enumerate(arrays):
        if array.shape != first.shape or array.dtype != first.dtype:
            raise InputError(
                f"input {name} of sample {number} is {array.dtype}{list(array.shape)}",
                where=f"adapter {adapter.name}",
                allowed=f"{first.dtype}{list(first.shape)}",
            )
    return np.stack(arrays)


def _labels(labels: Sequence[Any], adapter: Adapter) -> np.ndarray | None:
    absent = sum(label is None for label in labels)
    if absent == len(labels):
        return None
    where = f"adapter {adapter.name}"
    if absent:
        raise InputError(f"{absent:,} of {len(labels):,} samples have no label", where=where)
    try:
        made = np.asarray(labels)
    except ValueError:
        made = np.asarray([None])
    if made.dtype.kind not in "biufU":
        raise InputError(
            "labels are no array", where=where, allowed="numbers, texts, or rows of one length"
        )
    return made
