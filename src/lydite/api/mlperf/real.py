"""Runs under LoadGen on a device that is here: engines first, then every run."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from lydite.api.mlperf.accuracy import UNKNOWN, answer_of, metric_of, quality_of, verdict_of
from lydite.api.mlperf.benchmark import Target, data_of
from lydite.api.mlperf.engines import engine_of
from lydite.api.mlperf.options import RunOptions
from lydite.api.mlperf.scenario import ScenarioRun
from lydite.errors import InputError
from lydite.files import write_atomic
from lydite.graph import read_onnx
from lydite.mlperf import harness
from lydite.mlperf.accuracy import known
from lydite.mlperf.child import Request
from lydite.mlperf.dataset import DataSet, drawn
from lydite.mlperf.engine import EngineSpec, output_type
from lydite.mlperf.evidence import LATENCY_PERCENTILES, Evidence, of_log
from lydite.mlperf.loadgen import DETAIL, Issue, check_memory, embedded_seeds, read_detail
from lydite.mlperf.settings import Settings
from lydite.mlperf.tree import ACCURACY, PERFORMANCE
from lydite.mlperf.verdict import judge
from lydite.units import format_seconds

if TYPE_CHECKING:
    from lydite.api.session import Session

VERDICT = "verdict.json"
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
    for _, settings in resolved:
        _check_data(target, settings, options, mode)
    specs = [engine_of(session, target, settings, device, options)[0] for _, settings in resolved]
    places = [_place(folder, target, name, mode) for name, _ in resolved]
    runs = [
        _run(session, target, settings, spec, options, mode, device, place)
        for (_, settings), spec, place in zip(resolved, specs, places, strict=True)
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
            if settings["percentile"] not in LATENCY_PERCENTILES:
                raise InputError(
                    f"LoadGen reports no percentile {settings['percentile'] * 100:g}",
                    where=name,
                    allowed=", ".join(f"{share * 100:g}" for share in LATENCY_PERCENTILES),
                )
            if settings["latency_limit_ms"] is None:
                raise InputError(
                    "no limit of the latency is given", where=name, hint="--latency-limit"
                )
    if not target.model:
        raise InputError(
            f"no model of the set is {target.name}", hint="give an .onnx file instead of the name"
        )


def _check_data(target: Target, settings: Settings, options: RunOptions, mode: str) -> None:
    """Refuse a data set that is damaged, short, or has no metric, before anything is built."""
    data = data_of(options, verify=True)
    total = settings["total_samples"] or settings["samples"]
    if data is None:
        if mode == "accuracy" and target.row is not None:
            raise InputError(
                f"the accuracy of {target.name} needs its data set",
                allowed=f"{total:,} samples",
                hint="--data FOLDER (lydite mlperf preprocess)",
            )
        return
    if target.row is not None and data.samples != total:
        raise InputError(
            f"has {data.samples:,} samples, and {target.name} has {total:,}",
            where=str(options.data),
            hint="prepare the whole set, or run the model's file as one of your own",
        )
    if data.samples < settings["samples"]:
        raise InputError(
            f"has {data.samples:,} samples", where=str(options.data), allowed="--samples or more"
        )
    if mode == "accuracy":
        metric_of(target, data)


def _data(settings: Settings, spec: EngineSpec, options: RunOptions, seed: int) -> DataSet:
    """The data set of a run; without one, the samples that are drawn for it."""
    data = data_of(options)
    if data is not None:
        return data
    return drawn(read_onnx(spec.path(spec.sizes[0])), max(settings["samples"], 1), seed)


def _run(
    session: Session,
    target: Target,
    settings: Settings,
    spec: EngineSpec,
    options: RunOptions,
    mode: str,
    device: str,
    folder: Path,
) -> ScenarioRun:
    logs = folder / (ACCURACY if mode == "accuracy" else PERFORMANCE)
    logs.mkdir(parents=True, exist_ok=True)
    for name in (DETAIL, VERDICT):  # of an earlier run, which must not look like this one's
        (logs / name).unlink(missing_ok=True)
    data = _data(settings, spec, options, session.seed)
    request = _request(session, target, settings, spec, options, mode, logs, data)
    least_s = settings["min_duration_ms"] / 1000
    with session.bar(f"{target.name} {settings.scenario}") as show:

        def progress(done: int, seconds: float, expected_s: float) -> None:
            total_s = max(1, round(max(least_s, expected_s)))
            takes = f", takes {format_seconds(expected_s)}" if expected_s else ""
            show(min(int(seconds), total_s), total_s, f"{done:,} samples{takes}")

        ended = harness.run(request, progress)
    found, stopped = _evidence(ended, settings, mode, logs)
    quality = known(spec.digest, data.digest)
    verdict = judge(found, stopped)
    if mode == "accuracy" and not stopped:
        quality = quality_of(session, target, settings, spec, options, device, data, logs)
        verdict = verdict_of(quality, target)
    used = f"{data.name} {data.digest}"
    done = ScenarioRun(
        settings,
        verdict,
        found.queries,
        found.samples,
        found.duration_ns * 1e-9,
        "measured",
        spec.digest,
        used,
        UNKNOWN if quality is None else quality.text,
        logs,
        quality,
    )
    record = {
        "benchmark": target.name,
        "round": target.chosen.name,
        "engine": asdict(spec),
        "data": used,
        "accuracy": done.accuracy,
        "quality": None if quality is None else asdict(quality),
        "verdict": verdict.word,
        "stopped": stopped,
        "settings": {name: asdict(s) for name, s in settings.values.items()},
        "loadgen": ended.values,
    }
    write_atomic(logs / VERDICT, json.dumps(record, indent=1, default=str) + "\n")
    return done


def _evidence(
    ended: harness.Ended, settings: Settings, mode: str, logs: Path
) -> tuple[Evidence, str]:
    """Figures of a run, and why it has none; an accuracy run has no figures but its counts."""
    failed = (ended.failure,) if ended.failure else ()
    limits, stopped = settings.limits(), ended.stopped
    try:
        values, logged = read_detail(logs / DETAIL)
        if mode != "accuracy":
            return of_log(values, [*failed, *logged], settings.scenario, limits), stopped
    except InputError as error:
        stopped = stopped or ended.failure or error.what
    else:
        stopped = stopped or next(iter((*failed, *logged)), "")
    nothing: dict[float, int] = {}
    count = ended.completed
    bare = Evidence(
        settings.scenario, limits, count, count, 0, 0, nothing, (), ("", math.nan, ""), failed
    )
    return bare, stopped


def _answer(target: Target, data: DataSet, spec: EngineSpec) -> str:
    """What the engine says: the same in every mode, so that audits can compare the runs."""
    try:
        metric = metric_of(target, data)
    except InputError:  # which an accuracy run refuses before it begins
        return "first"
    return answer_of(metric, output_type(spec))


def _request(
    session: Session,
    target: Target,
    settings: Settings,
    spec: EngineSpec,
    options: RunOptions,
    mode: str,
    logs: Path,
    data: DataSet,
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
    batching = settings.batching
    return Request(
        str(spec.folder),
        "" if options.data is None else str(options.data),
        (max(settings["samples"], 1), session.seed),
        Issue(
            settings.scenario,
            "AccuracyOnly" if mode == "accuracy" else "PerformanceOnly",
            target.conf_name,
            data.samples,
            settings["samples"],
            values,
            settings.audit,
        ),
        (batching.batch, batching.delay_ns, batching.workers),
        settings["threads"],
        _answer(target, data, spec),
        "" if mode == "accuracy" else pilot,
        str(logs),
        memory,
    )
