"""The reader of SMAUG's topologies, for the registry of model readers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lydite.graph.formats import ModelReader

if TYPE_CHECKING:
    from lydite.graph import Graph


class _Smaug(ModelReader):
    """A topology (`_topo.pbtxt`), optionally with its weights (`_params.pb`)."""

    title = "SMAUG"
    suffixes = (".pbtxt",)
    content = "SMAUG's topology (nodes)"
    takes_params = True

    def claims(self, path: Path) -> bool:
        """Whether the file is a message with fields `nodes`."""
        from lydite.graph.formats import first_field

        return path.is_file() and first_field(path, ("node", "nodes")) == "nodes"

    def read(self, path: Path, params: Path | None, dims: Mapping[str, int]) -> Graph:
        """The graph, without weight values if no parameters are given."""
        from lydite.compat.smaug.topology.reader import read_smaug
        from lydite.graph.formats import bound

        return bound(read_smaug(path, params), dims)


SMAUG = _Smaug()
