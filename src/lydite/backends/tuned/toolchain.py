"""The compiler of tuned kernels, and the processor that it compiles for."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from lydite.errors import BackendError, MissingExtra
from lydite.records import dataclass

PACKAGES = ("apache-tvm", "apache-tvm-ffi")
ABSENT_TARGETS = {
    "arm": "needs spaces with vectors of 4 floats and an ARM machine to time them on",
    "mali": "needs an OpenCL build of TVM and a Mali GPU",
    "fpga": "needs VTA or another synthesis flow and a board",
}
"""Targets that are refused, with what each would need."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The part of a processor that decides which tiles are fast.

    Attributes:
        mcpu: LLVM's name of the processor.
        lanes: Number of float32 values in a vector register.
        registers: Number of vector registers.
        l1_bytes, l2_bytes: Sizes of the caches of one core.
    """

    mcpu: str
    lanes: int
    registers: int
    l1_bytes: int = 32 << 10
    l2_bytes: int = 1 << 20

    @property
    def target(self) -> str:
        """Text that rows of trials keep: compiler back end and processor."""
        return f"llvm -mcpu={self.mcpu} -lanes={self.lanes}"


def installed() -> bool:
    """Whether TVM is there."""
    return find_spec("tvm") is not None


def compiler() -> Any:
    """The package `tvm`.

    Raises:
        MissingExtra: it is not installed.
    """
    if not installed():
        raise MissingExtra("apache-tvm", "tvm")
    return import_module("tvm")


@cache
def versions() -> dict[str, str]:
    """Version of each package of the compiler."""
    from importlib.metadata import version

    return {name: version(name) for name in PACKAGES}


@cache
def machine() -> Machine:
    """This processor, as LLVM and the operating system describe it.

    Raises:
        MissingExtra: TVM is not installed.
        BackendError: it is no x86 processor with AVX2 or AVX-512.
    """
    return processor(str(compiler().target.codegen.llvm_get_system_cpu()))


def processor(mcpu: str = "unknown") -> Machine:
    """This processor by LLVM's name of it, or without one where only spaces are counted.

    Raises:
        BackendError: it is no x86 processor with AVX2 or AVX-512.
    """
    from lydite.hardware import local_device

    here = local_device()
    lanes = vector_lanes(here.isa)
    sizes = {level.level: level.per_unit_bytes or level.size_bytes for level in here.caches}
    return Machine(
        mcpu,
        lanes,
        32 if lanes == 16 else 16,
        int(sizes.get(1, 32 << 10)),
        int(sizes.get(2, 1 << 20)),
    )


def vector_lanes(isa: tuple[str, ...]) -> int:
    """Number of floats in a vector: 16 with AVX-512, 8 with AVX2.

    ONNX Runtime's blocked layout has blocks of the same size (`MlasNchwcGetBlockSize`).

    Raises:
        BackendError: the processor has neither.
    """
    if "avx512f" in isa:
        return 16
    if "avx2" in isa:
        return 8
    raise BackendError(
        "schedule spaces need AVX2 or AVX-512",
        allowed=f"x86 processors; ARM {ABSENT_TARGETS['arm']}",
    )


def target(here: Machine) -> Any:
    """TVM's target for one core of a machine."""
    return compiler().target.Target({"kind": "llvm", "mcpu": here.mcpu, "num-cores": 1})
