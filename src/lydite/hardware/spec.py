"""Devices by name: from the catalog, and from files."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

from lydite.errors import InputError, unknown_name
from lydite.hardware.device import Device
from lydite.hardware.kept import kept


def read_device(path: Path | str) -> Device:
    """Read a device file.

    Raises:
        InputError: the file is not YAML, or a field is missing, unknown, duplicate or out of range
            (the error names it and its line).
    """
    from lydite.hardware.device_file import device_and_aliases
    from lydite.hardware.spec_file import read_spec

    return device_and_aliases(read_spec(path, "a device file"))[0]


@cache
def _texts() -> dict[str, str]:
    """Text of each file of the catalog."""
    files = resources.files("lydite.hardware.catalog.devices").iterdir()
    named = sorted((file.name, file) for file in files if file.name.endswith(".yaml"))
    return {name: file.read_text() for name, file in named}


@cache
def _read(file: str) -> tuple[Device, list[str]]:
    text = _texts()[file]

    def read() -> tuple[Device, list[str]]:
        from lydite.hardware.device_file import device_and_aliases
        from lydite.hardware.spec_file import parse_spec

        return device_and_aliases(parse_spec(text, file, "a device file"))

    return kept(f"devices-{file.removesuffix('.yaml')}", text, read)


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
        from lydite.hardware.device_file import device_and_aliases
        from lydite.hardware.spec_file import read_spec

        file = read_spec(name, "a device file")
        if "array" in file.document:
            return device_of(read_chip(name))
        return device_and_aliases(file)[0]
    if name.lower() in chip_names():
        return device_of(read_chip(name))
    here = local_device()
    if name.lower() == here.name:
        return here
    aliases = [alias for file in _texts() for alias in _read(file)[1]]
    raise unknown_name("device", name, [*known_devices(), *aliases, "cpu"])
