"""Sweeps of chip designs over one network: latency, power, area and the Pareto front.

A design chooses values for a few parameters. All cores are used. Each finished design is appended
to a file of JSON lines, so that an interrupted sweep resumes where it stopped.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from lydite.chip.figures import FIGURES, figures_of
from lydite.chip.run import run_chip, varied
from lydite.errors import InputError, LyditeError, unknown_name
from lydite.graph import Graph
from lydite.graph.keys import graph_digest
from lydite.hardware.chip import (
    DATAFLOWS,
    ArrayParameters,
    Chip,
    LastLevelCache,
    Noc,
    dram_named,
)
from lydite.hardware.chip.check import checked
from lydite.pool import LocalPool, Pool
from lydite.units import format_bytes, format_si, parse_quantity

Value = int | float | str


def _scratchpads(chip: Chip, value: Value) -> Chip:
    size = int(value)
    return replace(chip, scratchpads=tuple(replace(p, bytes=size) for p in chip.scratchpads))


def _ports(chip: Chip, value: Value) -> Chip:
    return replace(chip, scratchpads=tuple(replace(p, ports=int(value)) for p in chip.scratchpads))


def _banks(chip: Chip, value: Value) -> Chip:
    return replace(chip, scratchpads=tuple(replace(p, banks=int(value)) for p in chip.scratchpads))


def _cache(chip: Chip, value: Value) -> Chip:
    cache = chip.cache or LastLevelCache(int(value))
    return replace(chip, cache=replace(cache, bytes=int(value)))


def _noc(chip: Chip, value: Value) -> Chip:
    """Change the network on chip; a new one has links as wide as the DRAM's pins."""
    noc = chip.noc or Noc("mesh", chip.dram.pins_bytes_per_s)
    return replace(chip, noc=replace(noc, topology=str(value)))


def _requests(chip: Chip, value: Value) -> Chip:
    """Set the requests in flight of the DMA or of the coherent port, whichever the chip uses."""
    if chip.interface.kind == "dma":
        return replace(chip, dma=replace(chip.dma, requests=int(value)))
    return replace(chip, interface=replace(chip.interface, acp_requests=int(value)))


_UNITS = {"spad": "B", "clock": "Hz", "dram-bandwidth": "B/s", "bus": "B/s", "cache": "B"}
_CHANGES: Mapping[str, Callable[[Chip, Value], Chip]] = {
    "accelerators": lambda chip, value: replace(chip, accelerators=int(value)),
    "spad": _scratchpads,
    "ports": _ports,
    "banks": _banks,
    "cache": _cache,
    "noc": _noc,
    "requests": _requests,
    "clock": lambda chip, value: replace(chip, clock_hz=float(value)),
    "dram": lambda chip, value: replace(chip, dram=dram_named(str(value))),
    "dram-bandwidth": lambda chip, value: replace(
        chip, dram=chip.dram.scaled(float(value) / chip.dram.pins_bytes_per_s)
    ),
    "bus": lambda chip, value: replace(chip, bus_bytes_per_s=float(value)),
    "interface": lambda chip, value: replace(
        chip, interface=replace(chip.interface, kind=str(value))
    ),
    "cores": lambda chip, value: replace(chip, cpu=replace(chip.cpu, cores=int(value))),
    "dma-channels": lambda chip, value: replace(chip, dma=replace(chip.dma, channels=int(value))),
}
"""Parameters that every chip has, by the name that users type; arrays add their own."""

_TEXT = ("dram", "interface", "noc")


def array_parameters(array: type[ArrayParameters]) -> dict[str, type]:
    """Parameters of an array that can be varied: int or str, by the name that users type."""
    hints = get_type_hints(array)
    return {
        each.name.replace("_", "-"): int if hints[each.name] is int else str
        for each in fields(array)
    }


def variable_names(chip: Chip) -> tuple[str, ...]:
    """All parameters that can be varied for a chip, by the name that users type."""
    return (*array_parameters(type(chip.array)), *_CHANGES)


def parse_vary(texts: Sequence[str], chip: Chip | None = None) -> dict[str, list[Value]]:
    """Parse "pes=4,8,16" to {"pes": [4, 8, 16]}; sizes carry units ("spad=16KiB,32KiB").

    Args:
        texts: A parameter and its values each.
        chip: Chip to vary; None to accept the parameters of all known kinds of arrays.

    Raises:
        InputError: a parameter is unknown (the error suggests the nearest one), has no values, or
            has an invalid value.
    """
    arrays = [DATAFLOWS.find(kind).parameters for kind in DATAFLOWS]
    if chip is not None:
        arrays = [type(chip.array)]
    types = {name: kind for array in arrays for name, kind in array_parameters(array).items()}
    types |= {name: str if name in _TEXT else int for name in _CHANGES}
    values_of: dict[str, list[Value]] = {}
    for text in texts:
        name, _, values = text.partition("=")
        if name not in types:
            raise unknown_name("parameter to vary", name, tuple(types))
        if not values:
            raise InputError(f"'{text}' has no values", where="--vary", allowed=f"{name}=A,B,C")
        values_of[name] = [_value(name, each.strip(), types[name]) for each in values.split(",")]
    return values_of


def _value(name: str, text: str, value_type: type) -> Value:
    if value_type is str:
        return text
    if name in _UNITS:
        if text.replace(".", "", 1).isdigit():
            raise InputError(
                f"'{text}' has no unit",
                where=f"--vary {name}",
                allowed=f"such as '64 Ki{_UNITS[name]}'",
            )
        return parse_quantity(text, _UNITS[name], where=f"--vary {name}")
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"'{text}'", where=f"--vary {name}", allowed="whole numbers from 1")
    return int(text)


def value_text(name: str, value: object) -> str:
    """Format a parameter's value for users: "16.00 KiB", "1.50 GHz", "8"."""
    unit = _UNITS.get(name)
    if isinstance(value, float):
        if unit == "B":
            return format_bytes(value)
        return format_si(value, unit) if unit else f"{value:.6g}"
    return str(value)


def designs(vary: Mapping[str, Sequence[Value]]) -> list[dict[str, Value]]:
    """All combinations of the values."""
    return [dict(zip(vary, values, strict=True)) for values in itertools.product(*vary.values())]


def designed(chip: Chip, design: Mapping[str, Value]) -> Chip:
    """The chip with the values of a design.

    Raises:
        InputError: the chip has no such part, or the value is not possible.
    """
    known = array_parameters(type(chip.array))
    for name, value in design.items():
        if name in known:
            chip = varied(chip, **{name.replace("-", "_"): known[name](value)})
        elif name in _CHANGES:
            chip = _CHANGES[name](chip, value)
        else:
            raise InputError(
                f"a chip with this array has no '{name}'",
                where=chip.name,
                allowed=", ".join(known),
            )
    return checked(chip)


def _one(
    graph: Graph, chip: Chip, design: Mapping[str, Value], settings: Mapping[str, Any]
) -> dict[str, Any]:
    try:
        made = designed(chip, design)
        result = run_chip(graph, made, **settings)
    except LyditeError as error:
        return {**design, "error": str(error)}
    return {**design, **figures_of(result)}


_RESULTS = frozenset(("error", *FIGURES))
"""Keys of a design's row that are results."""


def _next(
    shared: tuple[Graph, Chip, Mapping[str, Any]], design: Mapping[str, Value]
) -> dict[str, Any]:
    graph, chip, settings = shared
    return _one(graph, chip, design, settings)


_CHUNK = 16
"""Most designs that a worker simulates at a time, and about half of what it does."""

_SHAPING = ("accelerators", "spad")
"""Parameters that change how layers are cut, as those of arrays do; the others change how long that
takes. Designs that differ in the others alone are simulated one after the other, by one worker.
"""


def in_turn(chip: Chip, vary: Mapping[str, Sequence[Value]]) -> tuple[list[dict[str, Value]], int]:
    """All designs in the order in which they share most, and how many a worker takes at a time."""
    first = (*array_parameters(type(chip.array)), *_SHAPING)
    names = sorted(vary, key=lambda name: first.index(name) if name in first else len(first))
    chunk = 1
    for name in reversed(names):
        if chunk * len(vary[name]) > _CHUNK:
            break
        chunk *= len(vary[name])
    ordered = designs({name: vary[name] for name in names})
    return [{name: one[name] for name in vary} for one in ordered], max(chunk, _CHUNK // 2)


def sweep(
    graph: Graph,
    chip: Chip,
    vary: Mapping[str, Sequence[Value]],
    *,
    settings: Mapping[str, Any] | None = None,
    kept: Path | None = None,
    pool: Pool | None = None,
    progress: Callable[[int, int, str], None] = lambda *_: None,
) -> list[dict[str, Any]]:
    """Latency, utilisation, energy, power and area of every design, or why it failed.

    Args:
        graph: Graph with fixed sizes.
        chip: Chip to vary.
        vary: Values by parameter.
        settings: Keyword arguments of `run_chip`, such as `threads` and `tiling`.
        kept: File of JSON lines with finished designs, to which new ones are appended.
        pool: Workers; the cores of this machine if None.
        progress: Called with the number of finished designs.

    Raises:
        InputError: the chip does not have a parameter.
    """
    wanted = designs(vary)
    for design in wanted[:1]:
        designed(chip, design)
    settings = dict(settings or {})
    mark = _mark(graph, chip, settings)
    done = _kept(kept, mark)
    ordered, chunk = in_turn(chip, vary)
    left = [design for design in ordered if _key(design) not in done]
    results = dict(done)
    if kept is not None:
        _end_line(kept)
    shared = graph, chip, settings
    streamed = (pool or LocalPool()).stream(_next, shared, left, chunk=chunk)
    for number, (_, figures) in enumerate(streamed, 1):
        results[_key({k: figures[k] for k in vary})] = figures
        if kept is not None:
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"of": mark, **figures}) + "\n")
        progress(len(wanted) - len(left) + number, len(wanted), "designs")
    return [results[_key(design)] for design in wanted]


def _key(design: Mapping[str, Value]) -> str:
    return json.dumps(dict(sorted(design.items())))


def _mark(graph: Graph, chip: Chip, settings: Mapping[str, Any]) -> str:
    """Digest of everything that a kept result depends on."""
    text = repr((graph.name, graph_digest(graph), asdict(chip), sorted(settings.items())))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _kept(path: Path | None, mark: str) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    if path is None or not path.exists():
        return rows
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # a line cut short by a crash
        if isinstance(row, dict) and row.pop("of", None) == mark:
            design = {name: value for name, value in row.items() if name not in _RESULTS}
            rows[_key(design)] = row
    return rows


def _end_line(path: Path) -> None:
    """End a line that was cut short, so that the next one is not lost with it."""
    if path.exists() and (text := path.read_bytes()) and not text.endswith(b"\n"):
        with path.open("ab") as file:
            file.write(b"\n")


def pareto(rows: Sequence[Mapping[str, Any]], by: Sequence[str]) -> np.ndarray:
    """Pareto-optimal rows: not dominated in all of the columns at once; bool[rows], False for
    failures.
    """
    good = np.array(["error" not in row for row in rows])
    values = np.array([[float(row.get(name, np.inf)) for name in by] for row in rows]).reshape(
        len(rows), len(by)
    )
    best = good.copy()
    for at in np.flatnonzero(good):
        no_worse = (values <= values[at]).all(axis=1) & good
        better = (values < values[at]).any(axis=1)
        best[at] = not (no_worse & better).any()
    return best
