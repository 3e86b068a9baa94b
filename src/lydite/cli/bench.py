"""`lydite bench`: measure the latency of a whole model."""

from __future__ import annotations

from typing import Annotated

import typer

from lydite.cli import options, recording


@recording.always
def bench(
    model: options.Model,
    backend: options.BackendName = "onnxruntime",
    threads: options.Threads = 1,
    shape: options.ModelOptions = options.AS_IT_IS,
    budget: options.Budget = 10.0,
    rounds: Annotated[
        int, typer.Option("--rounds", min=3, help="Largest number of samples.")
    ] = 1000,
    clock: options.ClockName = "wall",
    device: options.Where = "cpu",
    db: options.DatabaseTarget = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure a model as it is used: latency distribution, throughput, memory."""
    from lydite.cli.show import deliver, say, session

    result = session(db, seed=seed, quiet=quiet or json).bench(
        model,
        backend=backend,
        threads=threads,
        device=device,
        clock=clock,
        budget=budget,
        rounds=rounds,
        options=shape,
    )
    if not deliver(result, json=json, out=out):
        return
    for warning in result.bench.timing.warnings:
        say(f"warning: {warning}")
    say(f"\nNext: lydite validate {model} shows how well its operators explain this time", quiet)
