"""The order of the source, what starting costs, and what this revision costs beside an older one.

    python benchmarks/house.py
    python benchmarks/house.py --base ../older-checkout

With `--base`, three commands run in turn from both checkouts, each a process of its own; the figure
is the median of the ratios of their CPU times.
"""

from __future__ import annotations

import argparse
import ast
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from _figures import Figure, publish

import lydite as ly
from lydite.backends import BACKENDS
from lydite.graph.operators import FACETS, Missing, facet, operators

ROOT = Path(__file__).parents[1]
COMMANDS = {
    # A device without measurements of its own in the package, which the older one did not read.
    "predict resnet50": ["predict", "resnet50", "--on", "a100", "--dtype", "float16", "--json"],
    "1,024-device step": [
        *["simulate", "llama3-8b", "--train", "--on", "dgx-h100 x 128", "--tp", "8", "--pp", "4"],
        *["--batch", "1024", "--micro-batch", "1", "--dtype", "bfloat16", "--json"],
    ],
    "chip resnet50": ["chip", "resnet50", "--chip", "systolic-128", "--json"],
}
PAIRS = 9


def cpu_seconds(source: Path, *arguments: str) -> float:
    """User and system time of one process of Python that imports Lydite from `source`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(source)},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def order() -> list[Figure]:
    """Blanks of the operator registry, and names that stand for several things."""
    BACKENDS.find("torch")  # registers how PyTorch runs operators
    cells = [facet(row.name, name) for row in operators().values() for name in FACETS]
    missing = [cell for cell in cells if isinstance(cell, Missing)]
    silent = sum(not (cell.reason and cell.test) for cell in missing)
    rooms: dict[str, set[str]] = defaultdict(set)
    skipped = 0
    for path in sorted((ROOT / "src" / "lydite").rglob("*.py")):
        text = path.read_text()
        skipped += text.count("# fmt: skip")
        room = str(path.relative_to(ROOT / "src" / "lydite").parent)
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                rooms[node.name].add(room)
    shared = {name: sorted(where) for name, where in rooms.items() if len(where) > 1}
    share = len(missing) / len(cells)
    at: dict[str, object] = {"cells": len(cells), "operators": len(operators())}
    return [
        Figure("operator facets missing without a reason", silent, "", 0, "lower", at),
        Figure("operator facets missing with a reason", share, "share", 0.15, "lower", at),
        Figure("formatter switched off, lines", skipped, "", 0, "lower"),
        Figure("class names in several rooms", len(shared), "", 5, "lower", {"names": shared}),
    ]


def starting() -> list[Figure]:
    """CPU seconds of the help and of the import."""
    source = ROOT / "src"
    helps = [cpu_seconds(source, "-m", "lydite", "--help") for _ in range(PAIRS)]
    imports = [cpu_seconds(source, "-c", "import lydite") for _ in range(PAIRS)]
    return [
        Figure("lydite --help, CPU", statistics.median(helps), "s", 0.3, "lower"),
        Figure("import lydite, CPU", statistics.median(imports), "s", 0.3, "lower"),
    ]


def speech() -> Figure:
    """The longest `repr` of results of several verbs."""
    model = ly.load("resnet18")
    results = [
        ly.inspect(model),
        ly.predict(model, on="h100"),
        ly.simulate(model, on="dgx-a100", train=True, batch=64),
        ly.chip(model, chip="systolic-128"),
        ly.coverage([model]),
        ly.models(),
        ly.doctor(),
    ]
    longest = max(len(repr(result)) for result in results)
    return Figure("longest repr of a result", longest, "letters", 200, "lower")


def beside(base: Path) -> list[Figure]:
    """CPU time of commands from this checkout by that of `base`, taken in turn."""
    figures: list[Figure] = []
    for what, arguments in COMMANDS.items():
        ratios: list[float] = []
        for number in range(PAIRS + 1):
            pair = [base / "src", ROOT / "src"]
            spent = {
                source: cpu_seconds(source, "-m", "lydite", *arguments)
                for source in (pair if number % 2 else reversed(pair))
            }
            if number:  # The first pair compiles.
                ratios.append(spent[pair[1]] / spent[pair[0]])
        spread: dict[str, object] = {"ratios": [round(ratio, 3) for ratio in ratios]}
        ratio = statistics.median(ratios)
        figures.append(Figure(f"{what}, CPU by that before", ratio, "", 1.05, "lower", spread))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description="Order of the source and cost of starting")
    parser.add_argument("--base", type=Path, help="older checkout to compare with")
    base: Path | None = parser.parse_args().base
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"LYDITE_DB": f"{folder}/lydite.db", "XDG_CACHE_HOME": folder}
        figures = [*order(), *starting(), speech()]
        if base:
            figures += beside(base.resolve())
    publish("house", figures)


if __name__ == "__main__":
    main()
