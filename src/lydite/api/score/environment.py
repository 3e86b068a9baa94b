"""What a scorecard was measured on and under."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lydite.api.score.options import ScoreOptions

if TYPE_CHECKING:
    from lydite.hardware import Device


def environment_of(wanted: ScoreOptions, device: Device) -> dict[str, Any]:
    """Everything that a figure may depend on besides the models."""
    import psutil

    from lydite import __version__
    from lydite.backends import find_backend
    from lydite.errors import BackendError
    from lydite.hardware import local_processor, physical_cores
    from lydite.hardware.accelerators import accelerators
    from lydite.measure.environment import machine_state, platform_versions, utc_now

    capabilities = find_backend(wanted.backend).capabilities()
    if not capabilities.available or wanted.device not in capabilities.devices:
        raise BackendError(
            f"{wanted.backend} has no device '{wanted.device}' here",
            allowed=", ".join(capabilities.devices),
            hint=capabilities.hint,
        )
    boards = [] if wanted.device == "cpu" else accelerators()
    return {
        "device": device.title,
        "device_name": device.name,
        "kind": device.kind,
        "processor": local_processor(),
        "driver": boards[0].driver if boards else None,
        "versions": dict(capabilities.versions),
        "platform": platform_versions(),
        "lydite": __version__,
        "backend": wanted.backend,
        "threads": wanted.threads or physical_cores(),
        "inputs": wanted.inputs,
        "interval_s": wanted.interval,
        "boot_s": round(psutil.boot_time()),
        "state": machine_state(),
        "utc": utc_now(),
    }
