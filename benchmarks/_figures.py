"""What every benchmark prints and writes: figures with their goal and their conditions."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lydite.files import write_atomic

RESULTS = Path(__file__).parent / "results"
WORSE = 0.1
"""Share by which a figure may be worse than the last one before it is named."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure.

    Attributes:
        figure: what was measured.
        value, unit: the result.
        goal: what it must reach; None where it is only reported.
        better: "lower" or "higher".
        conditions: what it was measured under, as JSON values.
    """

    figure: str
    value: float
    unit: str
    goal: float | None
    better: str
    conditions: Mapping[str, object] = field(default_factory=dict)

    @property
    def reached(self) -> bool | None:
        """Whether the goal is met; None without one."""
        if self.goal is None:
            return None
        return self.value <= self.goal if self.better == "lower" else self.value >= self.goal


def publish(name: str, figures: Sequence[Figure]) -> Path:
    """Print the figures as a table, and write them to `results/NAME.json`."""
    machine = {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    rows = [{**asdict(item), "conditions": {**machine, **item.conditions}} for item in figures]
    before = _before(RESULTS / f"{name}.json")
    path = write_atomic(RESULTS / f"{name}.json", json.dumps(rows, indent=1) + "\n")
    width = max(len(item.figure) for item in figures)
    for item in figures:
        goal = "" if item.goal is None else f"  goal {_sign(item)} {item.goal:g}"
        verdict = {True: "  reached", False: "  MISSED", None: ""}[item.reached]
        print(f"{item.figure:<{width}}  {_number(item.value):>12} {item.unit:<8}{goal}{verdict}")
    for item in figures:
        if worse := _worse(item, before.get(item.figure)):
            print(f"REGRESSED: {item.figure}: {worse}")
    print(f"\n{machine['cpu']}, load {machine['load_average'][0]}; written to {path}")
    return path


def _before(path: Path) -> dict[str, float]:
    """Values of the last run by figure."""
    if not path.exists():
        return {}
    return {row["figure"]: row["value"] for row in json.loads(path.read_text())}


def _worse(item: Figure, before: float | None) -> str:
    """By how much a figure is worse than before, if by more than a tenth."""
    if before is None or min(before, item.value) <= 0:
        return ""
    factor = item.value / before if item.better == "lower" else before / item.value
    if factor <= 1 + WORSE:
        return ""
    return f"was {_number(before)}, is {_number(item.value)} {item.unit} ({factor - 1:.0%} worse)"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _sign(item: Figure) -> str:
    return "<=" if item.better == "lower" else ">="


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def markdown() -> str:
    """All results as the page `docs/reference/figures.md`, but for those of short tries."""
    lines = [
        "# Figures",
        "",
        "Each was measured by the command named, on the machine in its results file",
        "(`benchmarks/results/NAME.json`, which also holds load, versions and each model's error).",
        "`python benchmarks/_figures.py` writes this page from those files.",
        "",
    ]
    for path in sorted(RESULTS.glob("*.json")):
        if path.stem.endswith("-smoke"):
            continue
        rows = json.loads(path.read_text())
        machine = rows[0]["conditions"]
        lines += [
            f"## {path.stem} (`benchmarks/{path.stem.partition('-')[0]}.py`)",
            "",
            f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}",
            "",
            "| figure | value | goal | |",
            "|---|---|---|---|",
        ]
        for row in rows:
            item = Figure(**{name: row[name] for name in Figure.__dataclass_fields__})
            goal = "" if item.goal is None else f"{_sign(item)} {item.goal:g} {item.unit}"
            verdict = {True: "reached", False: "**missed**", None: ""}[item.reached]
            lines.append(
                f"| {item.figure} | {_number(item.value)} {item.unit} | {goal} | {verdict} |"
            )
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    write_atomic(RESULTS.parents[1] / "docs" / "reference" / "figures.md", markdown())
