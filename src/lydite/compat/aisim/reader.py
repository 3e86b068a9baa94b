"""The reader of AISim's PyTorch graphs, for the registry of model readers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lydite.graph.formats import ModelReader

if TYPE_CHECKING:
    from lydite.graph import Graph


class _Aisim(ModelReader):
    """A JSON list of nodes."""

    title = "AISim"
    suffixes = (".json",)
    content = "AISim's list of nodes"

    def claims(self, path: Path) -> bool:
        """Every JSON file whose first character does not open an object."""
        if path.suffix != ".json" or not path.is_file():
            return False
        with path.open("rb") as file:
            return not file.read(1 << 12).lstrip().startswith(b"{")

    def read(self, path: Path, params: Path | None, dims: Mapping[str, int]) -> Graph:
        """The graph of the list."""
        from lydite.compat.aisim.graph_reader import read_aisim_graph
        from lydite.graph.formats import bound

        del params
        return bound(read_aisim_graph(path), dims)


AISIM = _Aisim()
