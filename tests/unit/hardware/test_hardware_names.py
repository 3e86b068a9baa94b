"""Names of the catalogs: one name stands for one thing."""

from lydite.hardware import find_device, full_name, known_devices
from lydite.hardware.chip import chip_names
from lydite.hardware.spec import _read, _texts


def test_devices_aliases_and_chips_have_names_of_their_own():
    aliases = [alias for file in _texts() for alias in _read(file)[1]]
    names = [*known_devices(), *aliases, *chip_names(), "cpu", "local", "here"]
    assert len(set(names)) == len(names)


def test_every_alias_finds_its_device():
    for file in _texts():
        device, aliases = _read(file)
        for name in (device.name, *aliases, device.name.upper()):
            assert find_device(name) == device
            assert full_name(name) == device.name
    assert full_name("nvidia") == "nvidia"
    assert full_name("memory") == "memory"  # a word of the files that names no device
