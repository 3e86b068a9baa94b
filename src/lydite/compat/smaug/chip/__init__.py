"""SMAUG's configuration files (`smv-accel.cfg`, `gem5.cfg`) as chips."""

from lydite.compat.smaug.chip.files import accelerator_file, read_smaug_chip

__all__ = ["accelerator_file", "read_smaug_chip"]
