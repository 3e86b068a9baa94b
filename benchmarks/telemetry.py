"""What telemetry costs, and how well it integrates.

    python benchmarks/telemetry.py

The slow-down is paired: blocks of a network take turns with a sampler at 10 Hz running and stopped
(by signals), and the figure is the median ratio of neighbours, less 1. Energies are of synthetic
traces, against the closed form of their power.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from _figures import Figure, publish

from lydite.backends import Settings, find_backend
from lydite.measure.telemetry import (
    DeviceTrace,
    SensorDevice,
    Trace,
    recording,
    window_energy,
)
from lydite.measure.telemetry.base import Cumulative
from lydite.models import build_model

ROUNDS = 150
BLOCK_S = 0.3
STARTS = 15
SAMPLER_S = 20.0
SURVEY = """
import time
start = time.process_time()
from lydite.measure.telemetry import survey, wanted_sensors
present, absent = survey(wanted_sensors(None))
print(1e3 * (time.process_time() - start))
"""
MEAN_W, SWING_W, PERIOD_S = 300.0, 150.0, 4.0
SPAN_J = 4096.0
"""Energy at which the synthetic counter starts again."""


def start_up() -> list[Figure]:
    """CPU time until all sensors are asked, in a fresh process; and time until the first sample."""
    asked = []
    for _ in range(STARTS):
        done = subprocess.run(
            [sys.executable, "-c", SURVEY], capture_output=True, text=True, check=True
        )
        asked.append(float(done.stdout))
    first = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(STARTS):
            start = time.perf_counter()
            with recording(Path(folder) / "t.jsonl"):
                first.append(1e3 * (time.perf_counter() - start))
    spread = {"starts": STARTS, "iqr_ms": np.percentile(asked, [25, 75]).round(1).tolist()}
    return [
        Figure(
            "start-up of all sensors, CPU time",
            float(np.median(asked)),
            "ms",
            50.0,
            "lower",
            spread,
        ),
        Figure("until the first sample is there", float(np.median(first)), "ms", None, "lower"),
    ]


def sampler_share() -> Figure:
    """CPU time of the sampling process at 10 Hz, its start left out."""
    with tempfile.TemporaryDirectory() as folder:
        with recording(Path(folder) / "t.jsonl", 0.1):
            (process,) = psutil.Process().children()
            before = process.cpu_times()
            time.sleep(SAMPLER_S)
            after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    return Figure("CPU of the sampler at 10 Hz", used / SAMPLER_S, "cores", 0.02, "lower")


def slow_down(name: str, threads: int) -> Figure:
    """Ratio of the latency with a sampler to that without, less 1."""
    model = find_backend("onnxruntime").prepare(build_model(name), Settings(threads=threads))
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        with recording(Path(folder) / "t.jsonl", 0.1):
            (sampler,) = psutil.Process().children()
            _seconds(model, BLOCK_S)
            for number in range(ROUNDS):
                taken = {}
                for sampled in (False, True) if number % 2 else (True, False):
                    (sampler.resume if sampled else sampler.suspend)()
                    taken[sampled] = _seconds(model, BLOCK_S)
                ratios.append(taken[True] / taken[False] - 1)
            sampler.resume()
    model.close()
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(ratios, (2000, len(ratios))), axis=1)
    spread = {
        "rounds": ROUNDS,
        "threads": threads,
        "interval_90": np.percentile(medians, [5, 95]).round(4).tolist(),
    }
    title = f"slow-down of {name} at 10 Hz, {threads} thread{'s' * (threads > 1)}"
    return Figure(title, float(np.median(ratios)), "share", 0.01, "lower", spread)


def _seconds(model, length_s: float) -> float:
    """Mean latency over a block."""
    samples = []
    end = time.perf_counter() + length_s
    while time.perf_counter() < end:
        start = time.perf_counter()
        model.run()
        samples.append(time.perf_counter() - start)
    return float(np.mean(samples))


def _joules(seconds: np.ndarray | float) -> np.ndarray | float:
    omega = 2 * np.pi / PERIOD_S
    return MEAN_W * seconds + SWING_W / omega * (1 - np.cos(omega * seconds))


def _trace(seconds: np.ndarray, **channels: np.ndarray) -> Trace:
    times = np.round(seconds * 1e9).astype(np.int64) + 10**12
    device = DeviceTrace(SensorDevice("x:0", "x"), "x", 0.1, times, channels)
    return Trace(0.1, {"x:0": device})


def energy_errors() -> list[Figure]:
    """Worst relative error over many windows of jittered samples, with gaps and wraps."""
    errors: dict[str, list[float]] = {"polled": [], "counter": [], "apart": []}
    for seed in range(200):
        rng = np.random.default_rng(seed)
        seconds = 0.1 * np.arange(600) + rng.uniform(0, 0.06, 600)
        gap = rng.uniform(10, 45)
        seconds = seconds[(seconds < gap) | (seconds > gap + 0.7)]
        start, end = sorted(rng.uniform(0.2, 59.5, 2))
        if end - start < 8.0:
            continue
        counter = Cumulative(SPAN_J)
        wrapped = [counter.add(float(_joules(s)) % SPAN_J, s) for s in seconds.tolist()]
        power = MEAN_W + SWING_W * np.sin(2 * np.pi * seconds / PERIOD_S)
        trace = _trace(seconds, power_w=power, energy_j=np.array(wrapped))
        window = int(start * 1e9) + 10**12, int(end * 1e9) + 10**12
        found = window_energy(trace, "x:0", *window)
        if found.counter_j is None or found.polled_j is None:
            continue
        exact = float(_joules(end) - _joules(start))
        errors["polled"].append(abs(found.polled_j / exact - 1))
        errors["counter"].append(abs(found.counter_j / exact - 1))
        errors["apart"].append(abs(found.polled_j / found.counter_j - 1))
    titles = {
        "polled": "largest error of polled energy",
        "counter": "largest error of the counter",
        "apart": "largest gap of polled and counter",
    }
    conditions = {"windows": len(errors["polled"]), "jitter": 0.6, "gap_s": 0.7, "span_j": SPAN_J}
    return [
        Figure(title, max(errors[name]), "share", 0.01, "lower", conditions)
        for name, title in titles.items()
    ]


def main() -> None:
    figures = [*start_up(), sampler_share(), *energy_errors()]
    figures += [slow_down("resnet18", threads) for threads in (1, 2)]
    publish("telemetry", figures)


if __name__ == "__main__":
    main()
