"""Who may import what: examples and benchmarks go through the API, or say why not."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
PUBLIC = ("lydite", "lydite.api", "lydite.report", "lydite.errors", "lydite.results")
PLAIN = ("lydite.units", "lydite.files")
EXCEPTIONS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["lydite"][
    "imports-below-the-api"
]


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {name for name in found if name == "lydite" or name.startswith("lydite.")}


def allowed(module: str) -> bool:
    return module == "lydite" or any(
        module == name or module.startswith(f"{name}.") for name in (*PUBLIC[1:], *PLAIN)
    )


def test_files_that_go_below_the_api_are_listed_with_their_reasons():
    paths = [*(ROOT / "examples").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    below = {
        str(path.relative_to(ROOT))
        for path in paths
        if any(not allowed(module) for module in imports(path))
    }
    assert below == EXCEPTIONS.keys()
    assert all(len(reason.split()) > 2 for reason in EXCEPTIONS.values())
