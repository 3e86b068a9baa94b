"""Energy, leakage and area of arithmetic units and SRAM, by technology node.

A node has one table, and tables are never mixed: they differ up to tenfold for the same operation
(a 32-bit multiplication is 12.7 pJ in Aladdin's at 40 nm and 1 GHz, 3.1 pJ in Horowitz' at 45 nm).
Callers name the node; a node without a table is refused, not guessed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from lydite.errors import InputError, unknown_name
from lydite.records import dataclass

ALADDIN_NM = 40
"""Node of `ALADDIN` and of `sram_bank`, the only one with leakage and area."""


@dataclass(frozen=True, slots=True)
class FunctionalUnit:
    """A 32-bit functional unit (a register: 1-bit) built for a clock.

    Attributes:
        internal_mw: Internal power of the busy unit, at the clock it is built for.
        switching_mw: Switching power of the busy unit, at the clock it is built for.
        leakage_mw: Leakage power.
        area_um2: Area of the unit.
        column_ns: Clock period that the unit is built for.
        stages: Number of pipeline stages; an operation uses each of them.
    """

    internal_mw: float
    switching_mw: float
    leakage_mw: float
    area_um2: float
    column_ns: float = 1.0
    stages: int = 1

    @property
    def energy_pj(self) -> float:
        """Energy of one operation."""
        return (self.internal_mw + self.switching_mw) * self.column_ns * self.stages


_NS = (1, 2, 3, 4, 5, 6, 10)


def _columns(*rows: tuple[float, float, float, float]) -> tuple[FunctionalUnit, ...]:
    return tuple(FunctionalUnit(*row, column_ns=ns) for row, ns in zip(rows, _NS, strict=True))


ALADDIN: Mapping[str, tuple[FunctionalUnit, ...]] = {
    "mul": _columns(
        (4.979808, 7.703601, 7.786052e-2, 6351.338),
        (1.748818, 3.028611, 4.831147e-2, 5137.736),
        (1.125718, 1.808644, 4.668189e-2, 4974.349),
        (0.8601815, 1.305749, 4.853217e-2, 4619.555),
        (0.6866739, 1.038409, 4.817683e-2, 4595.0),
        (0.5725752, 0.866289, 4.817683e-2, 4595.0),
        (0.3459049, 0.5337095, 4.817683e-2, 4595.0),
    ),
    "add": _columns(
        (5.52379e-2, 0.1551852, 2.249908e-3, 277.9792),
        (2.43688e-2, 1.850702e-2, 2.380803e-3, 179.443),
        (1.626669e-2, 1.235638e-2, 2.380803e-3, 179.443),
        (1.217552e-2, 9.249207e-3, 2.380803e-3, 179.443),
        (9.743773e-3, 7.400587e-3, 2.380803e-3, 179.443),
        (8.1153e-3, 6.162853e-3, 2.380803e-3, 179.443),
        (4.832257e-3, 3.70182e-3, 2.380803e-3, 179.443),
    ),
    "bit": _columns(
        (1.010606e-2, 7.950398e-3, 6.111633e-4, 50.36996),
        (5.047962e-3, 3.971243e-3, 6.111633e-4, 50.36996),
        (3.362023e-3, 2.644812e-3, 6.111633e-4, 50.36996),
        (2.518915e-3, 1.981596e-3, 6.111633e-4, 50.36996),
        (2.013105e-3, 1.583778e-3, 6.111633e-4, 50.36996),
        (1.680942e-3, 1.32242e-3, 6.111633e-4, 50.36996),
        (1.011508e-3, 7.957616e-4, 6.111633e-4, 50.36996),
    ),
    "shift": _columns(
        (8.162355e-2, 0.3356332, 1.697876e-3, 249.6461),
        (3.965413e-2, 0.1636524, 1.710091e-3, 249.6461),
        (2.810824e-2, 0.1126897, 1.781854e-3, 249.6461),
        (2.057662e-2, 8.443299e-2, 1.73119e-3, 249.6461),
        (1.630555e-2, 6.699894e-2, 1.694823e-3, 249.6461),
        (1.361771e-2, 5.602076e-2, 1.695794e-3, 249.6461),
        (8.120019e-3, 3.338565e-2, 1.6951e-3, 249.6461),
    ),
    "register bit": _columns(
        (7.936518e-3, 1.062977e-3, 7.395312e-5, 5.981433),
        (3.967495e-3, 5.38193e-4, 7.395312e-5, 5.981433),
        (2.644534e-3, 3.58439e-4, 7.395312e-5, 5.981433),
        (1.98229e-3, 2.685621e-4, 7.395312e-5, 5.981433),
        (1.586138e-3, 2.146359e-4, 7.395312e-5, 5.981433),
        (1.3226e-3, 1.792126e-4, 7.395312e-5, 5.981433),
        (5.53531e-4, 0.0, 7.358945e-5, 5.981433),
    ),
    "float32 add": (FunctionalUnit(2.537098, 3.022642, 5.311069e-2, 4361.094, stages=3),),
    "float32 mul": (FunctionalUnit(5.050183, 6.723213, 0.1198412, 8967.113, stages=3),),
    "float64 add": (FunctionalUnit(6.530689, 8.053947, 0.1332011, 9884.79, stages=3),),
    "float64 mul": (FunctionalUnit(15.37875, 22.54211, 0.276376, 22269.51, stages=3),),
}
"""Aladdin's units by the clock period that they are built for; floating point at 1 ns only.

Source: harvard-acc/ALADDIN, power_func.h, "normalized to a commercial 40g". Scope: a unit as
synthesised, without clock tree, control and wires between units. There are no 16-bit or 8-bit
units.
"""


def unit(name: str, period_ns: float) -> FunctionalUnit:
    """A unit of `ALADDIN` that meets a clock: the slowest built for that period or a shorter one.

    Below 1 ns that is the unit for 1 ns, the fastest in the table; its energy is then too low.

    Raises:
        InputError: no unit has this name, or the period is not positive.
    """
    if name not in ALADDIN:
        raise unknown_name("functional unit", name, tuple(ALADDIN))
    if not period_ns > 0:
        raise InputError(f"a clock period of {period_ns} ns", where=name, allowed="more than 0")
    built = ALADDIN[name]
    return next((u for u in reversed(built) if u.column_ns <= period_ns * (1 + 1e-9)), built[0])


@dataclass(frozen=True, slots=True)
class Bank:
    """An SRAM bank at 40 nm.

    Attributes:
        read_pj: Energy of reading one word.
        write_pj: Energy of writing one word.
        leakage_mw: Leakage power.
        area_um2: Area of the bank.
    """

    read_pj: float
    write_pj: float
    leakage_mw: float
    area_um2: float


CACTI_BANK = Bank(4.14883, 3.58904, 0.337696, 20355.1)
"""8 KiB with 32-bit words and one port: CACTI as gem5-Aladdin runs it, from its printed results."""
CACTI_BYTES = 8192


def sram_bank(size_bytes: float, word_bytes: float = 4, ports: int = 1) -> Bank:
    """A bank of another size, scaled from `CACTI_BANK`.

    Energy scales with the square root of the size (as Horowitz' 8 KB, 32 KB and 1 MB at 45 nm do)
    and with the word; leakage and area with the size and the ports. Assumed, not CACTI's.

    Raises:
        InputError: a size is not positive.
    """
    if not (size_bytes > 0 and word_bytes > 0 and ports > 0):
        raise InputError(
            f"a bank of {size_bytes} bytes, words of {word_bytes}, {ports} ports",
            where="SRAM",
            allowed="sizes above 0",
        )
    size = size_bytes / CACTI_BYTES
    access, whole = math.sqrt(size) * word_bytes / 4, size * ports
    one = CACTI_BANK
    return Bank(
        one.read_pj * access, one.write_pj * access, one.leakage_mw * whole, one.area_um2 * whole
    )


@dataclass(frozen=True, slots=True)
class TechnologyNode:
    """Energies of one technology node.

    Attributes:
        operations_pj: Energy of one operation by name ("int8 mul").
        sram_pj: Pairs of memory size in bytes and energy of a 64-bit access, by size.
        source: Where the energies come from.
        scope: What the energies include.
    """

    operations_pj: Mapping[str, float]
    sram_pj: tuple[tuple[float, float], ...]
    source: str
    scope: str


def _aladdin_pj() -> dict[str, float]:
    names = {"int32 mul": "mul", "int32 add": "add"}
    names |= {name: name for name in ("float32 mul", "float32 add", "float64 mul", "float64 add")}
    return {name: ALADDIN[own][0].energy_pj for name, own in names.items()}


NODES: Mapping[float, TechnologyNode] = {
    40: TechnologyNode(
        _aladdin_pj(),
        tuple((size, sram_bank(size, 8).read_pj) for size in (8192.0, 2.0**20)),
        "ALADDIN's power_func.h at 1 ns; CACTI's bank of 8 KiB and the root of the size",
        "a unit as synthesised; a whole bank",
    ),
    45: TechnologyNode(
        {
            "int8 mul": 0.2,
            "int8 add": 0.03,
            "int32 mul": 3.1,
            "int32 add": 0.1,
            "float16 mul": 1.1,
            "float16 add": 0.4,
            "float32 mul": 3.7,
            "float32 add": 0.9,
        },
        ((8192.0, 10.0), (32768.0, 20.0), (2.0**20, 100.0)),
        "Horowitz, ISSCC 2014, as papers quote it (0.9 V); float16 mul from memory",
        "bare operation: no registers, clock or control",
    ),
    7: TechnologyNode(
        {
            "int8 mul": 0.07,
            "int8 add": 0.007,
            "int32 mul": 1.48,
            "int32 add": 0.03,
            "bfloat16 mul": 0.21,
            "bfloat16 add": 0.11,
            "float16 mul": 0.34,
            "float16 add": 0.16,
            "float32 mul": 1.31,
            "float32 add": 0.38,
        },
        ((8192.0, 7.5), (32768.0, 8.5), (2.0**20, 14.0)),
        "Jouppi et al., ISCA 2021, table 2, from memory: unconfirmed",
        "bare operation: no registers, clock or control",
    ),
}
"""Technology nodes by nm."""


def node(nm: float) -> TechnologyNode:
    """The row of `NODES` for a node.

    Raises:
        InputError: there is no table for the node.
    """
    if nm not in NODES:
        known = ", ".join(f"{one:g}" for one in sorted(NODES))
        raise InputError(f"no energies at {nm:g} nm", where="node_nm", allowed=f"{known} nm")
    return NODES[nm]


def operation_pj(nm: float, name: str) -> float:
    """Energy of one operation at a node.

    Raises:
        InputError: there is no table for the node, or the table lacks the operation (the error
            lists its operations).
    """
    found = node(nm).operations_pj
    if name not in found:
        raise unknown_name("operation", name, tuple(found), of=f"at {nm:g} nm")
    return found[name]


def sram_access_pj(nm: float, size_bytes: float, bits: float = 64) -> float:
    """Energy in pJ of accessing `bits` of a memory, interpolated by the logarithm of its size.

    Beyond the sizes in the table, the nearest two are extrapolated.

    Raises:
        InputError: there is no table for the node, or a size is not positive.
    """
    table = node(nm).sram_pj
    if not size_bytes > 0:
        raise InputError(f"a memory of {size_bytes} bytes", where="SRAM", allowed="more than 0")
    sizes, energies = (np.log([row[i] for row in table]) for i in (0, 1))
    at = int(np.clip(np.searchsorted(sizes, math.log(size_bytes)), 1, len(sizes) - 1))
    slope = (energies[at] - energies[at - 1]) / (sizes[at] - sizes[at - 1])
    whole = math.exp(energies[at - 1] + slope * (math.log(size_bytes) - sizes[at - 1]))
    return whole * bits / 64
