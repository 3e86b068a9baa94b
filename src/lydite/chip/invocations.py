"""Invocations of accelerators, one or many as columns, and the jobs that a system plays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import overload

import numpy as np

from lydite.chip.memory import hit_bytes_per_s
from lydite.chip.pipeline import alone_s
from lydite.chip.soc_jobs import Jobs
from lydite.hardware.chip import Chip
from lydite.records import dataclass


@dataclass(frozen=True)
class Invocation:
    """One invocation of an accelerator.

    Attributes:
        load_bytes: Bytes loaded, cache hits included.
        compute_cycles: Cycles of the array or the vector unit.
        store_bytes: Bytes to memory.
        accelerator: Number of the accelerator that runs it.
        hit_bytes: Bytes of `load_bytes` that hit the last-level cache.
        flush_cycles: Cycles to flush the processor's caches before the invocation.
    """

    load_bytes: float
    compute_cycles: float
    store_bytes: float
    accelerator: int = 0
    hit_bytes: float = 0.0
    flush_cycles: float = 0.0


@dataclass(frozen=True, eq=False)
class InvocationColumns(Sequence[Invocation]):
    """Invocations as columns, each attribute float64[invocations] but `accelerator`, int64."""

    load_bytes: np.ndarray
    compute_cycles: np.ndarray
    store_bytes: np.ndarray
    accelerator: np.ndarray
    hit_bytes: np.ndarray
    flush_cycles: np.ndarray

    @classmethod
    def of(
        cls,
        load_bytes: np.ndarray,
        compute_cycles: np.ndarray,
        store_bytes: np.ndarray,
        accelerator: np.ndarray,
    ) -> InvocationColumns:
        """Invocations without cache hits and flushes."""
        zero = np.zeros(len(load_bytes))
        return cls(
            np.asarray(load_bytes, float),
            np.asarray(compute_cycles, float),
            np.asarray(store_bytes, float),
            np.asarray(accelerator, np.int64),
            zero,
            zero,
        )

    @classmethod
    def joined(cls, parts: Sequence[Sequence[Invocation]]) -> InvocationColumns:
        """The invocations of all parts, one behind the other."""
        rows = [columns_of(part) for part in parts if len(part)]
        if not rows:
            return columns_of(())
        return cls(*(np.concatenate([getattr(each, name) for each in rows]) for name in _COLUMNS))

    def __len__(self) -> int:
        return len(self.load_bytes)

    @overload
    def __getitem__(self, index: int) -> Invocation: ...
    @overload
    def __getitem__(self, index: slice) -> InvocationColumns: ...
    def __getitem__(self, index: int | slice) -> Invocation | InvocationColumns:
        picked = [getattr(self, name)[index] for name in _COLUMNS]
        if isinstance(index, slice):
            return InvocationColumns(*picked)
        return Invocation(*(each.item() for each in picked))


_COLUMNS = tuple(InvocationColumns.__dataclass_fields__)


def columns_of(invocations: Sequence[Invocation]) -> InvocationColumns:
    """Invocations as columns; those that are columns already are not copied."""
    if isinstance(invocations, InvocationColumns):
        return invocations
    return InvocationColumns(
        *(
            np.array(
                [getattr(row, name) for row in invocations],
                np.int64 if name == "accelerator" else float,
            )
            for name in _COLUMNS
        )
    )


def jobs_of(
    invocations: Sequence[Invocation], layers: Sequence[int] | np.ndarray, chip: Chip
) -> Jobs:
    """Invocations as columns for the system simulation.

    Args:
        invocations: Invocations in issue order.
        layers: Layer number of each invocation.
        chip: Chip whose rates and clock apply.
    """
    second, of = 1 / chip.clock_hz, columns_of(invocations)
    layer = np.asarray(layers, np.int64)
    load = np.maximum(of.load_bytes - of.hit_bytes, 0.0)
    return Jobs(
        layer,
        of.accelerator,
        layer,
        np.zeros(len(of), bool),
        of.flush_cycles * second + of.hit_bytes / hit_bytes_per_s(chip),
        load,
        alone_s(chip, load),
        of.compute_cycles * second,
        of.store_bytes,
        alone_s(chip, of.store_bytes),
        ahead=True,
    )


def flushed(invocations: Sequence[Invocation], cycles: float) -> InvocationColumns:
    """Invocations that share the cycles of their operator's flushes."""
    of = columns_of(invocations)
    if not cycles and not of.flush_cycles.any():
        return of
    return replace(of, flush_cycles=np.full(len(of), cycles / max(1, len(of))))
