"""AMD devices through AMD SMI (package `amdsmi`, which comes with ROCm).

Without the driver, importing the package raises a KeyError and prints, so it is imported behind
closed file descriptors. Source: AMD SMI Python API. The energy counter comes first: an accumulator
times its resolution in microjoules.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from typing import Any

from lydite.measure.telemetry.base import NoSensor, Reading, SensorDevice, number

_MB = float(1 << 20)


@contextmanager
def silenced() -> Iterator[None]:
    """Keep everything inside from standard output and error, C libraries' prints too."""
    kept = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for descriptor in (*kept, nowhere):
            os.close(descriptor)


def imported() -> Any:
    """The package `amdsmi`.

    Raises:
        NoSensor: it is not installed, or its library is not.
    """
    try:
        quiet = io.StringIO()
        with silenced(), redirect_stdout(quiet), redirect_stderr(quiet):
            return import_module("amdsmi")
    except ModuleNotFoundError:
        raise NoSensor(
            "the package 'amdsmi' is not installed",
            "pip install amdsmi, of the version of your ROCm",
        ) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        reason = f"the package 'amdsmi' does not start ({type(error).__name__}: {error})"
        hint = "install ROCm's amd-smi-lib, if there is a board"
        raise NoSensor(reason[:200], hint) from None


class Amd:
    """Boards of AMD.

    Args:
        library: AMD SMI's Python binding; None for the installed one.
    """

    name = "amd"
    least_interval_s = 0.0

    def __init__(self, library: Any = None) -> None:
        self._smi = library
        self._handles: dict[str, Any] = {}

    def devices(self) -> Sequence[SensorDevice]:
        """All boards.

        Raises:
            NoSensor: the package, its library or the driver is missing, or it lists no board.
        """
        smi = self._smi = self._smi or imported()
        try:
            smi.amdsmi_init()
            handles = smi.amdsmi_get_processor_handles()
        except Exception as error:
            raise NoSensor(f"AMD SMI does not start: {error}"[:200]) from None
        if not handles:
            raise NoSensor("the AMD driver lists no board")
        return [self._device(smi, index, handle) for index, handle in enumerate(handles)]

    def _device(self, smi: Any, index: int, handle: Any) -> SensorDevice:
        identity = f"{self.name}:{index}"
        self._handles[identity] = handle
        asic = _or_nothing(lambda: smi.amdsmi_get_gpu_asic_info(handle)) or {}
        cap = _or_nothing(lambda: smi.amdsmi_get_power_cap_info(handle)) or {}
        limit = number(cap.get("power_cap"))
        return SensorDevice(
            identity,
            str(asic.get("market_name", "AMD device")),
            None,
            "power of the socket; a board or a package of several dies may count more than one",
            limit * 1e-6 if limit else None,
        )

    def read(self, device: SensorDevice) -> Reading:
        """All channels that the device supports."""
        smi, handle = self._smi, self._handles[device.id]
        clocks, temperatures = smi.AmdSmiClkType, smi.AmdSmiTemperatureType
        readers: dict[str, Callable[[], float | None]] = {
            "energy_j": lambda: _energy(smi.amdsmi_get_energy_count(handle)),
            "power_w": lambda: _power(smi.amdsmi_get_power_info(handle)),
            "utilisation_percent": (
                lambda: number(smi.amdsmi_get_gpu_activity(handle)["gfx_activity"])
            ),
            "memory_bytes": (
                lambda: _times(smi.amdsmi_get_gpu_vram_usage(handle)["vram_used"], _MB)
            ),
            "clock_hz": (lambda: _times(smi.amdsmi_get_clock_info(handle, clocks.GFX)["clk"], 1e6)),
            "memory_clock_hz": (
                lambda: _times(smi.amdsmi_get_clock_info(handle, clocks.MEM)["clk"], 1e6)
            ),
            "temperature_c": lambda: _temperature(smi, handle, temperatures),
        }
        values = {name: _or_nothing(read) for name, read in readers.items()}
        known: Reading = {name: value for name, value in values.items() if value is not None}
        throttled = _or_nothing(lambda: _violations(smi.amdsmi_get_violation_status(handle)))
        return known | ({"throttle": throttled} if throttled else {})

    def close(self) -> None:
        """Shut AMD SMI down."""
        if self._smi is not None and self._handles:
            self._smi.amdsmi_shut_down()


def _or_nothing(read: Callable[[], Any]) -> Any:
    """What is read; None if the device does not support it."""
    try:
        return read()
    except Exception:
        return None


def _times(value: object, factor: float) -> float | None:
    known = number(value)
    return None if known is None else known * factor


def _energy(count: dict[str, Any]) -> float | None:
    """Joules; older releases call the accumulator "power"."""
    ticks = number(count.get("energy_accumulator", count.get("power")))
    resolution = number(count.get("counter_resolution"))
    return ticks * resolution * 1e-6 if ticks and resolution else None


def _power(info: dict[str, Any]) -> float | None:
    """Watts now, or the average where there is no other; 0 means that it is not measured."""
    names = ("current_socket_power", "average_socket_power", "socket_power")
    return next((watts for name in names if (watts := number(info.get(name)))), None)


def _temperature(smi: Any, handle: Any, kinds: Any) -> float | None:
    """The hottest spot, or the edge where that is not measured."""
    metric = smi.AmdSmiTemperatureMetric.CURRENT
    for kind in (kinds.HOTSPOT, kinds.EDGE):
        value = number(_or_nothing(lambda k=kind: smi.amdsmi_get_temp_metric(handle, k, metric)))
        if value is not None:
            return value
    return None


_VIOLATIONS = {
    "active_prochot_thrm": "processor hot",
    "active_ppt_pwr": "power limit",
    "active_socket_thrm": "socket temperature",
    "active_vr_thrm": "regulator temperature",
    "active_hbm_thrm": "memory temperature",
}


def _violations(status: dict[str, Any]) -> str | None:
    """Names of the limits that hold the clocks down; None if none of them is reported."""
    known = {name: status[name] for name in _VIOLATIONS if isinstance(status.get(name), bool)}
    active = [_VIOLATIONS[name] for name, is_active in known.items() if is_active]
    return ("; ".join(active) or "none") if known else None
