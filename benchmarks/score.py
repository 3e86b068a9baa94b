"""The scorecard on this machine: repeatability, coverage of intervals, and time of the small set.

    python benchmarks/score.py [--runs 2] [--models resnet,mobilenetv2,...] [--minimum-time 12]

Runs the small set again and again; prints each score with its interval, the largest difference of
two runs, and in how many pairs the interval of one covers the other.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from _figures import Figure, publish

import lydite as ly


def run(folder: Path, number: int, arguments: argparse.Namespace, baseline: str | None) -> Path:
    out = folder / str(number)
    result = ly.score(
        size="small",
        models=arguments.models,
        minimum_time=arguments.minimum_time,
        if_busy="warn",
        baseline=baseline,
        check=number == 0,
        out=out,
        restart=True,
    )
    result.write(out)
    return out / "result.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--models", default="")
    parser.add_argument("--minimum-time", type=float, default=None)
    arguments = parser.parse_args()
    spans, scores = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        baseline: str | None = None
        for number in range(arguments.runs + 1):
            begin = time.perf_counter()
            file = run(folder, number, arguments, baseline)
            spans.append(time.perf_counter() - begin)
            if baseline is None:
                baseline = str(file)
                continue
            document = json.loads(file.read_text())
            latency = document["scores"]["equal"]["device"]["latency"]
            scores.append((latency["score"], latency["low"], latency["high"]))
            print(
                f"run {number}: {latency['score']:.1f} ({latency['low']:.1f} to "
                f"{latency['high']:.1f}), {spans[-1]:.0f} s, "
                f"beside {'; '.join(document['environment']['busy'][:2]) or 'nobody'}"
            )
    pairs = list(itertools.permutations(scores, 2))
    covered = float(np.mean([low <= other[0] <= high for (_, low, high), other in pairs]))
    widest = max(abs(one[0] / other[0] - 1) for one, other in pairs)
    publish(
        "score",
        [
            Figure("repeatability: largest difference of two runs", widest, "", 0.03, "lower"),
            Figure("pairs whose interval covers the other run", covered, "", 0.9, "higher"),
            Figure("the small set", float(np.median(spans)) / 60, "min", 10.0, "lower"),
        ],
    )


if __name__ == "__main__":
    main()
