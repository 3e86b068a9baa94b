"""`lydite mlperf`: MLPerf Inference on a device that is here, or in virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lydite.api.mlperf.options import RunOptions
from lydite.cli import mlperf_prepare, options

app = typer.Typer(
    help="MLPerf Inference: preprocess, build, calibrate, run, peak, explain, check.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
mlperf_prepare.add_to(app)

_AS_IT_IS = RunOptions()
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
        help="Scenarios, separated by commas: offline, server, singlestream, multistream, "
        "interactive.",
    ),
]
_Service = Annotated[
    str | None,
    typer.Option(
        "--service",
        help="Service times in virtual time: 1.2ms, 1:1ms,8:4ms (by batch size), 1.2ms±5%.",
    ),
]
_Replay = Annotated[
    Path | None,
    typer.Option("--replay", help="Folder of a run whose recorded batches are played again."),
]


@app.command()
@options.takes_options
def run(
    benchmark: _Benchmark,
    scenario: _Scenario = "offline",
    mode: Annotated[str, typer.Option("--mode", help="performance or accuracy.")] = "performance",
    settings: RunOptions = _AS_IT_IS,
    virtual: Annotated[
        bool, typer.Option("--virtual", help="Play the runs in virtual time.")
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
    """Run scenarios under LoadGen, or play them in virtual time; the verdict says why."""
    from lydite.cli.show import deliver, session

    result = session(db, seed=seed, quiet=quiet or json).mlperf_run(
        benchmark,
        scenario=scenario,
        mode=mode,
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
