"""`lydite mlperf preprocess`, `build` and `calibrate`: what comes before a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lydite.api.mlperf.options import CalibrateOptions, PreprocessOptions, RunOptions
from lydite.cli import mlperf_words, options, recording

_AS_IT_IS = RunOptions()
_CALIBRATION = CalibrateOptions()
_IMAGES = PreprocessOptions()
_Benchmark = Annotated[
    str,
    typer.Argument(
        metavar="BENCHMARK", help="Benchmark of the round, name of the model set, or file."
    ),
]
_LOAD = (
    "target_qps",
    "expected_qps",
    "expected_latency",
    "min_duration",
    "min_queries",
    "fast",
    "batch_delay",
    "latency_limit",
    "ttft_limit",
    "tpot_limit",
    "device",
    "built_only",
    "samples",
)
"""Settings of the load, which engines do not depend on."""
_ENGINE = (
    "batch_size",
    "workers",
    "precision",
    "backend",
    "calibration",
    "user_conf",
    "config",
    "config_ver",
    "system",
)


def add_to(app: typer.Typer) -> None:
    """Add the commands to `lydite mlperf`."""
    for command in (preprocess, build):
        app.command()(options.takes_options(command))
    app.command()(recording.optional(calibrate))


def preprocess(
    benchmark: _Benchmark,
    data: Annotated[Path, typer.Option("--data", help="Folder of the images.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the prepared data set.")],
    images: PreprocessOptions = _IMAGES,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Prepare a folder of images: resized, cropped, normalised, with their labels."""
    from lydite.cli.show import deliver, session

    made = session(quiet=quiet or json).mlperf_preprocess(
        benchmark, data=data, out=out, options=images
    )
    deliver(made, json=json)


def build(
    benchmark: mlperf_words.Benchmark = "",
    benchmarks: mlperf_words.Benchmarks = "",
    scenario: Annotated[
        str, typer.Option("--scenario", "--scenarios", help="Scenarios, separated by commas.")
    ] = "offline",
    settings: Annotated[RunOptions, options.Without(_LOAD)] = _AS_IT_IS,
    on: options.On = "cpu",
    force_calibration: mlperf_words.ForceCalibration = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Build the engines of scenarios into the cache, and print where they lie."""
    from lydite.cli.show import deliver, session

    made = session(quiet=quiet or json).mlperf_build(
        mlperf_words.named(benchmark, benchmarks),
        scenario=scenario,
        on=on,
        force_calibration=force_calibration,
        options=settings,
    )
    deliver(made, json=json)


def calibrate(
    benchmark: mlperf_words.Benchmark = "",
    benchmarks: mlperf_words.Benchmarks = "",
    calibration: CalibrateOptions = _CALIBRATION,
    settings: Annotated[RunOptions, options.Without((*_LOAD, *_ENGINE))] = _AS_IT_IS,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Calibrate an int8 engine, judge it, and propose nodes to keep in fp32."""
    from lydite.cli.show import deliver, session

    made = session(quiet=quiet or json).mlperf_calibrate(
        mlperf_words.named(benchmark, benchmarks), how=calibration, out=out, options=settings
    )
    deliver(made, json=json)
