"""`Learned`: estimates of products, elementwise operators, normalisations and softmax on GPUs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lydite.errors import InputError
from lydite.estimate.base import Estimate
from lydite.estimate.learned.model import Family, LearnedModel, usual_model
from lydite.estimate.learned.physics import Problem, products, sheet_of, streams
from lydite.graph import OpKey
from lydite.graph.operators import operator
from lydite.graph.operators.products import MatrixProduct
from lydite.graph.work import products_of_key, work_of_key
from lydite.hardware import Device

_SIXTEEN = ("float16", "bfloat16")
_FLOATS = ("float32", *_SIXTEEN)
_NARROW = 8
"""Products of fewer columns run as streams of their operands, which was not learned."""
_STREAMS = {"elementwise": 0, "norm": 1}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An operator of a family: its place among the keys, and the numbers that describe it."""

    place: int
    sizes: tuple[float, ...]


class Learned:
    """Estimates from a learned model; None for operators and devices that it knows nothing of.

    Args:
        model: The model; None for the usual one.
    """

    name = "learned"

    def __init__(self, model: LearnedModel | None = None) -> None:
        self._model = model or usual_model()

    def estimate(self, keys: Sequence[OpKey], device: Device) -> list[Estimate | None]:
        """One estimate per key; devices other than GPUs with a whole data sheet get none."""
        answers: list[Estimate | None] = [None] * len(keys)
        if device.kind != "gpu" or device.vendor != "NVIDIA":
            return answers
        groups: dict[tuple[str, str], list[_Wanted]] = {}
        for place, key in enumerate(keys):
            for name, dtype, sizes in _described(key):
                groups.setdefault((name, dtype), []).append(_Wanted(place, sizes))
        sums: dict[int, list[float]] = {}
        for (name, dtype), wanted in groups.items():
            family = self._model.families.get(name)
            if family is None:
                continue
            try:
                problem = _problem(name, dtype, device, np.array([w.sizes for w in wanted]))
            except InputError:  # the data sheet lacks a figure
                continue
            for each, figures in zip(wanted, _figures(family, problem), strict=True):
                known = sums.setdefault(each.place, [0.0, 0.0, 0.0])
                for at, value in enumerate(figures):
                    known[at] += value
        detail = self._detail(device)
        for place, (seconds, low, high) in sums.items():
            answers[place] = Estimate(
                seconds, low, high, "learned", detail, shared=("learned", None)
            )
        return answers

    def _detail(self, device: Device) -> str:
        seen = any(device.name in family.devices for family in self._model.families.values())
        where = "it was among them" if seen else "none of them this one"
        devices = {name for family in self._model.families.values() for name in family.devices}
        return f"learned from {len(devices)} GPUs, {where}"


def _described(key: OpKey) -> list[tuple[str, str, tuple[float, ...]]]:
    """Family, data type and sizes of what an operator computes; nothing where none fits."""
    row = operator(key.qualified_type)
    if row is None or not key.outputs or key.outputs[0] is None or not key.outputs[0].is_static:
        return []
    dtype = key.outputs[0].dtype
    if dtype not in _FLOATS:
        return []
    if row.family == "matmul":
        return _product(key, dtype)
    softmax = key.op_type in ("Softmax", "LogSoftmax")
    if row.family in _STREAMS or softmax:
        return _stream(key, dtype, 2 if softmax else _STREAMS[row.family])
    return []


def _product(key: OpKey, dtype: str) -> list[tuple[str, str, tuple[float, ...]]]:
    floats = {t.dtype for t in key.operand_types() if t is not None and (t.nbytes or 0) > 64}
    found = products_of_key(key)
    if found is None or not found.products or not floats <= {dtype}:
        return []
    family = "product16" if dtype in _SIXTEEN else "product32"
    if any(not _is_wide(each) for each in found.products):
        return []
    return [
        (family, dtype, (float(p.count), float(p.m), float(p.n), float(p.k)))
        for p in found.products
    ]


def _is_wide(product: MatrixProduct) -> bool:
    return product.count == 1 or min(product.m, product.n) >= _NARROW


def _stream(key: OpKey, dtype: str, kind: int) -> list[tuple[str, str, tuple[float, ...]]]:
    work = work_of_key(key)
    shape = key.outputs[0].shape
    if work is None or not work.bytes_moved or not shape:
        return []
    largest = max(t.nbytes or 0 for t in key.outputs)
    large = [t for t in key.operand_types() if t is not None and 2 * (t.nbytes or 0) >= largest]
    dims = [int(size) for size in shape]
    width = max(1, dims[-1])
    rows = max(1, math.prod(dims) // width)
    sizes = float(kind), float(work.bytes_moved), float(width), float(rows), float(len(large))
    return [("stream", dtype, sizes)]


def _problem(name: str, dtype: str, device: Device, sizes: np.ndarray) -> Problem:
    if name == "stream":
        kind, moved, width, rows, operands = sizes.T
        return streams(kind, moved, width, rows, operands, sheet_of(device, "float32"))
    sixteen = name == "product16"
    itemsize = 2.0 if sixteen else 4.0
    count, m, n, k = sizes.T
    sheet = sheet_of(device, dtype)
    return products(count, m, n, k, itemsize, sheet, tensor_cores=sixteen)


def _figures(family: Family, problem: Problem) -> np.ndarray:
    """Seconds and both bounds of each operator [operators, 3]; none beats the physical bound."""
    guess = problem.base_s * np.exp(family.trees.values(problem.features))
    seconds = np.maximum(guess, problem.bound_s)
    size = np.digitize(problem.base_s, family.edges_s)
    low, high = np.array(family.bounds)[size].T
    least = np.maximum(seconds * low, np.minimum(problem.bound_s, seconds))
    return np.stack([seconds, least, seconds * high], axis=1)
