"""`lydite coverage`: the share of a model that rests on measurements of a device."""

from __future__ import annotations

from lydite.cli import options, recording


@recording.optional
def coverage(
    model: options.Models,
    on: options.On = "cpu",
    backend: options.BackendName = "onnxruntime",
    threads: options.Threads = 1,
    shape: options.ModelOptions = options.AS_IT_IS,
    clock: options.ClockName = "wall",
    db: options.DatabaseTarget = None,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Show the measured share of models: by node, by type (as AISim defines them), by time."""
    from lydite.cli.show import deliver, say, session

    here = session(db)
    result = here.coverage(
        model, on=on, backend=backend, threads=threads, clock=clock, options=shape
    )
    shown = deliver(result, json=json, out=out)
    if shown and result.mean["node_coverage"] < 1:
        say("\nWhat is not measured is interpolated or modelled, never 0.", quiet)
