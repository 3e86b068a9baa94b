"""Attention of decoding sequences to a KV cache in FP8, against one in 16 bits, as published.

    python benchmarks/kv_dtype.py

Computes the ratios that `serve --kv-dtype fp8` takes for each runtime from AIConfigurator's rows on
an H100, and by how much the ratios of all pairs of rows differ from those taken. Needs the
reference data (LYDITE_REFERENCE_DATA).
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from _figures import Figure, publish

from lydite.api.serving.caches import RATIOS, ratios_at

DATA = Path(os.environ.get("LYDITE_REFERENCE_DATA", Path(__file__).parents[2] / "shared" / "data"))
SHAPE = ("batch_size", "isl", "step", "num_heads", "num_key_value_heads", "head_dim", "window_size")
SHORT_S, LONG_S = (7e-6, 14e-6), (250e-6, 500e-6)


def pairs(runtime: str) -> np.ndarray:
    """Seconds with 16 bits, and with FP8, of each shape that has both: [pairs, 2]."""
    from pyarrow import parquet

    tables = DATA / "aiconfigurator" / "h100_sxm" / "attention" / runtime
    times: dict[tuple[object, ...], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(tables.glob("*/generation_attention_perf.parquet")):
        for row in parquet.read_table(path).to_pylist():
            narrow = "fp8" if str(row["kv_cache_dtype"]).startswith("fp8") else "16"
            times[tuple(row.get(name) for name in SHAPE)][narrow].append(row["latency"] * 1e-3)
    both = (known for known in times.values() if len(known) == 2)
    return np.array([[np.median(known["16"]), np.median(known["fp8"])] for known in both])


def figures(runtime: str) -> list[Figure]:
    wide, narrow = pairs(runtime).T
    ratios = narrow / wide
    about = f"attention over a cache in FP8, {runtime} on an H100"
    made = []
    taken = zip(("short", "long"), (SHORT_S, LONG_S), RATIOS[runtime], strict=True)
    for word, (low, high), value in taken:
        chosen = ratios[(wide >= low) & (wide <= high)]
        held = {"pairs": len(chosen), "taken": value}
        median = float(np.median(chosen))
        made.append(Figure(f"{about}: {word} kernels", median, "ratio", None, "lower", held))
        off = abs(value / median - 1)
        made.append(Figure(f"{about}: {word}, taken is off by", off, "share", 0.05, "lower"))
    errors = np.abs(ratios_at(runtime, wide) / ratios - 1)
    made.append(
        Figure(f"{about}: every pair, median", float(np.median(errors)), "share", None, "lower")
    )
    ninth = float(np.quantile(errors, 0.9))
    made.append(Figure(f"{about}: every pair, 90 % within", ninth, "share", None, "lower"))
    return made


def main() -> None:
    if not DATA.is_dir():
        print(f"no reference data in {DATA}: set LYDITE_REFERENCE_DATA")
        sys.exit(0)
    publish("kv_dtype", [figure for runtime in RATIOS for figure in figures(runtime)])


if __name__ == "__main__":
    main()
