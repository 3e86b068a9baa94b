"""Hardware: `Device` specifications, the catalog, and detection of this machine's devices."""

from lydite.hardware.device import Cache, Device
from lydite.hardware.local import local_device, local_processor, physical_cores
from lydite.hardware.spec import find_device, full_name, known_devices, read_device
from lydite.hardware.spec_file import SpecFile, parse_spec, read_json_spec, read_spec

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
