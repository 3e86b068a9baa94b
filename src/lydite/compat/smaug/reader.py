"""The reader of SMAUG's topologies, for the registry of model readers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lydite.graph import Graph


@dataclass(frozen=True)
class _Smaug:
    """A topology (`_topo.pbtxt`), and perhaps its weights (`_params.pb`)."""

    title: str = "SMAUG"
    suffixes: tuple[str, ...] = (".pbtxt",)
    content: str = "SMAUG's topology (nodes)"
    takes_params: bool = True
    listed: bool = True
    takes_sizes: bool = False

    def claims(self, path: Path) -> bool:
        """A message with fields `nodes`."""
        from lydite.graph.formats import first_field

        return path.is_file() and first_field(path, ("node", "nodes")) == "nodes"

    def read(self, path: Path, params: Path | None, dims: Mapping[str, int]) -> Graph:
        """The graph, without weights where no parameters are given."""
        from lydite.compat.smaug.topology.reader import read_smaug
        from lydite.graph.formats import bound

        return bound(read_smaug(path, params), dims)


SMAUG = _Smaug()
