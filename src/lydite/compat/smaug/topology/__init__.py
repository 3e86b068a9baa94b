"""SMAUG's topologies (`_topo.pbtxt`) and parameters (`_params.pb`), read and written."""

from lydite.compat.smaug.topology.reader import read_smaug
from lydite.compat.smaug.topology.writer import write_smaug

__all__ = ["read_smaug", "write_smaug"]
