"""Runs under LoadGen on a device that is here: engines first, then every run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from lydite.api.mlperf.benchmark import Target
from lydite.api.mlperf.options import RunOptions
from lydite.api.mlperf.scenario import ScenarioRun
from lydite.errors import InputError
from lydite.files import write_atomic
from lydite.mlperf import harness
from lydite.mlperf.child import Request
from lydite.mlperf.dataset import read
from lydite.mlperf.engine import EngineSpec, build, spec_of
from lydite.mlperf.evidence import Evidence, of_log
from lydite.mlperf.loadgen import DETAIL, Issue, check_memory, embedded_seeds, read_detail
from lydite.mlperf.settings import Settings
from lydite.mlperf.tree import ACCURACY, PERFORMANCE
from lydite.mlperf.verdict import judge
from lydite.units import format_seconds

if TYPE_CHECKING:
    from lydite.api.session import Session

VERDICT = "verdict.json"
_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
_PILOTS = {
    "SingleStream": "single_stream_expected_latency_ns",
    "MultiStream": "multi_stream_expected_latency_ns",
    "Offline": "offline_expected_qps",
}


def run_all(
    session: Session,
    target: Target,
    resolved: Sequence[tuple[str, Settings]],
    options: RunOptions,
    mode: str,
    device: str,
    folder: Path,
) -> tuple[str, list[ScenarioRun]]:
    """Build all engines, then make all runs; the device's name, and the runs.

    Raises:
        InputError: the round is not the one that LoadGen embeds, or a setting is missing.
    """
    from lydite.api.measuring import measured_device

    _check(target, resolved)
    specs = [engine_of(session, target, settings, device) for _, settings in resolved]
    runs = [
        _run(session, target, settings, spec, options, mode, _place(folder, target, name, mode))
        for (name, settings), spec in zip(resolved, specs, strict=True)
    ]
    return measured_device(device).name, runs


def _place(folder: Path, target: Target, scenario: str, mode: str) -> Path:
    """Folder of a scenario; an audit's is given."""
    return folder if mode == "audit" else folder / target.name / scenario


def _check(target: Target, resolved: Sequence[tuple[str, Settings]]) -> None:
    """Refuse what LoadGen cannot do before anything is built."""
    seeds = target.chosen.seeds
    if embedded_seeds() != (seeds.qsl, seeds.sample_index, seeds.schedule):
        raise InputError(
            f"the installed LoadGen does not embed the seeds of {target.chosen.name}",
            hint=f"pip install 'mlcommons-loadgen=={target.chosen.loadgen}.*', or --virtual",
        )
    for name, settings in resolved:
        if settings["tokens"]:
            raise InputError(f"{target.name} counts tokens", where=name, hint="--virtual")
        if settings.scenario == "Server":
            settings.needed("target_qps", "--target-qps")
            if settings["latency_limit_ms"] is None:
                raise InputError(
                    "no limit of the latency is given", where=name, hint="--latency-limit"
                )
    if not target.model:
        raise InputError(
            f"no model of the set is {target.name}", hint="give an .onnx file instead of the name"
        )


def engine_of(session: Session, target: Target, settings: Settings, device: str) -> EngineSpec:
    """The engine of these settings, built where it is not in the cache.

    Raises:
        InputError: an unknown precision.
    """
    dtype = _DTYPES.get(settings["precision"])
    if dtype is None:
        raise InputError(
            f"precision {settings['precision']} needs a calibration",
            allowed=", ".join(_DTYPES),
            hint="lydite mlperf calibrate",
        )

    def graph_of(size: int) -> Any:
        return session.load(target.model, batch=size, dtype=dtype).graph

    spec = spec_of(
        target.name,
        graph_of(1),
        settings["precision"],
        settings["backend"],
        device,
        settings.largest_batch,
    )
    build(spec, graph_of)
    return spec


def _run(
    session: Session,
    target: Target,
    settings: Settings,
    spec: EngineSpec,
    options: RunOptions,
    mode: str,
    folder: Path,
) -> ScenarioRun:
    logs = folder / (ACCURACY if mode == "accuracy" else PERFORMANCE)
    logs.mkdir(parents=True, exist_ok=True)
    for name in (DETAIL, VERDICT):  # of an earlier run, which must not look like this one's
        (logs / name).unlink(missing_ok=True)
    request = _request(session, target, settings, spec, options, mode, logs)
    least_s = settings["min_duration_ms"] / 1000
    with session.bar(f"{target.name} {settings.scenario}") as show:

        def progress(done: int, seconds: float, expected_s: float) -> None:
            total_s = max(1, round(max(least_s, expected_s)))
            takes = f", takes {format_seconds(expected_s)}" if expected_s else ""
            show(min(int(seconds), total_s), total_s, f"{done:,} samples{takes}")

        ended = harness.run(request, progress)
    errors = [ended.failure] if ended.failure else []
    stopped = ended.stopped
    limits = settings.limits()
    try:
        values, logged = read_detail(logs / DETAIL)
        found = of_log(values, [*errors, *logged], settings.scenario, limits)
    except InputError as error:
        stopped = stopped or ended.failure or error.what
        nothing: dict[float, int] = {}
        found = Evidence(
            settings.scenario,
            limits,
            ended.completed,
            ended.completed,
            0,
            0,
            nothing,
            (),
            ("", float("nan"), ""),
            tuple(errors),
        )
    verdict = judge(found, stopped)
    data = "drawn" if options.data is None else str(options.data)
    done = ScenarioRun(
        settings,
        verdict,
        found.queries,
        found.samples,
        found.duration_ns * 1e-9,
        "measured",
        spec.digest,
        data,
        "none: not measured with this engine",
        logs,
    )
    record = {
        "benchmark": target.name,
        "round": target.chosen.name,
        "engine": asdict(spec),
        "data": data,
        "verdict": verdict.word,
        "stopped": stopped,
        "settings": {name: asdict(s) for name, s in settings.values.items()},
        "loadgen": ended.values,
    }
    write_atomic(logs / VERDICT, json.dumps(record, indent=1, default=str) + "\n")
    return done


def _request(
    session: Session,
    target: Target,
    settings: Settings,
    spec: EngineSpec,
    options: RunOptions,
    mode: str,
    logs: Path,
) -> Request:
    values: dict[str, int | float | bool] = {
        "min_duration_ms": settings["min_duration_ms"],
        "min_query_count": settings["min_samples"]
        if settings.scenario == "Offline"
        else settings["min_queries"],
        "performance_sample_count_override": settings["samples"],
        "sample_concatenate_permutation": settings["equal_issue"],
    }
    memory = psutil.virtual_memory().available // 4
    pilot = _PILOTS.get(settings.scenario, "")
    if settings.scenario == "Server":
        values["server_target_qps"] = settings["target_qps"]
        values["server_target_latency_ns"] = round(settings["latency_limit_ms"] * 1e6)
        values["server_target_latency_percentile"] = settings["percentile"]
        check_memory(settings["target_qps"] * settings["min_duration_ms"] / 1000, memory)
    elif settings.scenario == "Offline" and settings["expected_qps"]:
        values[pilot], pilot = settings["expected_qps"], ""
    elif settings["expected_latency_ms"]:
        expected_ns = settings["expected_latency_ms"] * 1e6
        check_memory(2 * settings["min_duration_ms"] * 1e6 / expected_ns, memory)
        values[pilot], pilot = round(expected_ns), ""
    if settings.scenario == "MultiStream":
        values["multi_stream_samples_per_query"] = settings["samples_per_query"]
    total = settings["samples"] if options.data is None else read(options.data).samples
    batching = settings.batching
    return Request(
        str(spec.folder),
        "" if options.data is None else str(options.data),
        (max(settings["samples"], 1), session.seed),
        Issue(
            settings.scenario,
            "AccuracyOnly" if mode == "accuracy" else "PerformanceOnly",
            target.conf_name,
            total,
            settings["samples"],
            values,
            settings.audit,
        ),
        (batching.batch, batching.delay_ns, batching.workers),
        settings["threads"],
        "first",
        "" if mode == "accuracy" else pilot,
        str(logs),
        memory,
    )
