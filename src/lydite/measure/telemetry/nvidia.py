"""NVIDIA devices through NVML (package `nvidia-ml-py`).

Source: NVML API reference. The energy counter (mJ since the driver was loaded, Volta and later)
comes first. `nvmlDeviceGetPowerUsage` is an average over a second on many devices since Ampere, so
the instantaneous power field is read where there is one. NVIDIA states +/- 5 % for power.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from lydite.measure.telemetry.base import NoSensor, Reading, SensorDevice

THROTTLES = {
    0x1: "idle",
    0x2: "application clocks",
    0x4: "software power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
    0x100: "display clocks",
}
"""Names of NVML's bits of what holds the clocks down."""
_POWER_INSTANT = 186


class Nvidia:
    """Boards of NVIDIA; the figures are of the whole board.

    Args:
        library: NVML's Python binding; None for the installed one.
    """

    name = "nvidia"
    least_interval_s = 0.0

    def __init__(self, library: Any = None) -> None:
        self._nvml = library
        self._handles: dict[str, Any] = {}
        self._dead: set[tuple[str, str]] = set()
        """(device, channel) that the device does not support."""

    def devices(self) -> Sequence[SensorDevice]:
        """All boards.

        Raises:
            NoSensor: the package, the library or the driver is missing, or it lists no board.
        """
        nvml = self._opened()
        made = [self._device(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]
        if not made:
            raise NoSensor("the NVIDIA driver lists no board")
        return made

    def _opened(self) -> Any:
        if self._nvml is None:
            try:
                self._nvml = import_module("pynvml")
            except ImportError:
                raise NoSensor(
                    "the package 'nvidia-ml-py' is not installed", "pip install 'lydite[nvidia]'"
                ) from None
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            told = type(error).__name__.removeprefix("NVMLError_")
            reason = {
                "LibraryNotFound": "NVIDIA's library (libnvidia-ml.so) is not on this machine",
                "DriverNotLoaded": "NVIDIA's driver is not loaded",
                "NoPermission": "no permission to talk to NVIDIA's driver",
            }.get(told, f"NVML does not start: {error}")
            raise NoSensor(reason, "install NVIDIA's driver, if there is a board") from None
        return self._nvml

    def _device(self, nvml: Any, index: int) -> SensorDevice:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        identity = f"{self.name}:{index}"
        self._handles[identity] = handle
        name = nvml.nvmlDeviceGetName(handle)
        notes = [f"PCI {_text(nvml.nvmlDeviceGetPciInfo(handle).busId)}, numbered by PCI bus"]
        if self._try(identity, "mig", lambda: nvml.nvmlDeviceGetMigMode(handle)[0]):
            notes.append("MIG is on, and the figures are of the whole board, not of a slice")
        if self._power_now(handle) is None:
            notes.append("power may be an average over the last second")
        limit = self._try(
            identity, "limit", lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1e3
        )
        return SensorDevice(identity, _text(name), True, "; ".join(notes), limit)

    def read(self, device: SensorDevice) -> Reading:
        """All channels that the device supports."""
        nvml, handle = self._nvml, self._handles[device.id]
        readers: dict[str, Callable[[], float | str]] = {
            "energy_j": lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3,
            "power_w": lambda: self._power(handle),
            "utilisation_percent": lambda: float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
            "memory_bytes": lambda: float(nvml.nvmlDeviceGetMemoryInfo(handle).used),
            "clock_hz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM) * 1e6,
            "memory_clock_hz": (
                lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM) * 1e6
            ),
            "temperature_c": (
                lambda: float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
            ),
            "throttle": lambda: throttle_text(_reasons(nvml, handle)),
        }
        values = {name: self._try(device.id, name, read) for name, read in readers.items()}
        return {name: value for name, value in values.items() if value is not None}

    def _try(self, identity: str, what: str, read: Callable[[], Any]) -> Any:
        """What is read; None if the device does not support it, which is not asked again."""
        if (identity, what) in self._dead:
            return None
        try:
            return read()
        except self._nvml.NVMLError as error:
            if type(error).__name__ in ("NVMLError_NotSupported", "NVMLError_FunctionNotFound"):
                self._dead.add((identity, what))
            return None

    def _power(self, handle: Any) -> float:
        now = self._power_now(handle)
        return now if now is not None else self._nvml.nvmlDeviceGetPowerUsage(handle) / 1e3

    def _power_now(self, handle: Any) -> float | None:
        """Instantaneous power in W; None where the field is not supported."""
        try:
            (field,) = self._nvml.nvmlDeviceGetFieldValues(handle, [_POWER_INSTANT])
        except (self._nvml.NVMLError, AttributeError):
            return None
        return field.value.uiVal / 1e3 if field.nvmlReturn == 0 else None

    def close(self) -> None:
        """Shut NVML down."""
        if self._nvml is not None and self._handles:
            self._nvml.nvmlShutdown()


def throttle_text(bits: int) -> str:
    """Names of the bits, joined by "; "."""
    names = [name for bit, name in THROTTLES.items() if bits & bit]
    unknown = bits & ~sum(THROTTLES)
    return "; ".join([*names, *([f"bits {unknown:#x}"] if unknown else [])]) or "none"


def _reasons(nvml: Any, handle: Any) -> int:
    read = getattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons", None)
    return (read or nvml.nvmlDeviceGetCurrentClocksThrottleReasons)(handle)


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
