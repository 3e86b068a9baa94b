"""A compiled configuration, called on memory that others own."""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lydite.backends.tuned.space import SPACES, Config
from lydite.backends.tuned.task import Task
from lydite.backends.tuned.toolchain import Machine, compiler, target
from lydite.errors import BackendError

_LARGE_BYTES, _HUGE_PAGE = 1 << 20, 2 << 20


class Kernel:
    """One operator compiled for a processor.

    Args:
        task: Operator.
        config: Configuration.
        here: Processor.

    Raises:
        BackendError: the compiler refuses it.
    """

    def __init__(self, task: Task, config: Config, here: Machine) -> None:
        self.task, self.config, self.here = task, config, here
        self._space = SPACES.find(config.space)
        tvm = compiler()
        try:
            module = self._space.write(task, here, config.factors)
            self._function = tvm.compile(module, target(here))["main"]
        except Exception as error:  # TVM raises its own types, whose only base is Exception
            reason = str(error).strip().splitlines()
            raise BackendError(
                f"TVM refuses it: {reason[-1][:200] if reason else type(error).__name__}",
                where=str(config),
            ) from error

    def pack(self, constants: Mapping[int, np.ndarray]) -> list[Any]:
        """The operator's constants, by position, in the kernel's own layout."""
        arrays = self._space.pack(self.task, self.here, self.config.factors, constants)
        return [constant(array) for array in arrays]

    def call(self, inputs: Sequence[Any], packed: Sequence[Any], output: Any) -> None:
        """Compute; all are what `tensor` returns."""
        self._function(*inputs, *packed, output)

    @property
    def bound(self) -> float:
        """Largest accepted error in standard deviations of the output."""
        return self._space.error(self.config.factors)


def tensor(array: np.ndarray) -> Any:
    """An array as TVM's flat tensor over the same memory, which has to be aligned to 64 bytes."""
    flat = np.ascontiguousarray(array, np.float32).ravel()
    if flat.ctypes.data % 64 or not flat.flags.writeable:
        flat, source = aligned(flat.size), flat
        flat[:] = source
    return compiler().runtime.from_dlpack(flat)


def constant(array: np.ndarray) -> Any:
    """A copy of an array as a tensor, in huge pages where it is large.

    A net reads each of its weights once a run: with pages of 4 KiB a Winograd kernel of 17 MB waits
    for address translation, and takes 2.4 ms instead of 1.7.
    """
    flat = np.ascontiguousarray(array, np.float32).ravel()
    if flat.nbytes < _LARGE_BYTES or not hasattr(mmap, "MADV_HUGEPAGE"):
        return tensor(flat)
    region = mmap.mmap(-1, flat.nbytes + _HUGE_PAGE)
    region.madvise(mmap.MADV_HUGEPAGE)
    raw = np.frombuffer(region, np.uint8)
    start = -raw.ctypes.data % _HUGE_PAGE
    placed = raw[start : start + flat.nbytes].view(np.float32)
    placed[:] = flat
    return compiler().runtime.from_dlpack(placed)


def aligned(size: int) -> np.ndarray:
    """An array of float32 that begins at a multiple of 64 bytes."""
    raw = np.empty(size * 4 + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size * 4].view(np.float32)


def moving(task: Task) -> list[int]:
    """Positions of the inputs that are no constants, in the order of the kernel's arguments."""
    return [
        index
        for index, operand in enumerate(task.key.inputs)
        if index not in task.constants and (operand.type is not None or operand.same_as is not None)
    ]
