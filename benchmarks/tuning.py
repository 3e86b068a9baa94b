"""Tuned operators against ONNX Runtime's kernels as a net runs them, and races of tuners.

    python benchmarks/tuning.py            # an hour on a quiet machine
    python benchmarks/tuning.py --smoke    # a few trials of each, to see that all runs

Ratios are of CPU time on one thread, in turns: ours a call, ONNX Runtime's the slope of a chain of
copies with weights of their own, in the layout of the lowered graph. Trials stay in
`results/tuning.db` beside the figures, so that a run that was cut off goes on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from _figures import Figure, publish

from lydite import Session
from lydite.api.tune.compare import fill_table, problem_on
from lydite.backends import Settings, find_backend
from lydite.backends.lowered import lowered
from lydite.backends.tuned import Task, machine, spaces_for, task_of
from lydite.graph import keys_of
from lydite.hardware import local_device
from lydite.models import build_model
from lydite.store import Database
from lydite.tune import (
    Sizes,
    Trier,
    decide,
    problem_for,
    race,
    run_search,
    task_of_operator,
    tune_task,
)
from lydite.tune.tuners.own import Own

PRODUCTS = {
    "matmul 128x768x768": ("matmul", Sizes((128, 768), 768)),
    "matmul 128x3072x768": ("matmul", Sizes((128, 768), 3072)),
    "matmul 197x768x768": ("matmul", Sizes((197, 768), 768)),
    "gemv 1x1000x2048": ("matmul", Sizes((1, 2048), 1000)),
}
OTHERS = {
    "conv 3x3, 64x56x56": ("conv2d", Sizes((1, 64, 56, 56), 64), 0.5),
    "conv 3x3, 128x28x28": ("conv2d", Sizes((1, 128, 28, 28), 128), 0.5),
    "conv 1x1, 64 to 64 at 56": ("conv2d", Sizes((1, 64, 56, 56), 64, 1), 1.05),
    "depthwise 144x56x56": ("depthwise", Sizes((1, 144, 56, 56)), 1.35),
    "softmax 1536x128": ("softmax", Sizes((1536, 128)), 0.9),
}
ODD = {
    "product of primes": (Sizes((197, 769), 1009), Sizes((192, 768), 1008)),
    "product of 197 tokens": (Sizes((197, 768), 768), Sizes((192, 768), 768)),
    "one row of 1000": (Sizes((1, 2048), 1000), Sizes((1, 2048), 1024)),
}
NETS = ("resnet18", "mobilenetv2", "bert-base", "vit")
RACED = ("own", "xgb", "xgb-rank", "ga", "random", "gridsearch")


class Bench:
    """Tasks tuned once, however many figures use them."""

    def __init__(self, database: Database, trier: Trier, trials: int) -> None:
        self.database, self.trier, self.trials = database, trier, trials
        self.cpu_s: list[float] = []

    def ratio(self, task: Task) -> float:
        """After / before of the paired run; a schedule that is not better is still reported."""
        done = tune_task(task, self.trier, self.database, trials=self.trials)
        decision = done.decision
        assert decision and decision.seconds and decision.reference_s
        return decision.seconds / decision.reference_s

    def trial_cpu_s(self, task: Task, count: int) -> None:
        """CPU time of trials in the worker, which runs nothing else."""
        problem = problem_for(task, self.trier.here)
        for config in problem.configs[:: max(1, len(problem.configs) // count)][:count]:
            self.trier.attempt(task, config)
            process = self.trier.process()
            before = sum(process.cpu_times()[:2])
            self.trier.attempt(task, config)
            self.cpu_s.append(sum(self.trier.process().cpu_times()[:2]) - before)


def operators(bench: Bench) -> list[Figure]:
    given = {"trials": bench.trials}
    ratios = {name: bench.ratio(task_of_operator(*where)) for name, where in PRODUCTS.items()}
    mean = float(np.exp(np.mean(np.log(list(ratios.values())))))
    figures = [Figure(name, r, "ratio", 0.98, "lower", given) for name, r in ratios.items()]
    figures.append(Figure("products, geometric mean", mean, "ratio", 0.9, "lower", given))
    for name, (kind, sizes, goal) in OTHERS.items():
        value = bench.ratio(task_of_operator(kind, sizes))
        figures.append(Figure(name, value, "ratio", goal, "lower", given))
    return figures


def direct(bench: Bench) -> list[Figure]:
    """3x3 without Winograd: the direct space alone."""
    figures: list[Figure] = []
    for name in ("conv 3x3, 64x56x56", "conv 3x3, 128x28x28"):
        task = task_of_operator(*OTHERS[name][:2])
        whole = problem_for(task, bench.trier.here)
        numbers = [i for i, c in enumerate(whole.configs) if c.space == "conv-direct"]
        problem = problem_on(whole, numbers, [])
        outcomes = run_search(problem, Own(problem, 0), bench.trier.attempt, bench.trials)
        timed = {n: o.seconds for n, o in outcomes.items() if o.seconds is not None}
        row = decide(task, problem.configs[min(timed, key=lambda n: timed[n])], bench.trier)
        value = (row.seconds or 0.0) / (row.reference_s or 1.0)
        figures.append(Figure(f"{name}, direct", value, "ratio", 1.08, "lower"))
    return figures


def tasks_of_nets() -> list[tuple[Task, float]]:
    """Tasks of four nets with their FLOPs in the net, which stand for time."""
    backend, found = find_backend("onnxruntime"), dict[str, tuple[Task, float]]()
    for name in NETS:
        graph = lowered(backend, build_model(name), Settings())
        for key in keys_of(graph).values():
            task = task_of(key)
            if task is not None and spaces_for(task, machine()):
                before = found.get(key.digest, (task, 0.0))[1]
                found[key.digest] = task, before + task.flops
    return list(found.values())


def drawn(bench: Bench, count: int) -> list[Figure]:
    """Operators of four nets, drawn with a fixed seed, weighted by their work."""
    pool = tasks_of_nets()
    weights = np.array([work for _, work in pool])
    random = np.random.default_rng(2026)
    picks = random.choice(len(pool), count, replace=False, p=weights / weights.sum())
    ratios = [bench.ratio(pool[i][0]) for i in picks]
    mean = float(np.exp(np.mean(np.log(ratios))))
    given = {"ratios": [round(r, 3) for r in ratios], "trials": bench.trials}
    return [Figure(f"{count} operators of four nets", mean, "ratio", 0.85, "lower", given)]


def odd_sizes(bench: Bench) -> list[Figure]:
    """Time per FLOP of sizes that nothing divides, over that of the neighbour."""
    figures: list[Figure] = []
    for name, pair in ODD.items():
        tasks = [task_of_operator("matmul", sizes) for sizes in pair]
        seconds = []
        for task in tasks:
            decision = tune_task(task, bench.trier, bench.database, trials=bench.trials).decision
            assert decision and decision.seconds
            seconds.append(decision.seconds / task.flops)
        figures.append(Figure(name, seconds[0] / seconds[1], "ratio", 1.1, "lower"))
    return figures


def whole(trials: int, path: Path) -> list[Figure]:
    with Session(db=path) as session:
        result = session.tune("resnet18", ops="all", trials=trials)
    row = result.facts["whole"]
    if row is None:
        return []
    given = {"low": row["ratio_low"], "high": row["ratio_high"], "trials": trials}
    return [
        Figure("resnet18, whole", row["ratio"], "ratio", 0.8, "lower", given),
        Figure("resnet18, outputs", row["disagreement"], "share", 1e-3, "lower"),
    ]


def races(bench: Bench, table: int, seeds: int) -> list[Figure]:
    """Trials until within 2 % of the table's best, by tuner: medians over operators and seeds."""
    counts: dict[str, list[float]] = {name: [] for name in RACED}
    for kind, sizes in (PRODUCTS["matmul 128x768x768"], OTHERS["conv 3x3, 64x56x56"][:2]):
        problem = problem_for(task_of_operator(kind, sizes), bench.trier.here)
        measured, _ = fill_table(problem, bench.trier, bench.database, table, 0, lambda *_: None)
        narrowed = problem_on(problem, list(measured), [])
        for row in race(narrowed, list(measured.values()), RACED, seeds, table):
            counts[row.tuner].append(table if row.trials[1] is None else row.trials[1])
    medians = {name: float(np.median(values)) for name, values in counts.items()}
    best = min(value for name, value in medians.items() if name != "own")
    given = {"table": table, "seeds": seeds, "medians": medians}
    return [
        Figure("trials of own to 2 %, cold", medians["own"], "trials", best / 2, "lower", given)
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--smoke", action="store_true", help="few trials of everything")
    parser.add_argument("--trials", type=int, default=60)
    wanted = parser.parse_args()
    trials = 4 if wanted.smoke else wanted.trials
    name = "tuning-smoke" if wanted.smoke else "tuning"
    path = Path(__file__).parent / "results" / f"{name}.db"
    began = time.monotonic()
    with (
        Database.open(path) as database,
        Trier(machine(), local_device().name) as trier,
    ):
        bench = Bench(database, trier, trials)
        figures = [*operators(bench), *direct(bench), *odd_sizes(bench)]
        figures += drawn(bench, 2 if wanted.smoke else 10)
        for kind, sizes in (PRODUCTS["matmul 128x768x768"], OTHERS["conv 3x3, 64x56x56"][:2]):
            bench.trial_cpu_s(task_of_operator(kind, sizes), 2 if wanted.smoke else 20)
        median = float(np.median(bench.cpu_s))
        figures.append(Figure("CPU time a trial, median", median, "s", 0.4, "lower"))
        figures += races(bench, 12 if wanted.smoke else 300, 1 if wanted.smoke else 5)
    figures += whole(trials, path)
    print(f"{time.monotonic() - began:.0f} s")
    if wanted.smoke:
        for item in figures:
            print(f"{item.figure:<34} {item.value:.3f} {item.unit}")
    else:
        publish(name, figures)


if __name__ == "__main__":
    main()
