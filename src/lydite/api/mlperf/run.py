"""`mlperf run`: scenarios under LoadGen on a device that is here, or in virtual time."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from lydite.api.mlperf.benchmark import scenarios_of, settings_of, targets_of
from lydite.api.mlperf.finding import find_peaks
from lydite.api.mlperf.keywords import RunKeywords
from lydite.api.mlperf.options import RunOptions
from lydite.api.mlperf.ran import MlperfRunResult
from lydite.api.mlperf.scenario import Job, ScenarioRun
from lydite.api.options import chosen
from lydite.errors import InputError, unknown_name

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.mlperf.tokens import TokenService

SIMULATED = "SIMULATED"
MODES = {
    "performance": "performance",
    "accuracy": "accuracy",
    "submission": "submission",
    "find-peak": "find-peak",
    # LoadGen's and Sinian's words
    "performanceonly": "performance",
    "accuracyonly": "accuracy",
    "submissionrun": "submission",
    "findpeakperformance": "find-peak",
}
"""Modes by the words that are taken for them."""


def run(
    session: Session,
    model: str,
    *,
    scenario: str = "offline",
    mode: str = "performance",
    virtual: bool | None = None,
    on: str = "cpu",
    service: str | None = None,
    replay: Path | None = None,
    out: Path | None = None,
    force_calibration: bool = False,
    options: RunOptions | None = None,
    **given: Unpack[RunKeywords],
) -> MlperfRunResult:
    """Run benchmarks of MLPerf Inference, or any models under its rules.

    On a device that is here, LoadGen issues the queries in a process of its own. In virtual time
    the same schedule and rules are played with service times that are estimated for any device,
    stated, or recorded. Of several benchmarks all engines are built before the first run.

    Args:
        session: Session.
        model: Benchmark of the round, name of the model set, or file; several separated by commas.
        scenario: Scenarios, separated by commas: offline, server, singlestream, multistream,
            interactive.
        mode: "performance"; "accuracy"; "submission", the accuracy run and then the performance run
            of one engine; or "find-peak", the greatest valid rate of Server.
        virtual: Whether to play the runs in virtual time; None where service times are given. Token
            times that are given with False are slept under LoadGen.
        on: Device: "cpu", or in virtual time any device.
        service: Service times, such as "1.2ms", "1:1ms,8:4ms" or "1.2ms±5%"; of tokens
            "ttft=300ms,tpot=20ms,tokens=250", or a CSV file of them.
        replay: Folder of a run whose recorded batches or tokens are played.
        out: Folder for the logs of real runs.
        force_calibration: Whether to calibrate int8 engines although they have a table.
        options: Settings.
        given: Fields of `RunOptions`.

    Raises:
        InputError: an unknown benchmark, scenario or setting, or one that is missing.
        BackendError: the backend cannot run here, or LoadGen is not installed.
    """
    wanted = chosen(RunOptions, options, given)
    word = MODES.get(mode.lower())
    if word is None:
        raise unknown_name("mode", mode, list(dict.fromkeys(MODES.values())))
    is_timed = service is not None or replay is not None
    is_virtual = is_timed if virtual is None else virtual
    if word == "find-peak":
        return find_peaks(session, model, scenario, wanted, is_virtual, on, service, replay, out)
    jobs = [
        Job(target, name, settings_of(target, name, own), own, each)
        for target, own in targets_of(model, wanted)
        for name in scenarios_of(scenario)
        for each in (("accuracy", "performance") if word == "submission" else (word,))
    ]
    targets = tuple({job.target.name: job.target for job in jobs}.values())
    if is_virtual:
        runs = _played(session, jobs, on, service, replay, wanted)
        result = MlperfRunResult(targets, on, True, tuple(runs))
        if out is not None:
            _write_simulated(result, out)
        return result
    from lydite.api.mlperf.real import run_all

    if force_calibration:
        from lydite.api.mlperf.build import calibrated

        calibrated(session, targets_of(model, wanted), jobs[0].scenario)
    table = _table(jobs, service, replay) if is_timed else None
    device, runs = run_all(session, jobs, on, out or usual_folder(), table)
    return MlperfRunResult(targets, device, False, tuple(runs))


def usual_folder() -> Path:
    """Folder of real runs where none is named."""
    return Path("mlperf-runs") / time.strftime("%Y%m%d-%H%M%S")


def _played(
    session: Session,
    jobs: Sequence[Job],
    on: str,
    service: str | None,
    replay: Path | None,
    options: RunOptions,
) -> list[ScenarioRun]:
    from lydite.api.mlperf.virtual import play_one

    if any(job.mode != "performance" for job in jobs):
        raise InputError("virtual time has no outputs to judge", allowed="--mode performance")
    if options.device:
        raise InputError(
            "virtual time has no devices by index", where="--device", hint="--workers, and --on"
        )
    return [
        play_one(session, job.target, job.settings, on=on, stated=service, replay=replay)
        for job in jobs
    ]


def _table(jobs: Sequence[Job], service: str | None, replay: Path | None) -> TokenService:
    """Times of tokens that are slept under LoadGen."""
    from lydite.api.mlperf.service import token_service

    other = next((job for job in jobs if not job.settings["tokens"]), None)
    if other is not None:
        raise InputError(
            f"{other.target.name} counts no tokens: its stated times are played in virtual time",
            hint="--virtual",
        )
    return token_service(jobs[0].target, service, replay)


def _write_simulated(result: MlperfRunResult, folder: Path) -> None:
    """A file type of its own, which no checker takes for a log of LoadGen."""
    from lydite.files import write_atomic
    from lydite.mlperf.draws import ALGORITHM

    marks = {"kind": SIMULATED, "draws": ALGORITHM}
    lines = [json.dumps({**marks, **row}, default=_finite) for row in result.document()["runs"]]
    write_atomic(folder / "simulated.jsonl", "\n".join(lines) + "\n")


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else str(value)
