"""A Jupyter notebook as a page: its text as MyST Markdown, its code and kept output as blocks."""

from __future__ import annotations

import json
from typing import Any

from docutils import nodes
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.application import Sphinx


class NotebookParser(MystParser):
    """Parses the Markdown that a notebook stands for."""

    supported = ("notebook",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        """The page of a notebook."""
        cells = json.loads(inputstring)["cells"]
        super().parse("\n\n".join(markdown(cell) for cell in cells), document)


def markdown(cell: dict[str, Any]) -> str:
    """A cell, and the text that it printed."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return source
    printed = "".join(
        "".join(output.get("text", output.get("data", {}).get("text/plain", [])))
        for output in cell.get("outputs", [])
    ).rstrip()
    shown = f"\n\n```text\n{printed}\n```" if printed else ""
    return f"```python\n{source}\n```{shown}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the parser of `.ipynb`."""
    app.add_source_parser(NotebookParser)
    return {"parallel_read_safe": True}
