"""`lydite coverage`: how much of a model rests on measurements of a device."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from lydite.cli import options

if TYPE_CHECKING:
    from lydite.estimate import Prediction


@options.takes_options
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
    """Show what of a model the database has measured: by node, by type (AISim's two), by time."""
    from lydite.backends import Settings
    from lydite.cli.load import load_model, open_database
    from lydite.cli.predict import predicted
    from lydite.cli.show import deliver, percent, say, table

    with open_database(db) as database:
        rows = [
            _row(
                predicted(
                    load_model(name, shape), on, backend, Settings(threads=threads), clock, database
                )
            )
            for name in model
        ]
    means = {
        what: sum(row[what] for row in rows) / len(rows)
        for what in ("node_coverage", "type_coverage", "time_coverage")
    }
    if deliver("coverage", {"models": rows, "mean": means}, out, as_json=json):
        return
    cells = [
        [
            row["model"],
            f"{row['nodes_measured']}/{row['nodes']}",
            percent(row["node_coverage"]),
            f"{row['types_measured']}/{row['types']}",
            percent(row["type_coverage"]),
            percent(row["time_coverage"]),
            _named(row["not_measured"]),
        ]
        for row in rows
    ]
    columns = ["model", "nodes", "share", "types", "share", "of time", "<not measured"]
    print(table(f"measured on {rows[0]['device']}", columns, cells))
    if len(rows) > 1:
        found = ", ".join(f"{k.partition('_')[0]} {percent(v)}" for k, v in means.items())
        print(f"\nmean: {found}")
    if means["node_coverage"] < 1:
        say("\nWhat is not measured is interpolated or modelled, never 0.", quiet)


def _row(prediction: Prediction) -> dict[str, Any]:
    """AISim's definitions, over measured operators: nodes, and types without a single miss."""
    missed = Counter(
        node.op_type
        for node in prediction.nodes
        if node.estimate is None or node.estimate.source != "measured"
    )
    nodes, types = len(prediction.nodes), {node.op_type for node in prediction.nodes}
    return {
        "model": prediction.model,
        "device": prediction.device.name,
        "nodes": nodes,
        "nodes_measured": nodes - missed.total(),
        "node_coverage": 1 - missed.total() / nodes if nodes else 0.0,
        "types": len(types),
        "types_measured": len(types - set(missed)),
        "type_coverage": 1 - len(missed) / len(types) if types else 0.0,
        "time_coverage": prediction.coverage.time_share("measured"),
        "not_measured": dict(missed.most_common()),
    }


def _named(missed: dict[str, int], most: int = 3) -> str:
    shown = " ".join(f"{kind}({count})" for kind, count in list(missed.items())[:most])
    return shown + (f" and {len(missed) - most} more" if len(missed) > most else "")
