"""What each node takes, by AISim's databases: measured, estimated from its type, or unknown.

TensorFlow's keys name operator, input shapes and attributes, without any that is a text. An entry
is a node's if operator and shapes are the same and no attribute that both state differs; of
several, those that state the most count. PyTorch's keys are the nodes' names; 0 there means that
nothing runs. A node without an entry gets the median of its type's, a bucket that is filled the
time of a copy on the device, and all others no time: never 0.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean, median
from typing import Any

from lydite.compat.aisim.database import TF_DTYPES, TORCH_DOMAIN, read_aisim
from lydite.compat.aisim.folder import PYTORCH, TENSORFLOW
from lydite.compat.aisim.nodes import ALLREDUCE, COMPUTE, GraphNode, kind_of
from lydite.errors import InputError
from lydite.graph import UNKNOWN as UNTYPED
from lydite.graph.formats import TENSORFLOW_DTYPES as DTYPES
from lydite.hardware import find_device
from lydite.opkey import TensorType
from lydite.records import dataclass
from lydite.store import Measurement

MEASURED, ESTIMATED, COPIED, UNKNOWN = "measured", "median of its type", "copy", "unknown"

_DTYPES = frozenset(DTYPES.values())
_CONSTANT = re.compile(r"\[(\d{1,3}),\[((?:\d{1,18}(?:,\d{1,18})*)?)\]\]", re.ASCII)
"""The type's number and the shape of a constant, as AISim's keys hold them: [1,[8,48]]."""
_FLOAT32_BYTES = 4.0  # AISim's keys of exchanges count elements of gradients


@dataclass(frozen=True, slots=True)
class Timed:
    """A node's time.

    Attributes:
        seconds: None if unknown.
        source: "measured", "median of its type", "copy" or "unknown".
        deviation_s: standard deviation, where the database has it.
        several: how many entries of the database, with different times, are as near.
    """

    seconds: float | None
    source: str
    deviation_s: float = 0.0
    several: int = 1


@dataclass(frozen=True)
class _Entry:
    attrs: Mapping[str, Any]
    seconds: float
    deviation_s: float


class Times:
    """A database of one platform.

    Raises:
        InputError: no such file, malformed, or of the other platform.
    """

    def __init__(self, path: Path, platform: str, device: str, model: str) -> None:
        rows = read_aisim(path, device=device or "unknown", model=model)
        for row in rows:
            found = PYTORCH if row.key.domain == TORCH_DOMAIN else TENSORFLOW
            if found != platform:
                raise InputError(
                    f"is a database of {found}, but the platform is {platform}", where=str(path)
                )
        self.platform, self.bandwidth = platform, _memory_bandwidth(device)
        self._named: dict[str, _Entry] = {}
        self._keyed: dict[tuple[str, Any], list[_Entry]] = defaultdict(list)
        self.allreduce_s: dict[int, dict[float, float]] = defaultdict(dict)
        for row in rows:
            self._take(row)

    def _take(self, row: Measurement) -> None:
        seconds = float(row.samples_s[0]) if len(row.samples_s) else 0.0
        attrs = row.key.attrs
        if self.platform == PYTORCH:
            deviation = math.sqrt(float(row.environment.get("variance_s2", 0.0)))
            self._named[str(attrs["node"])] = _Entry({}, seconds, deviation)
        elif kind_of(row.key.op_type) == ALLREDUCE:
            gpus, elements = attrs.get("endpoints"), attrs.get("numElements")
            if isinstance(gpus, int) and isinstance(elements, int) and elements > 0:
                self.allreduce_s[gpus][_FLOAT32_BYTES * elements] = seconds
        else:
            deviation = float(row.environment.get("std_err_s", 0.0))
            shapes = _shapes(operand.type or UNTYPED for operand in row.key.inputs)
            entry = _Entry(_plain(attrs), seconds, deviation)
            self._keyed[row.key.op_type, shapes].append(entry)

    def of(self, nodes: Sequence[GraphNode]) -> dict[str, Timed]:
        """The times of all compute nodes, by name."""
        compute = [node for node in nodes if node.kind == COMPUTE]
        measured = {node.name: self._measured(node) for node in compute}
        of_type = self._of_type(compute, measured)
        found: dict[str, Timed] = {}
        for node in compute:
            known, like = measured[node.name], of_type.get(node.op)
            if known is None:
                known = Timed(median(like), ESTIMATED) if like else self._copied(node)
            found[node.name] = known
        return found

    def _measured(self, node: GraphNode) -> Timed | None:
        if self.platform == PYTORCH:
            entry = self._named.get(node.name)
            return entry and Timed(entry.seconds, MEASURED, entry.deviation_s)
        attrs = _plain(node.attrs)
        near = self._keyed.get((node.op, _shapes(node.inputs)), [])
        fitting = [entry for entry in near if not _differ(entry.attrs, attrs)]
        if not fitting:
            return None
        common = [len(entry.attrs.keys() & attrs.keys()) for entry in fitting]
        best = [e for e, count in zip(fitting, common, strict=True) if count == max(common)]
        seconds, deviation = fmean(e.seconds for e in best), fmean(e.deviation_s for e in best)
        return Timed(seconds, MEASURED, deviation, len({e.seconds for e in best}))

    def _copied(self, node: GraphNode) -> Timed:
        """Filling a bucket reads and writes it once, at the device's memory bandwidth."""
        if node.bytes is None or self.bandwidth is None:
            return Timed(None, UNKNOWN)
        return Timed(2 * node.bytes / self.bandwidth, COPIED)

    def _of_type(
        self, nodes: Sequence[GraphNode], measured: Mapping[str, Timed | None]
    ) -> dict[str, list[float]]:
        """Times above 0 by operator type: TensorFlow's of the database, PyTorch's of the graph."""
        found: dict[str, list[float]] = defaultdict(list)
        for (op, _), entries in self._keyed.items():
            found[op] += [entry.seconds for entry in entries]
        if self.platform == PYTORCH:
            for node in nodes:
                timed = measured[node.name]
                if timed is not None and timed.seconds:
                    found[node.op].append(timed.seconds)
        return found


def _memory_bandwidth(device: str) -> float | None:
    """Of a device of the catalog; None for a label that stands for none."""
    if device.endswith((".yaml", ".yml")):
        return None
    with suppress(InputError):
        return find_device(device).memory_bandwidth
    return None


def _shapes(types: Iterable[TensorType]) -> tuple[tuple[int | str, ...] | None, ...]:
    """Sizes, every open one alike; None for a tensor whose rank is unknown."""
    return tuple(
        None if t.shape is None else tuple(d if isinstance(d, int) else "?" for d in t.shape)
        for t in types
    )


def _differ(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether an attribute that both state differs; a type's bare number says nothing."""
    return any(
        one[name] != other[name] and (one[name] in _DTYPES) == (other[name] in _DTYPES)
        for name in one.keys() & other.keys()
    )


def _plain(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes that AISim's keys can hold, in one form: numbers, element types, lists of them."""
    found = {name: _value(value) for name, value in attrs.items()}
    return {name: value for name, value in found.items() if value is not None}


def _value(value: object) -> Any:
    if isinstance(value, TensorType):
        return None if value == UNTYPED else (value.dtype, value.shape)
    if isinstance(value, str):
        constant = _CONSTANT.fullmatch(value)
        if constant:
            sizes = tuple(int(size) for size in constant[2].split(",") if size)
            return TF_DTYPES.get(int(constant[1]), constant[1]), sizes
        return value if value in _DTYPES else None
    if isinstance(value, bool | int | float):
        return f"{float(value):.6g}"  # the graph prints 0.9 as the float32 0.899999976
    if isinstance(value, list | tuple):
        items = tuple(_value(item) for item in value)
        return None if None in items else items
    return None
