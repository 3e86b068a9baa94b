"""Importing what others published: rows per second, memory, and what lies between imported rows.

Reads AIConfigurator, NeuSight, Vidur and Frontier through LYDITE_REFERENCE_DATA.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from _figures import Figure, publish

import lydite as ly
from lydite.estimate.imported import Imported, Shapes, shapes_of, split_sizes
from lydite.hardware import Device, find_device
from lydite.opkey import OpKey
from lydite.store import Database

DATA = Path(os.environ.get("LYDITE_REFERENCE_DATA", "../shared/data"))
LAYOUTS = ("aiconfigurator", "neusight", "vidur", "frontier")
ASKED = (("h100", "vllm"), ("l40s", "trtllm"), ("a100-80", "sglang"))
TYPES = (("MatMul", ""), ("Attention", ""), ("MoE", "com.microsoft"))
_MILLION, _LEFT_OUT = 1e6, 200


def measured(layout: str, database: Path, answer: Connection) -> None:
    """Import one folder in a process of its own, so that its memory is its own."""
    start, cpu = time.perf_counter(), time.process_time()
    with ly.Session(db=str(database)) as session:
        counts = session.db_import(DATA / layout, layout).document()
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    answer.send((time.perf_counter() - start, time.process_time() - cpu, used, counts))


def import_figures(database: Path) -> list[Figure]:
    figures: list[Figure] = []
    context = multiprocessing.get_context("spawn")
    for layout in [*LAYOUTS, LAYOUTS[0]]:
        ours, theirs = context.Pipe()
        worker = context.Process(target=measured, args=(layout, database, theirs))
        worker.start()
        theirs.close()
        wall_s, cpu_s, used, counts = ours.recv()
        worker.join()
        read = sum(counts["read"].values())
        left_out = sum(row["rows"] for row in counts["left_out"])
        again = not counts["added"]["measurements"]
        name = f"{layout}{', again' if again else ''}"
        told = {
            "rows_read": read,
            "new": counts["added"]["measurements"],
            "duplicates": counts["duplicates"],
            "known_before": counts["known"],
            "left_out": left_out,
            "wall_s": wall_s,
        }
        large = layout == LAYOUTS[0]
        figures += [
            Figure(
                f"{name}: a million rows",
                cpu_s * _MILLION / read,
                "CPU s",
                60.0 if large else None,
                "lower",
                told,
            ),
            Figure(f"{name}: memory", used / 1e6, "MB", 1000.0 if large else None, "lower", told),
        ]
    size = database.stat().st_size / 1e6
    return [*figures, Figure("size of the database", size, "MB", None, "lower")]


def prediction_figures(database: Path) -> list[Figure]:
    """How long a prediction takes that looks up and interpolates, and what it knows."""
    figures: list[Figure] = []
    with ly.Session(db=str(database)) as session:
        session.predict("gpt2", on="t4")
        for device, runtime in ASKED:
            start = time.process_time()
            told = session.predict(
                "llama3-8b", on=device, runtime=runtime, phase="decode", batch=16
            )
            took = time.process_time() - start
            known = sum(told.coverage.time_share(name) for name in ("measured", "interpolated"))
            about = {"model": "llama3-8b", "phase": "decode", "batch": 16, "runtime": runtime}
            figures += [
                Figure(f"predict on {device}, {runtime}", took, "CPU s", 3.0, "lower", about),
                Figure(f"share of time known on {device}", known, "share", 0.8, "higher", about),
            ]
    return figures


def interpolation_figures(path: Path) -> list[Figure]:
    """Errors of rows that are left out, 200 of each type of operator."""
    figures: list[Figure] = []
    draw = np.random.default_rng(0)
    with Database.open(path, read_only=True) as database:
        for name, software in ASKED:
            device = find_device(name)
            for op_type, domain in TYPES:
                rows = Imported([database], software).rows(device, domain, op_type)
                found = _left_out(rows, device, draw)
                if not len(found):
                    continue
                error, inside, width = found.T
                about = {"rows": len(rows), "left_out": len(found), "software": software}
                label = f"{op_type} between rows on {name}"
                figures += [
                    Figure(
                        f"{label}: mean error", float(error.mean()), "share", 0.2, "lower", about
                    ),
                    Figure(
                        f"{label}: in 90 %", float(inside.mean()), "share", None, "higher", about
                    ),
                    Figure(
                        f"{label}: high/low", float(np.median(width)), "x", None, "lower", about
                    ),
                ]
    return figures


def _left_out(
    rows: Sequence[tuple[str, float]], device: Device, draw: np.random.Generator
) -> np.ndarray:
    """Error, whether it lies in the interval, and the interval's width, of some rows."""
    if len(rows) < 2 * _LEFT_OUT:
        return np.empty((0, 3))
    out = set(draw.choice(len(rows), _LEFT_OUT, replace=False).tolist())
    rest = [row for at, row in enumerate(rows) if at not in out]
    tables: dict[str, Shapes | None] = {}
    found: list[tuple[float, bool, float]] = []
    for at in sorted(out):
        text, seconds = rows[at]
        shape, sizes = split_sizes(text)
        if shape not in tables:
            tables[shape] = shapes_of(rest, shape, device)
        table = tables[shape]
        made = table.estimate(OpKey.parse(text), sizes, "") if table is not None else None
        if made is not None:
            inside = made.low <= seconds <= made.high
            found.append((abs(made.seconds / seconds - 1), inside, made.high / made.low))
    return np.array(found, float).reshape(-1, 3)


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        database = Path(scratch) / "imported.db"
        figures = import_figures(database)
        figures += prediction_figures(database)
        figures += interpolation_figures(database)
    publish("importing", figures)


if __name__ == "__main__":
    main()
