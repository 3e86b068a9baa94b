"""Who may import what: examples and benchmarks go through the API, or say why not."""

from __future__ import annotations

import ast
import tomllib
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[3]
PUBLIC = (
    "lydite",
    "lydite.api",
    "lydite.compat",
    "lydite.report",
    "lydite.errors",
    "lydite.results",
)
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


SOURCE = ROOT / "src" / "lydite"
GROUND = {
    f"lydite.{name}"
    for name in ("errors", "exhibits", "files", "opkey", "records", "registry", "results", "units")
}


def test_compat_enters_other_rooms_by_what_their_packages_name():
    """No private import: a package whose `__all__` names it, the ground floor, API or reports."""
    for path in (SOURCE / "compat").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("lydite"):
                continue
            module = str(node.module)
            if module in GROUND or module.startswith(("lydite.compat", "lydite.report")):
                continue
            names = {alias.name for alias in node.names}
            package = SOURCE.parent / Path(*module.split(".")) / "__init__.py"
            assert package.is_file(), f"{path}: {module}"
            public = set(getattr(import_module(module), "__all__", ()))
            assert names <= public, f"{path}: {module} {names - public}"


def test_nothing_below_imports_compat():
    for path in SOURCE.rglob("*.py"):
        place = path.relative_to(SOURCE).as_posix()
        if place.startswith(("compat/", "smaug/")) or place == "api/_verbs.py":
            continue
        assert not [name for name in imports(path) if name.startswith("lydite.compat")], place


def test_every_text_of_a_registry_leads_somewhere():
    from lydite.api import COMMANDS, VERBS
    from lydite.chip.dataflow import DATAFLOWS
    from lydite.graph.formats import READERS
    from lydite.hardware.chip import CHIP_FILES
    from lydite.hardware.cluster import CLUSTER_FILES
    from lydite.store import IMPORTERS

    for registry in (CHIP_FILES, CLUSTER_FILES, COMMANDS, DATAFLOWS, IMPORTERS, READERS, VERBS):
        assert all(registry.find(name) is not None for name in registry)


def test_type_checkers_see_every_verb():
    from lydite.api import verbs

    tree = ast.parse((SOURCE / "api" / "_verbs.py").read_text())
    listed = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert listed == verbs.OWN_VERBS
