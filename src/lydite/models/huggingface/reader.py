"""The reader of Hugging Face's config.json, for the registry of model readers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lydite.graph.formats import ModelReader

if TYPE_CHECKING:
    from lydite.graph import Graph

_READ_BYTES = 1 << 16


class _HuggingFace(ModelReader):
    """A config, by its name, by what a folder holds, or by its field `model_type`."""

    title = "Hugging Face"
    suffixes = (".json",)
    content = "an object with model_type"
    takes_sizes = True

    def claims(self, path: Path) -> bool:
        """Whether it is a config; only the beginning of a file is looked at."""
        if path.name == "config.json" or (path / "config.json").is_file():
            return True
        if path.suffix != ".json" or not path.is_file():
            return False
        with path.open("rb") as file:
            return b'"model_type"' in file.read(_READ_BYTES)

    def read(self, path: Path, params: Path | None, dims: Mapping[str, int]) -> Graph:
        """The network at its usual sizes."""
        from lydite.models.huggingface import graph_from_config

        del params, dims
        return graph_from_config(path)


HUGGINGFACE = _HuggingFace()
