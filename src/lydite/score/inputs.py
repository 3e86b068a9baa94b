"""Inputs that are alike in every precision, and what a network makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lydite.backends import Settings, find_backend
from lydite.errors import BackendError
from lydite.graph import Graph
from lydite.graph.dtypes import numpy_dtype
from lydite.graph.passes.fold import folded
from lydite.graph.upgrade import upgraded

_TAPS = 24
"""Number of activations that are read in one run."""


def feeds_of(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    """Inputs that are the same in any precision: normal floats, and integers of 1.

    Raises:
        BackendError: an input has a size that is not bound.
    """
    feeds: dict[str, np.ndarray] = {}
    for number, name in enumerate(graph.inputs):
        type_ = graph.type_of(name)
        if type_.shape is None or not type_.is_static:
            raise BackendError(f"the input '{name}' has the unresolved type {type_}")
        dims, dtype = [int(dim) for dim in type_.shape], numpy_dtype(type_.dtype)
        if type_.dtype.startswith(("float", "bfloat")):
            normal = np.random.default_rng(seed + number).standard_normal(dims, dtype=np.float32)
            feeds[name] = normal.astype(dtype)
        else:
            feeds[name] = np.ones(dims, dtype)
    return feeds


def largest_magnitudes(graph: Graph, threads: int, seed: int) -> Mapping[str, float]:
    """Largest magnitude of each activation on random inputs, to scale eight-bit numbers by.

    Args:
        graph: Network in float32 with weights.
        threads: Number of threads.
        seed: Random seed of the inputs.
    """
    plain = folded(upgraded(graph))
    names = [
        name
        for op in plain.ops
        for name in op.outputs
        if name and plain.type_of(name).dtype == "float32"
    ]
    feeds = feeds_of(plain, seed)
    largest = {
        name: float(np.abs(array.astype(np.float32)).max())
        for name, array in feeds.items()
        if array.size and array.dtype.kind == "f"
    }
    backend = find_backend("onnxruntime")
    for start in range(0, len(names), _TAPS):
        tapped = replace(plain, outputs=tuple(names[start : start + _TAPS]))
        prepared = backend.prepare(tapped, Settings(threads, "cpu", seed, optimise=False))
        try:
            prepared.bind(feeds)
            prepared.run()
            for name, array in prepared.outputs().items():
                largest[name] = float(np.abs(array).max(initial=0.0))
        finally:
            prepared.close()
    return largest
