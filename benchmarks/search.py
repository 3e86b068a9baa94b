"""Plan searches against playing every plan: whether the best is found, and how near guesses are.

python benchmarks/search.py
"""

from __future__ import annotations

import numpy as np
from _figures import Figure, publish

from lydite.cluster.search import search
from lydite.estimate.roofline import Roofline
from lydite.graph import Graph
from lydite.hardware.cluster import read_cluster
from lydite.models import build_model

CASES = (
    ("gpt2", "dgx-a100", 16),
    ("gpt2-large", "dgx-h100", 32),
    ("gpt2-xl", "dgx-a100 x 2", 64),
    ("gpt3-6.7b", "dgx-h100 x 2", 64),
)
SEQUENCE = 512


def figures(name: str, cluster: str, batch: int) -> list[Figure]:
    """The figures of one case."""

    def build(micro_batch: int, *_: int) -> Graph:
        return build_model(
            name, batch=micro_batch, sequence=SEQUENCE, phase="forward", dtype="bfloat16"
        )

    few, every = (
        search(build, read_cluster(cluster), batch, Roofline(), keep=keep) for keep in (10, 10**9)
    )
    ratios = np.array([r.seconds / every.guessed[r.plan] for r in every.best])
    ranked = sorted(every.guessed.values())
    rank = ranked.index(every.guessed[every.best[0].plan])
    at = {"plans": every.considered, "played": len(every.best), "rank_of_the_best": rank + 1}
    what = f"{name} on {cluster}"
    best = few.best[0].seconds / every.best[0].seconds
    return [
        Figure(f"{what}: best of the search over the best of all", best, "", 1.0, "lower", at),
        Figure(f"{what}: played over guessed, median", float(np.median(ratios)), "", None, "lower"),
        Figure(f"{what}: played over guessed, least", float(ratios.min()), "", None, "higher"),
        Figure(f"{what}: played over guessed, most", float(ratios.max()), "", None, "lower"),
    ]


if __name__ == "__main__":
    publish("search", [each for case in CASES for each in figures(*case)])
