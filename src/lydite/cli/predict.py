"""`lydite predict`: seconds per operator and in total, with source and bounds."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lydite.cli import options

if TYPE_CHECKING:
    from lydite.backends import Settings
    from lydite.estimate import Prediction
    from lydite.graph import Graph


@options.takes_options
def predict(
    model: options.Model,
    on: options.On = "cpu",
    backend: options.BackendName = "onnxruntime",
    threads: options.Threads = 1,
    shape: options.ModelOptions = options.AS_IT_IS,
    clock: options.ClockName = "wall",
    ops: Annotated[bool, typer.Option("--ops", help="One line per operator.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse where an operator is unknown to all.")
    ] = False,
    db: options.DatabaseTarget = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Predict a model from its operators: time with bounds, where from, and coverage."""
    from lydite.backends import Settings
    from lydite.cli.load import load_model, open_database
    from lydite.cli.show import deliver, say
    from lydite.errors import InputError

    graph = load_model(model, shape)
    with open_database(db) as database:
        prediction = predicted(
            graph, on, backend, Settings(threads=threads, seed=seed), clock, database
        )
    if strict and not prediction.complete:
        missing = ", ".join(f"{t} ({n})" for t, n in prediction.coverage.uncovered.items())
        raise InputError(
            f"no estimate for {missing}", where=prediction.model, hint="lydite profile"
        )
    if deliver("predict", prediction_document(prediction, threads), out, as_json=json):
        return
    print(headline(prediction))
    print()
    print(_op_table(prediction) if ops else _type_table(prediction))
    print()
    print(coverage_line(prediction))
    if prediction.device.kind != "cpu":
        say("\nThe graph was fused as runtimes usually do: no backend there to ask.", quiet)
        say("Next: lydite db import FILE brings measurements of that device", quiet)
    elif prediction.coverage.time_share("measured") < 0.999:
        say(f"\nNext: lydite profile {model} measures what is only estimated here", quiet)


def predicted(
    graph: Graph, on: str, backend: str, settings: Settings, clock: str, database: Any
) -> Prediction:
    """The prediction that the options ask for.

    On a CPU the graph is what the backend runs here, fused and laid out; for another device it is
    fused as runtimes usually do (see `lydite.graph.passes.fused`).
    """
    from lydite.backends import find_backend
    from lydite.backends.lowered import lowered
    from lydite.cli.load import as_run, chain_for, device_named
    from lydite.cli.session import CLOCKS
    from lydite.errors import unknown_name
    from lydite.estimate import Rows
    from lydite.estimate import predict as run_predict
    from lydite.hardware import local_device
    from lydite.store import open_shipped

    if clock not in CLOCKS:
        raise unknown_name("clock", clock, CLOCKS)
    named = local_device().name if on in ("cpu", "local", "here") else on
    shipped = open_shipped(named)
    with shipped or nullcontext():
        sources = [database] if shipped is None else [database, shipped]
        device = device_named(on, sources)
        if device.kind == "cpu":
            low = lowered(find_backend(backend), graph, settings)
        else:
            low = as_run(graph)
        estimator, call = chain_for(sources, device, Rows(backend, settings.threads, clock))
        return run_predict(low, device, estimator, call)


def prediction_document(prediction: Prediction, threads: int) -> dict[str, Any]:
    """The whole result, units in the keys."""
    total = prediction.total
    return {
        "model": prediction.model,
        "device": prediction.device.name,
        "threads": threads,
        "total_s": total.seconds,
        "low_s": total.low,
        "high_s": total.high,
        "confidence": 0.9,
        "complete": prediction.complete,
        "call_s": prediction.call.seconds if prediction.call else None,
        "coverage": prediction.coverage.to_json(),
        "ops": [
            {
                "name": node.name,
                "op_type": node.op_type,
                "seconds": node.estimate.seconds if node.estimate else None,
                "low_s": node.estimate.low if node.estimate else None,
                "high_s": node.estimate.high if node.estimate else None,
                "source": node.estimate.source if node.estimate else "unknown",
                "detail": node.estimate.detail if node.estimate else "",
            }
            for node in prediction.nodes
        ],
    }


def headline(prediction: Prediction) -> str:
    """The answer in a line."""
    from lydite.units import format_seconds

    total = prediction.total
    bound = "" if prediction.complete else "at least "
    return (
        f"{prediction.model} on {prediction.device.name}: {bound}{format_seconds(total.seconds)} "
        f"({format_seconds(total.low)} to {format_seconds(total.high)}, 90 %)"
    )


def coverage_line(prediction: Prediction) -> str:
    """Coverage by node, by type and by time."""
    from lydite.cli.show import percent

    found = prediction.coverage
    sources = ", ".join(
        f"{source} {percent(found.time_share(source))}"
        for source in sorted(found.seconds, key=lambda s: -found.seconds[s])
    )
    line = (
        f"coverage: nodes {percent(found.node_coverage)}, types {percent(found.type_coverage)}; "
        f"time: {sources or 'none'}"
    )
    if found.uncovered:
        missed = " ".join(f"{kind}({count})" for kind, count in found.uncovered.items())
        line += f"\nnot covered: {missed}"
    return line


def _op_table(prediction: Prediction) -> str:
    from lydite.cli.show import table
    from lydite.units import format_seconds

    rows = [
        [
            node.name[-32:],
            node.op_type,
            format_seconds(e.seconds),
            f"{format_seconds(e.low)} - {format_seconds(e.high)}",
            e.source,
        ]
        if (e := node.estimate)
        else [node.name[-32:], node.op_type, "unknown", "", "unknown"]
        for node in prediction.nodes
    ]
    return table("", ["operator", "<type", "time", "90 % interval", "<source"], rows)


def _type_table(prediction: Prediction) -> str:
    from lydite.cli.show import percent, table
    from lydite.units import format_seconds

    kinds: dict[str, list[Any]] = {}
    for node in prediction.nodes:
        kinds.setdefault(node.op_type, []).append(node.estimate)
    total = prediction.total.seconds
    rows = []
    for kind, found in sorted(
        kinds.items(), key=lambda item: -sum(e.seconds for e in item[1] if e)
    ):
        known = [e for e in found if e]
        seconds = sum(e.seconds for e in known)
        sources = ", ".join(sorted({e.source for e in known})) or "unknown"
        rows.append(
            [
                kind,
                str(len(found)),
                format_seconds(seconds) if known else "unknown",
                percent(seconds / total) if total else "-",
                sources,
            ]
        )
    if prediction.call is not None:
        seconds = prediction.call.seconds
        rows.append(["(call)", "1", format_seconds(seconds), percent(seconds / total), "measured"])
    return table("", ["type", "count", "time", "share", "<source"], rows)
