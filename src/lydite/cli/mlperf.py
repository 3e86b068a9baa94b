"""`lydite mlperf`: MLPerf Inference on a device that is here, or in virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lydite.api.mlperf.options import RunOptions, TuneOptions
from lydite.cli import mlperf_prepare, mlperf_words, options, recording
from lydite.cli.mlperf_words import Benchmarks

app = typer.Typer(
    cls=mlperf_words.Group,
    help="MLPerf Inference: preprocess, build, calibrate, run, peak, tune, check.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings=mlperf_words.SETTINGS,
)
mlperf_prepare.add_to(app)

_AS_IT_IS = RunOptions()
_TRIED = TuneOptions()
_Benchmark = Annotated[
    str,
    typer.Argument(
        metavar="BENCHMARK", help="Benchmark of the round, name of the model set, or file."
    ),
]
_Scenario = Annotated[
    str,
    typer.Option(
        "--scenario",
        "--scenarios",
        help="Scenarios, separated by commas: offline, server, singlestream, multistream, "
        "interactive.",
    ),
]
_Service = Annotated[
    str | None,
    typer.Option(
        "--service",
        help="Service times in virtual time: 1.2ms, 1:1ms,8:4ms (by batch size), 1.2ms±5%; "
        "of tokens ttft=300ms,tpot=20ms,tokens=250.",
    ),
]
_Virtual = Annotated[
    bool | None,
    typer.Option(
        "--virtual/--real",
        help="Play the runs in virtual time, or run under LoadGen (token times are slept); "
        "default: virtual where service times are given.",
    ),
]
_TUNED = ("batch_size", "threads", "workers", "batch_delay")
_Replay = Annotated[
    Path | None,
    typer.Option("--replay", help="Folder of a run whose recorded batches are played again."),
]


@app.command()
@recording.optional
def run(
    benchmark: mlperf_words.Benchmark = "",
    benchmarks: Benchmarks = "",
    scenario: _Scenario = "offline",
    mode: Annotated[
        str,
        typer.Option(
            "--mode",
            "--test_mode",
            help="performance; accuracy; submission (accuracy, then performance); or find-peak.",
        ),
    ] = "performance",
    settings: RunOptions = _AS_IT_IS,
    force_calibration: mlperf_words.ForceCalibration = False,
    virtual: _Virtual = None,
    on: options.On = "cpu",
    service: _Service = None,
    replay: _Replay = None,
    db: options.DatabaseTarget = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    json: options.Json = False,
    log_dir: Annotated[
        Path | None, typer.Option("--log_dir", help="Folder for the logs, as --out.")
    ] = None,
    log_copy_detail_to_stdout: Annotated[
        bool,
        typer.Option(
            "--log_copy_detail_to_stdout",
            help="Copy LoadGen's detail logs to standard error, where logs go.",
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Tell every setting of each run, on standard error.")
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Run scenarios under LoadGen, or play them in virtual time; the verdict says why."""
    from lydite.cli.show import deliver, session

    result = session(db, seed=seed, quiet=quiet or (json and not verbose)).mlperf_run(
        mlperf_words.named(benchmark, benchmarks),
        scenario=scenario,
        mode=mode,
        virtual=virtual,
        on=on,
        service=service,
        replay=replay,
        out=out or log_dir,
        force_calibration=force_calibration,
        options=settings,
    )
    for ran in result.runs:
        if verbose:
            mlperf_words.tell_settings(ran)
        if log_copy_detail_to_stdout:
            mlperf_words.copy_detail(ran)
    deliver(result, json=json)


@app.command()
@recording.optional
def peak(
    benchmark: _Benchmark,
    scenario: Annotated[
        str, typer.Option("--scenario", help="Scenario with a rate: server or interactive.")
    ] = "server",
    settings: RunOptions = _AS_IT_IS,
    virtual: Annotated[
        bool, typer.Option("--virtual", help="Search in virtual time alone.")
    ] = False,
    on: options.On = "cpu",
    service: _Service = None,
    replay: _Replay = None,
    db: options.DatabaseTarget = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find the greatest valid rate: searched in virtual time, confirmed by real runs."""
    from lydite.cli.show import deliver, session

    result = session(db, seed=seed, quiet=quiet or json).mlperf_peak(
        benchmark,
        scenario=scenario,
        virtual=virtual,
        on=on,
        service=service,
        replay=replay,
        out=out,
        options=settings,
    )
    deliver(result, json=json)


@app.command()
@recording.optional
def tune(
    benchmark: _Benchmark,
    scenario: Annotated[str, typer.Option("--scenario", help="One scenario.")] = "offline",
    what: TuneOptions = _TRIED,
    settings: Annotated[RunOptions, options.Without(_TUNED)] = _AS_IT_IS,
    virtual: _Virtual = None,
    on: options.On = "cpu",
    service: _Service = None,
    replay: _Replay = None,
    db: options.DatabaseTarget = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Try batch sizes, threads, workers and delays, and write the best as a config.json."""
    from lydite.cli.show import deliver, session

    result = session(db, seed=seed, quiet=quiet or json).mlperf_tune(
        benchmark,
        scenario=scenario,
        what=what,
        virtual=virtual,
        on=on,
        service=service,
        replay=replay,
        out=out,
        options=settings,
    )
    deliver(result, json=json)


@app.command()
@options.takes_options
def explain(
    benchmark: Annotated[
        str,
        typer.Argument(
            metavar="[BENCHMARK]", help="Benchmark of the round, name of the model set, or file."
        ),
    ] = "resnet",
    scenario: _Scenario = "offline,server,singlestream,multistream",
    settings: RunOptions = _AS_IT_IS,
    json: options.Json = False,
) -> None:
    """Show each setting of a run, its value, and where it came from."""
    from lydite.cli.show import deliver, session

    deliver(session().mlperf_explain(benchmark, scenario=scenario, options=settings), json=json)


@app.command()
@recording.optional
def audit(
    runs: Annotated[Path, typer.Option("--runs", help="Folder of the runs to be audited.")],
    benchmark: mlperf_words.Benchmark = "",
    benchmarks: Benchmarks = "",
    test: Annotated[
        str | None,
        typer.Option("--test", help="Tests, separated by commas; default: the benchmark's."),
    ] = None,
    scenario: _Scenario = "offline",
    settings: RunOptions = _AS_IT_IS,
    legacy: Annotated[
        bool, typer.Option("--legacy", help="Take TEST05 too, which no round since v5.0 asks for.")
    ] = False,
    on: options.On = "cpu",
    service: _Service = None,
    db: options.DatabaseTarget = None,
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run audit tests, and compare them with the runs of the same folder."""
    from lydite.cli.show import deliver, session

    result = session(db, seed=seed, quiet=quiet or json).mlperf_audit(
        mlperf_words.named(benchmark, benchmarks),
        runs,
        test=test,
        scenario=scenario,
        legacy=legacy,
        on=on,
        service=service,
        options=settings,
    )
    deliver(result, json=json)


@app.command()
def submission(
    runs: Annotated[Path, typer.Argument(help="Folder of runs, as `mlperf run --out` wrote it.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the tree to write.")],
    submitter: Annotated[
        str, typer.Option("--submitter", help="Name of the organisation.")
    ] = "submitter",
    division: Annotated[
        str, typer.Option("--division", help="Division: closed, open or network.")
    ] = "closed",
    system: Annotated[
        Path | None,
        typer.Option("--system", help="JSON file of the system; default: this machine."),
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option("--calibration", help="Document on how scales were found.")
    ] = None,
    map: Annotated[
        str,
        typer.Option(
            "--map", help="Benchmarks of models of your own, in open: MODEL=BENCHMARK, ..."
        ),
    ] = "",
    round: Annotated[str, typer.Option("--round", help="Round of MLPerf Inference.")] = "v6.1",
    force: Annotated[bool, typer.Option("--force", help="Write over an older tree.")] = False,
    json: options.Json = False,
) -> None:
    """Write a submission from runs, and check it."""
    from lydite.cli.show import deliver, session

    result = session().mlperf_submission(
        runs,
        out,
        submitter=submitter,
        division=division,
        system=system,
        calibration=calibration,
        map=map,
        round=round,
        force=force,
    )
    deliver(result, json=json)


@app.command()
@recording.optional
def check(
    folder: Annotated[Path, typer.Argument(help="Folder that holds closed, open or network.")],
    round: Annotated[str, typer.Option("--round", help="Round of MLPerf Inference.")] = "v6.1",
    official: Annotated[
        Path | None,
        typer.Option("--official", help="Checkout of mlcommons/inference: run its checker too."),
    ] = None,
    submitter: Annotated[
        str, typer.Option("--submitter", help="Submitter that the official checker looks at.")
    ] = "",
    json: options.Json = False,
) -> None:
    """Check a submission: every fault with its path and what to do; exit code 1 if refused."""
    from lydite.cli.show import deliver, session

    result = session().mlperf_check(folder, round=round, official=official, submitter=submitter)
    deliver(result, json=json)
    if not result.ok or result.official is False:
        raise typer.Exit(1)
