"""`lydite profile`: measure every distinct operator that the backend really runs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lydite.cli import options


@options.takes_options
def profile(
    model: options.Models,
    backend: options.BackendName = "onnxruntime",
    threads: options.Threads = 1,
    shape: options.ModelOptions = options.AS_IT_IS,
    cache: options.Cache = "rotated",
    clock: options.ClockName = "wall",
    budget: options.Budget = 0.5,
    in_graph: Annotated[
        bool, typer.Option("--in-graph", help="Also keep the backend's own times of whole runs.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Measure also what is known.")] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1, help="Longest silence of one operator, seconds.")
    ] = 120.0,
    memory: Annotated[
        str | None, typer.Option("--memory", help='Most memory of the worker, such as "8 GiB".')
    ] = None,
    device: Annotated[str, typer.Option("--device", help="Where: cpu or cuda.")] = "cpu",
    db: options.DatabaseTarget = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure operators into the database; what is known already is not measured again."""
    from lydite.cli.load import load_model, open_database, recorded_run
    from lydite.cli.session import make_session, reported_device
    from lydite.cli.show import deliver, progress_bar, say, table
    from lydite.measure import profile as run_profile
    from lydite.measure import profile_in_graph

    graphs = [load_model(m, shape) for m in model]
    results: list[dict[str, Any]] = []
    arguments = {
        "models": model,
        "backend": backend,
        "threads": threads,
        "cache": cache,
        "batch": shape.batch,
        "clock": clock,
    }
    with open_database(db) as database, recorded_run(database, "profile", arguments) as run:
        with make_session(
            backend,
            database,
            threads=threads,
            device=device,
            cache=cache,
            clock=clock,
            budget=budget,
            seed=seed,
            run=run.id,
            timeout=timeout,
            memory=memory,
        ) as session:
            for graph in graphs:
                with progress_bar(f"profile {graph.name}", quiet or json) as progress:
                    done = run_profile(graph, session, again=again, progress=progress)
                if in_graph:
                    profile_in_graph(graph, session)
                results.append(
                    {
                        "model": graph.name,
                        "operators": len(done.graph.ops),
                        "distinct": done.distinct,
                        "measured": done.measured,
                        "reused": done.reused,
                        "failed": [
                            {
                                "op_type": f.key.qualified_type,
                                "status": f.status,
                                "error": f.error,
                                "key": f.key.text,
                            }
                            for f in done.failures
                        ],
                        "untyped": list(done.untyped),
                    }
                )
                run.result = {"models": results}
        document = {"device": reported_device(session), "backend": backend, "models": results}
    if deliver("profile", document, out, as_json=json):
        return
    columns = ["model", "operators", "distinct", "measured", "reused", "failed", "untyped"]
    rows = [
        [
            r["model"],
            *[str(r[c]) for c in columns[1:5]],
            str(len(r["failed"])),
            str(len(r["untyped"])),
        ]
        for r in results
    ]
    print(table("", columns, rows))
    for result in results:
        for failure in result["failed"][:10]:
            say(f"{result['model']}: {failure['op_type']}: {failure['status']}: {failure['error']}")
    say(f"\nNext: lydite predict {model[0]} --on cpu", quiet)
