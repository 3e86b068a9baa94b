"""Side by side on pinned workers against ONNX Runtime's own choices, for ten nets.

    python benchmarks/corun.py [NAME ...] [--budget SECONDS]

Wall time on pinned cores, all ways interleaved round by round; on a machine that
others share the figures are worthless (`nice -n -10` helps a little).
"""

from __future__ import annotations

import argparse

import numpy as np
from _figures import Figure, publish

from lydite.measure import TimingPlan
from lydite.models import build_model
from lydite.parallel import Corun, corun

NETS = (
    "nasnet-mobile",
    "inceptionv3",
    "resnet18",
    "resnet50",
    "mobilenetv2",
    "vgg16",
    "alexnet",
    "bert-base",
    "clip-image",
    "unet",
)
GOALS = {"nasnet-mobile": 0.65, "inceptionv3": 0.56}


def ratio(run: Corun, way: str, to: str) -> float:
    """Median over the rounds of one way's time over another's."""
    return float(np.median(run.way(way).samples_s / run.way(to).samples_s))


def figures_of(name: str, run: Corun) -> list[Figure]:
    better = min(("sequential", "threads"), key=lambda way: run.way(way).seconds)
    staged = run.way("staged")
    predicted = staged.predicted_s or 0.0
    shown = {
        "chosen": run.chosen,
        "ratios": {way.name: round(ratio(run, way.name, "sequential"), 4) for way in run.ways},
        "stages": len(run.stages),
        "ways": {w: sum(s.way == w for s in run.stages) for w in ("one", "side", "wide")},
        "handoff_s": run.costs.handoff_s,
        "equal": run.equal,
        "warnings": list(run.warnings),
    }
    return [
        Figure(
            f"{name}: choice over sequential",
            ratio(run, run.chosen, "sequential"),
            "ratio",
            GOALS.get(name),
            "lower",
            shown,
        ),
        Figure(
            f"{name}: choice over the better of ONNX Runtime's",
            ratio(run, run.chosen, better),
            "ratio",
            1.02,
            "lower",
        ),
        Figure(
            f"{name}: error of the predicted time",
            abs(predicted / staged.seconds - 1),
            "share",
            0.15,
            "lower",
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=NETS)
    parser.add_argument("--budget", type=float, default=12.0)
    asked = parser.parse_args()
    figures: list[Figure] = []
    equal = True
    for name in asked.names:
        graph = build_model(name)
        run = corun(graph, plan=TimingPlan(rounds=25, budget_s=asked.budget))
        equal &= run.equal
        figures += figures_of(name, run)
    figures.append(Figure("outputs bit for bit equal", float(equal), "", 1.0, "higher"))
    publish("corun", figures)


if __name__ == "__main__":
    main()
