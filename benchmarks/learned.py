"""The learned estimator: errors on devices left out, NeuSight's measured models, and speed.

Reads NeuSight and AIConfigurator through LYDITE_REFERENCE_DATA. Whole models are those of
NeuSight's table that the model set has at the same dimensions, eager and in float32; the shipped
model has seen operators of these devices, but no whole model.
"""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from _figures import Figure, publish

import lydite as ly
from lydite.estimate.learned.estimator import Learned
from lydite.graph import Builder, key_of
from lydite.hardware import find_device

DATA = Path(os.environ.get("LYDITE_REFERENCE_DATA", "../shared/data"))
MODELS = {"bert_large": "bert-large", "gpt2_large": "gpt2-large", "opt_13": "opt-1.3b"}
DEVICES = {
    "NVIDIA_A100-PCIE-40GB": "nvidia-a100-pcie-40gb",
    "Tesla_P100-PCIE-16GB": "nvidia-p100-pcie-16gb",
    "Tesla_P4": "nvidia-p4",
    "Tesla_T4": "nvidia-t4",
    "Tesla_V100-PCIE-32GB": "nvidia-v100-pcie-32gb",
}
OPERATORS = 100_000


GOALS = {"product32": 0.18}
HOPPER = {"product16": 0.13, "attention_prefill": 0.11, "attention_decode": 0.15}
"""Goals for the H100, learned from A100 and L40S."""
RIVALS = ("physics", "constant", "nearest", "roofline")


def left_out() -> Iterator[Figure]:
    rows = ly.learn_evaluate(
        neusight=DATA / "neusight", aiconfigurator=DATA / "aiconfigurator"
    ).rows()
    for family in dict.fromkeys(row["family"] for row in rows):
        found = [row for row in rows if row["family"] == family]
        mean = {name: _mean(found, name) for name in ("mean", *RIVALS)}
        devices = {row["device"]: row["mean"] for row in found}
        sizes = {"by size, us < 20, 200, 2000, more": [row["by_size"] for row in found]}
        name = f"{family}: mean error, each device left out"
        rivals = {name: mean[name] for name in RIVALS}
        yield Figure(name, mean["mean"], "", GOALS.get(family), "lower", rivals | devices | sizes)
        for row in found:
            if row["device"].startswith("nvidia-h100") and family in HOPPER:
                name = f"{family}: mean error on the H100, from A100 and L40S"
                yield Figure(name, row["mean"], "", HOPPER[family], "lower")
        inside = {row["device"]: row["inside"] for row in found}
        name = f"{family}: inside the 90 % interval"
        yield Figure(name, _mean(found, "inside"), "", 0.87, "higher", inside)
        name = f"{family}: median high / low"
        yield Figure(name, _mean(found, "width"), "", 1.6, "lower")


def _mean(rows: list[Mapping[str, Any]], name: str) -> float:
    return float(np.mean([row[name] for row in rows]))


def fitting() -> Iterator[Figure]:
    with TemporaryDirectory() as folder:
        begin = time.process_time()
        ly.learn_fit(folder, neusight=DATA / "neusight", aiconfigurator=DATA / "aiconfigurator")
        spent = time.process_time() - begin
        paths = list(Path(folder).iterdir())
        size = sum(path.stat().st_size for path in paths)
        shipped = files("lydite.estimate.learned") / "shipped"
        same = all((shipped / path.name).read_bytes() == path.read_bytes() for path in paths)
    yield Figure("fitting all families", spent, "CPU s", 120.0, "lower")
    yield Figure("the model", size / 1e6, "MB", 5.0, "lower")
    yield Figure(
        "fitted again, the same bytes as the shipped model", float(same), "", 1.0, "higher"
    )


def models() -> Iterator[Figure]:
    errors: dict[str, list[float]] = {}
    rivals: list[float] = []
    inside: list[bool] = []
    widths: list[float] = []
    path = DATA / "neusight" / "derived_e2e_labels_and_predictions.csv"
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["option"] or row["mode"] not in ("inf", "train"):
                continue
            if row["device"] not in DEVICES or row["model"] not in MODELS:
                continue
            found = ly.predict(
                MODELS[row["model"]],
                on=DEVICES[row["device"]],
                dtype="float32",
                runtime="eager",
                batch=int(row["batch"]),
                sequence=int(row["seqlen"]),
                train=row["mode"] == "train",
                phase=None if row["model"] == "bert_large" else "forward",
            )
            label = float(row["label_e2e_ms"]) * 1e-3
            error = found.seconds / label - 1
            errors.setdefault(row["device"], []).append(abs(error))
            rivals.append(abs(float(row["neusight_e2e_ms"]) * 1e-3 / label - 1))
            inside.append(found.low_s <= label <= found.high_s)
            widths.append(found.high_s / found.low_s)
            print(f"{row['device']:24} {row['desc']:28} {error:+.1%}")
    every = [error for each in errors.values() for error in each]
    conditions = {name: float(np.mean(each)) for name, each in errors.items()}
    conditions["NeuSight on the same rows"] = float(np.mean(rivals))
    name = f"{len(every)} whole models"
    mean, covered = float(np.mean(every)), float(np.mean(inside))
    yield Figure(f"{name}: mean error", mean, "", 0.089, "lower", conditions)
    yield Figure(f"{name}: inside the 90 % interval", covered, "", 0.87, "higher")
    yield Figure(f"{name}: median high / low", float(np.median(widths)), "", 1.6, "lower")


def speed() -> Iterator[Figure]:
    g = Builder("net")
    x = g.op("MatMul", g.input("x", (64, 64)), g.weight((64, 64), "w"))
    graph = g.build(x)
    key = key_of(graph.ops[-1], graph)
    draw = np.random.default_rng(0)
    sizes = draw.integers(1, 8192, (OPERATORS, 3)).tolist()
    keys = []
    for m, n, k in sizes:
        left, right = key.inputs
        assert left.type is not None
        assert right.type is not None
        keys.append(
            replace(
                key,
                inputs=(
                    replace(left, type=replace(left.type, shape=(m, k))),
                    replace(right, type=replace(right.type, shape=(k, n))),
                ),
                outputs=(replace(left.type, shape=(m, n)),),
            )
        )
    h100 = find_device("h100")
    Learned().estimate(keys[:10], h100)
    begin = time.process_time()
    Learned().estimate(keys, h100)
    spent = time.process_time() - begin
    yield Figure("a million distinct products", spent / OPERATORS * 1e6, "CPU s", 5.0, "lower")
    loaded = ly.load("llama2-70b", phase="decode", batch=8, dtype="bfloat16")
    ly.predict(loaded, on="h100")
    begin = time.process_time()
    ly.predict(loaded, on="h100")
    yield Figure("Llama-70B whole", time.process_time() - begin, "CPU s", 0.2, "lower")


def main() -> None:
    publish("learned", [*left_out(), *fitting(), *models(), *speed()])


if __name__ == "__main__":
    main()
