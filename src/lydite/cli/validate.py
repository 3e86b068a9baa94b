"""`lydite validate`: predict and measure side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lydite.cli import options
from lydite.errors import InputError

if TYPE_CHECKING:
    from lydite.measure import Validation


@options.takes_options
def validate(
    model: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL...", help="As for `lydite inspect`; with --baseline, only these."
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", help="Measured training steps: AISim's baseline.json."),
    ] = None,
    on: Annotated[
        str | None, typer.Option("--on", help="With --baseline: the cluster they ran on.")
    ] = None,
    constants: Annotated[
        Path | None, typer.Option("--constants", help="With --baseline: what calibrate wrote.")
    ] = None,
    backend: options.BackendName = "onnxruntime",
    threads: options.Threads = 1,
    shape: options.ModelOptions = options.AS_IT_IS,
    clock: options.ClockName = "wall",
    budget: options.Budget = 20.0,
    db: options.DatabaseTarget = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure operators and whole models in turn, and show how well the sum predicts the whole.

    With --baseline, simulate training steps on a cluster and compare them with measured ones.
    """
    if baseline is not None or on is not None:
        from lydite.cli.baseline import validate_baseline

        validate_baseline(
            *_both(baseline, on),
            model or [],
            shape,
            constants,
            db=db,
            out=out,
            json=json,
            quiet=quiet,
        )
        return
    from lydite.cli.load import load_model, open_database, recorded_run
    from lydite.cli.session import make_session
    from lydite.cli.show import deliver, progress_bar
    from lydite.hardware import find_device
    from lydite.measure import validate as run_validate

    if not model:
        raise InputError("no model is named", allowed="MODEL..., or --baseline FILE --on CLUSTER")
    graphs = [load_model(m, shape) for m in model]
    results: list[Validation] = []
    arguments = {"models": model, "backend": backend, "threads": threads, "clock": clock}
    with open_database(db) as database, recorded_run(database, "validate", arguments) as run:
        with make_session(
            backend,
            database,
            threads=threads,
            clock=clock,
            budget=budget,
            seed=seed,
            run=run.id,
            rounds=9,
        ) as session:
            for graph in graphs:
                with progress_bar(f"validate {graph.name}", quiet or json) as progress:
                    results.append(
                        run_validate(graph, session, find_device("cpu"), progress=progress)
                    )
                run.result = accuracy_document(results)
    document = {"device": session.device, "backend": backend, "threads": threads, **run.result}
    if deliver("validate", document, out, as_json=json):
        return
    print(accuracy_table(results))


def _both(baseline: Path | None, on: str | None) -> tuple[Path, str]:
    if baseline is None:
        raise InputError(f"--on {on} is for baselines", hint="add --baseline FILE")
    if on is None:
        raise InputError(f"--baseline {baseline} names no cluster", hint="add --on CLUSTER")
    return baseline, on


def accuracy_document(results: list[Validation]) -> dict[str, Any]:
    """All comparisons and their summary."""
    from lydite.estimate import Accuracy

    points = [point_of(v) for v in results]
    return {
        "models": [
            {
                "model": v.prediction.model,
                "measured_s": v.measured_s,
                "predicted_s": v.paired_s,
                "unpaired_predicted_s": v.prediction.total.seconds,
                "low_s": p.low,
                "high_s": p.high,
                "error": p.error,
                "inside_interval": p.inside,
                "coverage": v.prediction.coverage.to_json(),
                "failures": v.failures,
            }
            for v, p in zip(results, points, strict=True)
        ],
        "accuracy": Accuracy.of(points).to_json(),
    }


def point_of(validation: Validation) -> Any:
    """The paired prediction against the measurement; bounds scaled from the unpaired ones."""
    from lydite.estimate import Point

    total, paired = validation.prediction.total, validation.paired_s
    scale = paired / total.seconds
    return Point(
        validation.prediction.model,
        paired,
        validation.measured_s,
        total.low * scale,
        total.high * scale,
    )


def accuracy_table(results: list[Validation]) -> str:
    """The accuracy table with its summary."""
    from lydite.cli.show import percent, signed_percent, table
    from lydite.estimate import Accuracy
    from lydite.units import format_seconds

    points = [point_of(v) for v in results]
    rows = [
        [
            p.name,
            format_seconds(p.measured),
            format_seconds(p.predicted),
            f"{format_seconds(p.low)} - {format_seconds(p.high)}",
            signed_percent(p.error),
            percent(v.prediction.coverage.node_coverage),
            percent(v.prediction.coverage.time_share("measured")),
        ]
        for v, p in zip(results, points, strict=True)
    ]
    columns = ["model", "measured", "predicted", "90 % interval", "error", "nodes", "time measured"]
    found = Accuracy.of(points)
    return table("", columns, rows) + (
        f"\n\nabsolute error: median {percent(found.median_abs)}, mean {percent(found.mean_abs)}, "
        f"worst {percent(abs(found.worst.error))} ({found.worst.name})\n"
        f"  bias {signed_percent(found.bias)}; within 10 %: {percent(found.within(0.1), 0)}"
    )
