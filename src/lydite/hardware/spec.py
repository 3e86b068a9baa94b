"""Device files: YAML with units, validated by pydantic and converted to `Device`."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from lydite.errors import InputError, unknown_name
from lydite.hardware.device import Cache, Device
from lydite.hardware.spec_file import SpecFile, parse_spec, read_spec


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


def read_device(path: Path | str) -> Device:
    """Read a device file.

    Raises:
        InputError: the file is not YAML, or a field is missing, unknown, duplicate or out of range
            (the error names it and its line).
    """
    return _device(read_spec(path, "a device file"))[0]


def _device(file: SpecFile) -> tuple[Device, list[str]]:
    spec = file.validated(DeviceSpec, "a device", {"caches": _CacheSpec})
    return spec.device(file), [name.lower() for name in spec.aliases]


@cache
def _texts() -> dict[str, str]:
    """Text of each file of the catalog."""
    files = resources.files("lydite.hardware.catalog.devices").iterdir()
    named = sorted((file.name, file) for file in files if file.name.endswith(".yaml"))
    return {name: file.read_text() for name, file in named}


@cache
def _read(file: str) -> tuple[Device, list[str]]:
    return _device(parse_spec(_texts()[file], file, "a device file"))


def known_devices() -> dict[str, Device]:
    """All devices of the catalog by name."""
    devices = (_read(file)[0] for file in _texts())
    return {device.name: device for device in devices}


def _in_catalog(name: str) -> Device | None:
    """The device of a name or alias; only files that hold the word are parsed."""
    wanted = name.lower()
    for file, text in _texts().items():
        if wanted in text.lower():
            device, aliases = _read(file)
            if wanted in (device.name, *aliases):
                return device
    return None


def full_name(name: str) -> str:
    """The catalog name that an alias stands for; any other name is returned unchanged."""
    found = _in_catalog(name)
    return name if found is None else found.name


def find_device(name: str) -> Device:
    """A device by name: "cpu" for this machine's, else from the catalog or a `.yaml` file.

    Chips, from their catalog or a file, are devices too.

    Raises:
        InputError: no such device (the error suggests the nearest name), or the file is invalid.
    """
    from lydite.hardware.local import local_device

    if name.lower() in ("cpu", "local", "here"):
        return local_device()
    known = _in_catalog(name)
    if known is not None:
        return known
    return _chip_or_file(name)


def _chip_or_file(name: str) -> Device:
    from lydite.hardware.chip import chip_names, is_chip_file, read_chip
    from lydite.hardware.chip.device import device_of
    from lydite.hardware.local import local_device

    if is_chip_file(name):
        return device_of(read_chip(name))
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise InputError("no such device file", where=name)
        file = read_spec(name, "a device file")
        return device_of(read_chip(name)) if "array" in file.document else _device(file)[0]
    if name.lower() in chip_names():
        return device_of(read_chip(name))
    here = local_device()
    if name.lower() == here.name:
        return here
    aliases = [alias for file in _texts() for alias in _read(file)[1]]
    raise unknown_name("device", name, [*known_devices(), *aliases, "cpu"])
