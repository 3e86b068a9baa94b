"""`Device`: the peak figures of a device, each with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from lydite.errors import InputError
from lydite.records import dataclass
from lydite.results import OneLine

if TYPE_CHECKING:
    from lydite.hardware.chip.design import Chip


@dataclass(frozen=True, slots=True)
class Cache:
    """One level of cache: total bytes on the device, and bytes private to one core or unit."""

    level: int
    size_bytes: float
    per_unit_bytes: float | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Device(OneLine):
    """Peak figures of a device, dense (no sparsity) and in decimal units.

    Attributes:
        name: Name by which users select it; also the key of its rows in the database.
        title: Vendor's name of the device.
        kind: "cpu", "gpu" or "npu".
        vendor: Maker.
        peak_flops: FLOP/s (OP/s for integers) by dtype, with all units busy; "tf32" and
            "float32_matrix" name the matrix units' modes for float32 data.
        memory_bytes: Memory capacity.
        memory_bandwidth: Memory bandwidth in bytes/s.
        units: Number of cores, SMs or compute units.
        clock_hz: Clock at which the peaks hold.
        power_w: Power limit of the board or socket in watts.
        process_m: Feature size of the chip's process in metres, as the foundry names it (5e-9).
        caches: Caches, from the nearest to the farthest.
        isa: Instruction-set extensions that affect speed (CPUs).
        sources: Source of each figure by field name; "" is the source of all others.
        chip: Design of the chip, if the device is simulated; not in `to_json`.
    """

    name: str
    title: str
    kind: str
    vendor: str
    peak_flops: Mapping[str, float]
    memory_bytes: float
    memory_bandwidth: float
    units: int = 1
    clock_hz: float | None = None
    power_w: float | None = None
    process_m: float | None = None
    caches: tuple[Cache, ...] = ()
    isa: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    chip: Chip | None = None

    def peak(self, dtype: str, threads: int | None = None) -> float:
        """Peak FLOP/s for a dtype with `threads` cores busy (all of a GPU's units).

        A dtype that the device does not list runs at the rate of float32, as in software emulation.

        Raises:
            InputError: the device lists neither the dtype nor float32.
        """
        rate = self.peak_flops.get(dtype) or self.peak_flops.get("float32")
        if rate is None:
            raise InputError(
                f"device '{self.name}' has no peak for {dtype}",
                allowed=", ".join(sorted(self.peak_flops)),
            )
        if self.kind == "cpu" and threads is not None:
            return rate * min(1.0, threads / self.units)
        return rate

    @property
    def lacking(self) -> tuple[str, ...]:
        """Figures that a GPU's data sheet has and that estimates need, but this device lacks."""
        figures = {
            "clock": self.clock_hz,
            "power": self.power_w,
            "process": self.process_m,
            "caches": self.caches,
        }
        return tuple(name for name, value in figures.items() if not value)

    def source(self, field_name: str) -> str:
        """Source of a figure, by field name."""
        return self.sources.get(field_name, self.sources.get("", "unknown"))

    @property
    def private_cache_bytes(self) -> float:
        """Bytes of the largest cache that is private to one core; 0 where none is known."""
        return max((c.per_unit_bytes or 0 for c in self.caches), default=0)

    @staticmethod
    def from_json(spec: Mapping[str, Any]) -> Device:
        """Read the output of `to_json`.

        Raises:
            InputError: a field is missing or has the wrong type.
        """
        try:
            return Device(
                name=str(spec["name"]),
                title=str(spec["title"]),
                kind=str(spec["kind"]),
                vendor=str(spec["vendor"]),
                peak_flops={k: float(v) for k, v in spec["peak_flop_per_s"].items()},
                memory_bytes=float(spec["memory_bytes"]),
                memory_bandwidth=float(spec["memory_bandwidth_byte_per_s"]),
                units=int(spec["units"]),
                clock_hz=spec["clock_hz"],
                power_w=spec["power_w"],
                process_m=spec.get("process_m"),
                caches=tuple(Cache(**cache) for cache in spec["caches"]),
                isa=tuple(spec["isa"]),
                sources=dict(spec["sources"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"not a device specification: {error}", where="database") from error

    def to_json(self) -> dict[str, Any]:
        """The specification as JSON values, with units in the keys."""
        return {
            "name": self.name,
            "title": self.title,
            "kind": self.kind,
            "vendor": self.vendor,
            "peak_flop_per_s": dict(self.peak_flops),
            "memory_bytes": self.memory_bytes,
            "memory_bandwidth_byte_per_s": self.memory_bandwidth,
            "units": self.units,
            "clock_hz": self.clock_hz,
            "power_w": self.power_w,
            **({"process_m": self.process_m} if self.process_m else {}),
            "caches": [
                {"level": c.level, "size_bytes": c.size_bytes, "per_unit_bytes": c.per_unit_bytes}
                for c in self.caches
            ],
            "isa": list(self.isa),
            "sources": dict(self.sources),
        }

    def headline(self) -> str:
        """Name, title and kind."""
        return f"{self.name}: {self.title}, {self.kind}"
