"""`lydite bench`: measure a whole model."""

from __future__ import annotations

from typing import Annotated

import typer

from lydite.cli import options


@options.takes_options
def bench(
    model: options.Model,
    backend: options.BackendName = "onnxruntime",
    threads: options.Threads = 1,
    shape: options.ModelOptions = options.AS_IT_IS,
    budget: options.Budget = 10.0,
    rounds: Annotated[int, typer.Option("--rounds", min=3, help="Samples at most.")] = 1000,
    clock: options.ClockName = "wall",
    device: Annotated[str, typer.Option("--device", help="Where: cpu or cuda.")] = "cpu",
    db: options.DatabaseTarget = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure a model as it is used: latency distribution, throughput, memory."""
    from lydite.cli.load import load_model, open_database, recorded_run
    from lydite.cli.session import make_session
    from lydite.cli.show import deliver, say
    from lydite.measure import bench as run_bench
    from lydite.measure.environment import check_memory
    from lydite.measure.whole import model_row
    from lydite.units import format_bytes, format_seconds, format_si

    graph = load_model(model, shape)
    check_memory(3 * graph.parameter_bytes, graph.name)
    arguments = {"model": model, "backend": backend, "threads": threads, "batch": shape.batch}
    with open_database(db) as database, recorded_run(database, "bench", arguments) as run:
        with make_session(
            backend,
            database,
            threads=threads,
            device=device,
            clock=clock,
            budget=budget,
            seed=seed,
            run=run.id,
            rounds=rounds,
        ) as session:
            plan = session.plan
            result = run_bench(graph, session.backend, session.settings, plan)
            row = model_row(graph, result.timing.samples_s, session, result.timing.environment)
            database.add([row])
        document = {
            **result.to_json(),
            "device": session.device,
            "backend": backend,
            "threads": threads,
        }
        run.result = {k: v for k, v in document.items() if k != "samples_s"}
    if deliver("bench", document, out, as_json=json):
        return
    each = [f"p{p} {format_seconds(result.percentile(p))}" for p in (50, 90, 99)]
    print(
        f"{graph.name} on {session.device} ({backend}, {threads} thread{'s' * (threads > 1)}, "
        f"batch {result.batch})"
    )
    print(
        f"  latency     {'  '.join(each)}  (min {format_seconds(result.percentile(0))}, "
        f"IQR {format_seconds(document['latency_iqr_s'])}, {document['samples']} samples)"
    )
    print(f"  throughput  {format_si(document['throughput_per_s'], 'samples/s')}")
    print(
        f"  load        {format_seconds(result.load_s)}, memory {format_bytes(result.memory_bytes)}"
    )
    for warning in result.timing.warnings:
        say(f"warning: {warning}")
    say(f"\nNext: lydite validate {model} shows how well its operators explain this time", quiet)
