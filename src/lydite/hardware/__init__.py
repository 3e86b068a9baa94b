"""Hardware: `Device` specifications, the catalog, and detection of this machine's devices."""

from typing import TYPE_CHECKING

from lydite.registry import lazily

if TYPE_CHECKING:
    from lydite.hardware.capped import read_json_spec
    from lydite.hardware.device import Cache, Device
    from lydite.hardware.local import local_device, local_processor, physical_cores
    from lydite.hardware.spec import find_device, full_name, known_devices, read_device
    from lydite.hardware.spec_file import SpecFile, parse_spec, read_spec

__all__ = [
    "Cache",
    "Device",
    "SpecFile",
    "find_device",
    "full_name",
    "known_devices",
    "local_device",
    "local_processor",
    "parse_spec",
    "physical_cores",
    "read_device",
    "read_json_spec",
    "read_spec",
]

_WHERE = {
    "read_json_spec": "capped",
    **dict.fromkeys(("Cache", "Device"), "device"),
    **dict.fromkeys(("local_device", "local_processor", "physical_cores"), "local"),
    **dict.fromkeys(("find_device", "full_name", "known_devices", "read_device"), "spec"),
    **dict.fromkeys(("SpecFile", "parse_spec", "read_spec"), "spec_file"),
}

__getattr__ = lazily(__name__, _WHERE)
