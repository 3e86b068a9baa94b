"""Runs under LoadGen on a device that is here: engines first, then every run."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lydite.api.mlperf.accuracy import (
    UNKNOWN,
    metric_of,
    quality_of,
    quality_of_tokens,
    verdict_of,
)
from lydite.api.mlperf.benchmark import data_of
from lydite.api.mlperf.request import foretold, request_of
from lydite.api.mlperf.scenario import Job, ScenarioRun
from lydite.api.mlperf.system import System, system_of, token_type
from lydite.errors import InputError, LyditeError
from lydite.files import write_atomic
from lydite.mlperf import harness
from lydite.mlperf.accuracy import Quality, known
from lydite.mlperf.dataset import DataSet
from lydite.mlperf.evidence import LATENCY_PERCENTILES, Evidence, of_log
from lydite.mlperf.forecast import Forecast
from lydite.mlperf.loadgen import DETAIL, embedded_seeds, read_detail
from lydite.mlperf.record import Tokens
from lydite.mlperf.submission import SIMULATED, VERDICT
from lydite.mlperf.tokens import TOKENS, TokenService
from lydite.mlperf.tree import ACCURACY, PERFORMANCE
from lydite.mlperf.verdict import judge
from lydite.units import format_seconds

if TYPE_CHECKING:
    from lydite.api.session import Session


def run_all(
    session: Session,
    jobs: Sequence[Job],
    device: str,
    folder: Path,
    table: TokenService | None = None,
) -> tuple[str, list[ScenarioRun]]:
    """Build all engines, then make all runs; the device's name, and the runs.

    Args:
        session: Session.
        jobs: Runs to make.
        device: Device of the engines: "cpu" or "cuda".
        folder: Folder of the logs; an audit's own.
        table: Times of tokens to sleep, instead of an engine.

    Raises:
        InputError: the round is not the one that LoadGen embeds, or a setting is missing.
    """
    from lydite.api.measuring import measured_device

    for job in jobs:
        _check(job, table)
        _check_data(job, table)
    systems = [system_of(session, job, device, table) for job in jobs]
    runs: list[ScenarioRun] = []
    for job, system in zip(jobs, systems, strict=True):
        try:
            runs.append(_run(session, job, system, device, _place(folder, job)))
        except LyditeError as error:
            if not runs:
                raise
            runs.append(_stopped(job, system, _place(folder, job), error))
    if table is not None:
        return "stated times", runs
    kinds = systems[0].devices
    name = measured_device(kinds[0].partition(":")[0] if kinds else device).name
    return f"{len(kinds)} x {name}" if len(kinds) > 1 else name, runs


def _stopped(job: Job, system: System, folder: Path, error: LyditeError) -> ScenarioRun:
    """A run that was refused after others had been made, which are not to be lost with it."""
    nothing: dict[float, int] = {}
    scenario, limits = job.settings.scenario, job.settings.limits()
    bare = Evidence(scenario, limits, 0, 0, 0, 0, nothing, (), ("", math.nan, ""))
    verdict = judge(bare, str(error))
    target, told = job.target, (system.told, system.name)
    return ScenarioRun(
        target, job.settings, verdict, 0, 0, 0.0, *told, "none", UNKNOWN, folder, None, job.mode
    )


def _place(folder: Path, job: Job) -> Path:
    """Folder of a scenario; an audit's is given."""
    return folder if job.mode == "audit" else folder / job.target.name / job.scenario


def _check(job: Job, table: TokenService | None) -> None:
    """Refuse what LoadGen cannot do before anything is built."""
    target, settings = job.target, job.settings
    seeds = target.chosen.seeds
    if embedded_seeds() != (seeds.qsl, seeds.sample_index, seeds.schedule):
        wheel = target.chosen.loadgen
        raise InputError(
            f"the installed LoadGen does not embed the seeds of {target.chosen.name}",
            hint=f"pip install 'mlcommons-loadgen=={wheel}.*', or --virtual"
            if wheel
            else "--virtual; no wheel is known that does",
        )
    if table is not None and not settings["tokens"]:
        raise InputError(
            "stated times are slept for tokens alone", where=job.scenario, hint="--virtual"
        )
    if settings.scenario == "Server":
        _check_server(job)
    if not target.model and not settings["tokens"]:
        raise InputError(
            f"no model of the set is {target.name}", hint="give an .onnx file instead of the name"
        )


def _check_server(job: Job) -> None:
    settings = job.settings
    settings.needed("target_qps", "--target-qps")
    if settings["percentile"] not in LATENCY_PERCENTILES:
        raise InputError(
            f"LoadGen reports no percentile {settings['percentile'] * 100:g}",
            where=job.scenario,
            allowed=", ".join(f"{share * 100:g}" for share in LATENCY_PERCENTILES),
        )
    limits = settings.limits()
    if settings["tokens"]:
        if limits.ttft_ns is None or limits.tpot_ns is None:
            raise InputError(
                "no limits of the tokens' times are given",
                where=job.scenario,
                hint="--ttft-limit and --tpot-limit",
            )
    elif limits.latency_ns is None:
        raise InputError(
            "no limit of the latency is given", where=job.scenario, hint="--latency-limit"
        )


def _check_data(job: Job, table: TokenService | None) -> None:
    """Refuse a data set that is damaged, short, or has no metric, before anything is built."""
    target, settings, options = job.target, job.settings, job.options
    if table is not None:
        if job.mode == "accuracy":
            raise InputError("stated times have no outputs to judge", allowed="--mode performance")
        return
    data = data_of(options, verify=True)
    total = settings["total_samples"] or settings["samples"]
    if data is None:
        if job.mode == "accuracy" and target.row is not None:
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
    if job.mode == "accuracy" and metric_of(target, data) is None and settings["tokens"]:
        raise InputError("tokens without labels cannot be judged", where=target.name)


def _run(session: Session, job: Job, system: System, device: str, folder: Path) -> ScenarioRun:
    target, settings = job.target, job.settings
    logs = folder / (ACCURACY if job.mode == "accuracy" else PERFORMANCE)
    logs.mkdir(parents=True, exist_ok=True)
    for name in (DETAIL, VERDICT, TOKENS):  # of an earlier run, which must not look like this one's
        (logs / name).unlink(missing_ok=True)
    data = system.data(job, session.seed)
    request = request_of(job, system, data, logs, session.seed)
    label = f"{target.name} {job.scenario}"

    def tell(found: Forecast) -> None:
        session.say(f"{label}: {found.text}")

    known_before = foretold(job, system)
    if known_before is not None:
        tell(known_before)
    least_s = settings["min_duration_ms"] / 1000
    if known_before is not None:
        least_s = max(least_s, known_before.seconds)
    with session.bar(label) as show:

        def progress(done: int, seconds: float, expected_s: float) -> None:
            total_s = max(1, round(max(least_s, expected_s)))
            takes = f", takes {format_seconds(expected_s)}" if expected_s else ""
            show(min(int(seconds), total_s), total_s, f"{done:,} samples{takes}")

        ended = harness.run(request, progress, tell)
    found, stopped = _evidence(ended, job, logs)
    quality = None if data is None else known(system.name, data.digest)
    verdict = judge(found, stopped)
    if job.mode == "accuracy" and not stopped:
        assert data is not None
        quality = _quality(session, job, system, device, data, logs)
        verdict = verdict_of(quality, target)
    accuracy = UNKNOWN if quality is None else quality.text
    done = ScenarioRun(
        target,
        settings,
        verdict,
        found.queries,
        found.samples,
        found.duration_ns * 1e-9,
        system.told,
        system.name,
        "none" if data is None else f"{data.name} {data.digest}",
        "none: times alone have no outputs" if data is None else accuracy,
        logs,
        quality,
        job.mode,
    )
    _write(done, system, stopped, ended, logs)
    return done


def _quality(
    session: Session, job: Job, system: System, device: str, data: DataSet, logs: Path
) -> Quality:
    if system.spec is None:
        return quality_of_tokens(job.target, system.name, data, logs, token_type(job.target))
    return quality_of(
        session, job.target, job.settings, system.spec, job.options, device, data, logs
    )


def _write(
    run: ScenarioRun, system: System, stopped: str, ended: harness.Ended, logs: Path
) -> None:
    """The verdict beside the logs; times that were slept carry the mark of what is simulated."""
    record = {
        "benchmark": run.target.name,
        "round": run.target.chosen.name,
        "mode": run.mode,
        "engine": system.name if system.spec is None else asdict(system.spec),
        "devices": list(system.devices),
        "data": run.data,
        "accuracy": run.accuracy,
        "quality": None if run.quality is None else asdict(run.quality),
        "verdict": run.verdict.word,
        "stopped": stopped,
        "settings": {name: asdict(s) for name, s in run.settings.values.items()},
        "loadgen": ended.values,
    }
    text = json.dumps(record, indent=1, default=str)
    write_atomic(logs / VERDICT, text + "\n")
    if system.table is not None:
        mark = {"kind": "SIMULATED", "service": run.service, "verdict": run.verdict.word}
        write_atomic(logs / SIMULATED, json.dumps(mark) + "\n")


def _evidence(ended: harness.Ended, job: Job, logs: Path) -> tuple[Evidence, str]:
    """Figures of a run, and why it has none; an accuracy run has no figures but its counts."""
    settings = job.settings
    failed = (ended.failure,) if ended.failure else ()
    limits, stopped = settings.limits(), ended.stopped
    try:
        values, logged = read_detail(logs / DETAIL)
        if job.mode != "accuracy":
            tokens = _tokens(logs) if settings["tokens"] else None
            found = of_log(values, [*failed, *logged], settings.scenario, limits, tokens)
            return found, stopped
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


def _tokens(logs: Path) -> Tokens | None:
    """What the system recorded of its tokens: from the issue on, and between tokens."""
    if not (logs / TOKENS).is_file():
        return None
    _, first, rest, count, waited = np.load(logs / TOKENS, allow_pickle=False).T
    return Tokens(waited + first, rest // np.maximum(count - 1, 1), count)
