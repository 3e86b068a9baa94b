"""The figures of the model set: `python benchmarks/models.py` writes the table of
`docs/reference/models.md` and what `lydite models` lists, `src/lydite/models/figures.json`."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

from _figures import Figure, publish

from lydite.files import write_atomic
from lydite.graph import Graph
from lydite.models import ModelInfo, build_model, describe, model_names
from lydite.models.counts import figures_of, multiply_adds
from lydite.models.table import ELSEWHERE, MODELS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "models.md"
FIGURES = ROOT / "src" / "lydite" / "models" / "figures.json"
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"
OURS = (*MODELS, *ELSEWHERE)
HEAD = (
    "| model | default input | operators | parameters | multiply-adds | published parameters | "
    "published multiply-adds | follows; published by |\n|---|---|---|---|---|---|---|---|\n"
)


def table(build: Callable[[str], Graph] = build_model) -> str:
    """The rows of all models, built at their defaults by `build`."""
    return HEAD + "".join(_row(describe(name), build(name)) for name in model_names())


def figures(build: Callable[[str], Graph] = build_model) -> str:
    """What `lydite models` lists of our own models: a line each."""
    lines = [f"{json.dumps(name)}: {json.dumps(figures_of(build(name)))}" for name in OURS]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _differences(build: Callable[[str], Graph]) -> list[Figure]:
    """How far the set is from what others publish; 0.5 %, detection and segmentation 2 %."""
    off: dict[str, float] = {}
    for name in model_names():
        graph, published = build(name), describe(name).published
        if published is None:
            continue
        pairs = (
            (graph.parameter_count, published.parameters),
            (multiply_adds(graph), published.multiply_adds),
        )
        off |= {f"{name} {i}": abs(a / b - 1) for i, (a, b) in enumerate(pairs) if b}
    far = sorted(name for name, share in off.items() if share > 0.005)
    at = {"figures": len(off), "models": len(model_names()), "beyond": far}
    equal = sum(share == 0 for share in off.values()) / len(off)
    return [
        Figure("published figures that differ by more than 0.5 %", len(far), "", 0, "lower", at),
        Figure("published figures that are met exactly", equal, "share", None, "higher", at),
        Figure(
            "largest difference to a published figure",
            max(off.values()),
            "share",
            0.02,
            "lower",
            at,
        ),
    ]


def with_table(page: str, rows: str) -> str:
    """A page with `rows` between its two marks."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + rows + END + rest.partition(END)[2]


def _row(info: ModelInfo, graph: Graph) -> str:
    shape = graph.type_of(graph.inputs[0]).shape or ()
    words = [str(value) for value in info.defaults.values() if isinstance(value, str)]
    given = ", ".join([" x ".join(map(str, shape)), *words])
    macs, published = multiply_adds(graph), info.published
    source = info.source + (f"; {published.source}" if published else "")
    return (
        f"| {info.name} | {given} | {len(graph.ops)} | {graph.parameter_count:,} | {_giga(macs)} | "
        f"{_compared(published and published.parameters, graph.parameter_count, '{:,}'.format)} | "
        f"{_compared(published and published.multiply_adds, macs, _giga)} | {source} |\n"
    )


def _compared(theirs: float | None, ours: float, shown: Callable[[float], str]) -> str:
    """Their figure, and by how much ours differs."""
    return "-" if theirs is None else f"{shown(theirs)} ({100 * (ours / theirs - 1):+.2f} %)"


def _giga(count: float) -> str:
    return f"{count / 1e9:,.3f} G"


if __name__ == "__main__":
    built = cache(build_model)
    publish("models", _differences(built))
    write_atomic(PAGE, with_table(PAGE.read_text(), table(built)))
    write_atomic(FIGURES, figures(built))
