"""Serving against logs and points that others measured, and its speed.

    python benchmarks/serving.py [--points 200] [--seed 0]

Needs the reference data (LYDITE_REFERENCE_DATA): LLMServingSim's vLLM logs and profiles,
AIConfigurator's serving points on H100 (a random sample of `--points`), Mooncake's trace.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from _figures import Figure, publish
from _serving_points import LLAMA, SIZES, Point, points, with_blocks

import lydite as ly
from lydite.errors import LyditeError
from lydite.hardware import find_device
from lydite.serving.messages import message_times

DATA = Path(os.environ.get("LYDITE_REFERENCE_DATA", Path(__file__).parents[2] / "shared" / "data"))
LOGS = {
    "RTX PRO 6000": ("RTXPRO6000", "rtx-pro-6000-server", {"max_num_seqs": 128}),
    "RTX 4090": ("RTX4090", "rtx-4090", {"max_num_seqs": 256, "kv_tokens": 41408}),
}
GOALS = {"calibrated": (0.04, 0.01, 0.018), "data sheet": (0.15, 0.07, 0.10)}
"""Goals of the means of TTFT, TPOT and latency; the first row is LLMServingSim's own errors."""


def llama(folder: Path) -> Path:
    hidden, inner, layers, heads = SIZES["meta-llama/Llama-3.1-8B-Instruct"]
    config = {**LLAMA, "hidden_size": hidden, "intermediate_size": inner}
    config |= {"num_hidden_layers": layers, "num_attention_heads": heads}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder / "config.json"


def against_logs(config: Path) -> list[Figure]:
    made: list[Figure] = []
    for gpu, (folder, device, options) in LOGS.items():
        base = DATA / "llmservingsim"
        log = with_blocks(
            base / "runs" / folder / "Llama-3.1-8B" / "requests.jsonl.gz",
            base / "workloads" / "sharegpt-llama-3.1-8b-300-sps10.jsonl.gz",
            config.parent / f"{folder}.jsonl",
        )
        profile = DATA / "llmservingsim" / "profile" / folder / "meta-llama" / "Llama-3.1-8B"
        for league, goals in GOALS.items():
            given: dict[str, Any] = {"on": device, "replay": log, **options}
            if league == "calibrated":
                given["profile"] = profile / "bf16" / "tp1"
            result = ly.serve(str(config), max_num_batched_tokens=2048, **given)
            replay = result.served["replay"]
            assert replay is not None
            for name, goal in zip(("ttft", "tpot", "latency"), goals, strict=True):
                row, about = replay["figures"][name], f"{gpu}, {league}: {name}"
                made.append(
                    Figure(f"{about}, mean", abs(row["error_mean"]), "share", goal, "lower")
                )
                made.append(Figure(f"{about}, p90", abs(row["error_p90"]), "share", None, "lower"))
            each = replay["figures"]["latency"]["median_request_error"]
            limit = 0.05 if league == "calibrated" else None
            name = f"{gpu}, {league}: latency of a request, median"
            made.append(Figure(name, each, "share", limit, "lower"))
    return made


def against_all_reduces() -> list[Figure]:
    """Runtimes' own all-reduces in CUDA graphs, up to 64 MB on 2, 4 and 8 devices."""
    from pyarrow import parquet

    made: list[Figure] = []
    boxes = {"h100_sxm": "nvidia-h100-sxm5-80gb", "a100_sxm": "nvidia-a100-sxm4-80gb"}
    for (folder, name), runtime in itertools.product(boxes.items(), ("vllm", "sglang", "trtllm")):
        errors = []
        tables = DATA / "aiconfigurator" / folder / "comm" / runtime
        times = {n: message_times(find_device(name), n, print) for n in (2, 4, 8)}
        for path in sorted(tables.glob("*/custom_allreduce_perf.parquet")):
            for row in parquet.read_table(path).to_pylist():
                size = 2.0 * row["message_size"]
                if row["num_gpus"] in times and "eager" not in (row.get("backend") or ""):
                    modelled = times[row["num_gpus"]]("AllReduce", size)
                    if size <= 64e6:
                        errors.append(abs(modelled / (row["latency"] * 1e-3) - 1))
        about = f"all-reduce of {runtime} on {name}"
        made.append(Figure(f"{about}, median", float(np.median(errors)), "share", None, "lower"))
        ninth = float(np.quantile(errors, 0.9))
        made.append(Figure(f"{about}, 90 % within", ninth, "share", None, "lower"))
    return made


def served(point: Point, session: ly.Session) -> tuple[float, float]:
    """Mean TTFT and TPOT of a point in seconds."""
    result = session.serve(
        str(point.model),
        on="h100",
        runtime=point.backend,
        tp=point.tp,
        ep=point.ep,
        **point.protocol,
    )
    figures = result.served["deployments"][0]["figures"]
    return figures["ttft_s"]["mean"], figures["tpot_s"]["mean"]


def against_points(folder: Path, count: int, seed: int) -> list[Figure]:
    every = list(points(DATA / "aiconfigurator", folder))
    chosen = np.random.default_rng(seed).permutation(len(every))[:count]
    rows: list[tuple[Point, float, float]] = []
    refused: dict[str, int] = defaultdict(int)
    with ly.Session(db=folder / "serving.db") as session:
        for number in sorted(chosen):
            point = every[number]
            try:
                rows.append((point, *served(point, session)))
            except LyditeError as error:
                refused[str(error)[:120]] += 1
    for text, times in refused.items():
        print(f"{times} points refused: {text}")
    tpot = np.array([played / point.tpot_s - 1 for point, _, played in rows])
    ttft = np.array([played / point.ttft_s - 1 for point, played, _ in rows])
    for key in ("backend", "tp"):
        for value in sorted({getattr(point, key) for point, _, _ in rows}):
            mine = np.array([getattr(point, key) == value for point, _, _ in rows])
            errors = [f"{np.median(np.abs(each[mine])):.1%}" for each in (tpot, ttft)]
            print(f"{key} {value}: {mine.sum()} points, TPOT and TTFT off by", *errors)
    return [
        Figure(
            f"points on H100 that are answered, of {count}",
            len(rows) / count,
            "share",
            0.95,
            "higher",
        ),
        Figure(
            "TPOT of these, median error", float(np.median(np.abs(tpot))), "share", 0.12, "lower"
        ),
        Figure(
            "TTFT of these, median error", float(np.median(np.abs(ttft))), "share", 0.25, "lower"
        ),
        Figure("pairs of equal GPUs ranked right", ranked(rows), "share", 0.9, "higher"),
    ]


def ranked(rows: list[tuple[Point, float, float]]) -> float:
    """Share of pairs of a workload, over 10 % apart in tokens/s a GPU, ranked as measured."""
    groups: dict[tuple[object, ...], list[tuple[float, float]]] = defaultdict(list)
    for point, _, tpot in rows:
        key = (point.model, point.isl, point.osl, point.tp)
        each = point.concurrency / point.tp
        groups[key].append((each / point.tpot_s, each / tpot))
    right, pairs = 0, 0
    for members in groups.values():
        for (a, a_played), (b, b_played) in itertools.combinations(members, 2):
            if max(a, b) > 1.1 * min(a, b):
                pairs += 1
                right += (a > b) == (a_played > b_played)
    return right / max(pairs, 1)


def speed(config: Path) -> list[Figure]:
    trace = DATA / "traces" / "mooncake_conversation.jsonl.gz"
    given: dict[str, Any] = {"on": "h100", "trace": trace, "replicas": 8}
    ly.serve(str(config), requests=50, **given)
    start = time.process_time()
    result = ly.serve(str(config), **given)
    spent = time.process_time() - start
    steps = result.served["deployments"][0]["steps"]
    start = time.process_time()
    ly.serve(str(config), kv_host="64GiB", **given)
    tiered = time.process_time() - start
    slo = "ttft.p99=2s,tpot.p90=50ms"
    begin = time.process_time()
    ly.serve(str(config), on="h100", rate=100.0, isl=1000, osl=200, slo=slo, find="gpus")
    search = time.process_time() - begin
    return [
        Figure("Mooncake's conversations on 8 replicas, CPU", spent, "s", 5.0, "lower"),
        Figure("the same with 64 GiB of host memory for blocks, CPU", tiered, "s", 5.0, "lower"),
        Figure(
            "steps a second of it, with reading and tables", steps / spent, "1/s", None, "higher"
        ),
        Figure("fewest GPUs for 100 requests/s, CPU", search, "s", 60.0, "lower"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if not DATA.is_dir():
        print(f"no reference data in {DATA}: set LYDITE_REFERENCE_DATA")
        sys.exit(0)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        config = llama(folder / "llama-3.1-8b")
        figures = [*against_logs(config), *against_all_reduces(), *speed(config)]
        figures += against_points(folder, arguments.points, arguments.seed)
    publish("serving", figures)


if __name__ == "__main__":
    main()
