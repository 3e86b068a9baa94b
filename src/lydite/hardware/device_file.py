"""Device files: YAML with units, validated by pydantic and converted to `Device`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from lydite.errors import InputError
from lydite.hardware.device import Cache, Device
from lydite.hardware.spec_file import SpecFile


class _CacheSpec(BaseModel):
    model_config = ConfigDict(extra="forbid")
    level: int = Field(ge=1, le=5)
    size: str
    per_unit: str | None = None


class DeviceSpec(BaseModel):
    """The fields of a device file; quantities are text with units ("900 GB/s")."""

    model_config = ConfigDict(extra="forbid")
    schema_version: int = Field(default=1, ge=1, le=1)
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.\-]*$")
    title: str
    aliases: list[str] = []
    kind: str = Field(pattern="^(cpu|gpu|npu)$")
    vendor: str
    peak: dict[str, str]
    memory: str
    memory_bandwidth: str
    units: int = Field(ge=1)
    clock: str | None = None
    power: str | None = None
    process: str | None = None
    caches: list[_CacheSpec] = []
    isa: list[str] = []
    sources: dict[str, str]

    def device(self, file: SpecFile) -> Device:
        """The `Device`, every quantity in SI units.

        Raises:
            InputError: a quantity has no unit, or a power is none of a device.
            UnitError: a quantity has the wrong unit.
        """
        read = file.quantity
        return Device(
            name=self.name,
            title=self.title,
            kind=self.kind,
            vendor=self.vendor,
            peak_flops={k: read(v, _rate_unit(v), f"peak.{k}") for k, v in self.peak.items()},
            memory_bytes=read(self.memory, "B", "memory"),
            memory_bandwidth=read(self.memory_bandwidth, "B/s", "memory_bandwidth"),
            units=self.units,
            clock_hz=read(self.clock, "Hz", "clock") if self.clock else None,
            power_w=self._power_w(file),
            process_m=read(self.process, "m", "process") if self.process else None,
            caches=tuple(
                Cache(
                    c.level,
                    read(c.size, "B", f"caches.{at}.size"),
                    read(c.per_unit, "B", f"caches.{at}.per_unit") if c.per_unit else None,
                )
                for at, c in enumerate(self.caches)
            ),
            isa=tuple(self.isa),
            sources=self.sources,
        )

    def _power_w(self, file: SpecFile) -> float | None:
        """The power limit, refused where drivers' milliwatts were taken for watts or vice versa."""
        if self.power is None:
            return None
        watts = file.quantity(self.power, "W", "power")
        least = _LEAST_GPU_W if self.kind == "gpu" else 0.0
        if least <= watts <= _MOST_W:
            return watts
        guess = watts / 1000 if watts > _MOST_W else watts * 1000
        raise InputError(
            f"'{self.power}' is no power limit of a {self.kind}",
            where=file.at("power"),
            allowed=f"{least:g} to {_MOST_W:g} W",
            hint=f"drivers report milliwatts; did you mean '{guess:g} W'?",
        )


_LEAST_GPU_W, _MOST_W = 1.0, 20_000.0


def _rate_unit(text: str) -> str:
    return (
        "OP/s"
        if text.strip().endswith("OP/s") and not text.strip().endswith("FLOP/s")
        else ("FLOP/s")
    )


def device_and_aliases(file: SpecFile) -> tuple[Device, list[str]]:
    """The device that a file describes, and its other names.

    Raises:
        InputError: a field is missing, unknown or out of range (the error names it and its line).
        UnitError: a quantity has the wrong unit.
    """
    spec = file.validated(DeviceSpec, "a device", {"caches": _CacheSpec})
    return spec.device(file), [name.lower() for name in spec.aliases]
