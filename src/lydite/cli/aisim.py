"""`lydite aisim`: an AISim benchmark folder as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import typer

from lydite.cli import options

if TYPE_CHECKING:
    from lydite.cluster.aisim import Cell, Coverage, Report
    from lydite.cluster.aisim.accuracy import Compared


def aisim(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="AISim's config.yaml, or its folder.")
    ],
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MORE]...", help="More models, as AISim's -m takes them."),
    ] = None,
    models: Annotated[
        list[str] | None, typer.Option("--models", "-m", help="Only these models.")
    ] = None,
    skip_coverage: Annotated[
        bool, typer.Option("--skip-coverage", help="No coverage of the databases.")
    ] = False,
    skip_accuracy: Annotated[
        bool, typer.Option("--skip-accuracy", help="No step times, no baselines.")
    ] = False,
    nccl_logs: Annotated[
        Path | None, typer.Option("--nccl-logs", help="Folder of nccl-tests logs.")
    ] = None,
    launch: Annotated[
        str, typer.Option("--launch", help="What the host takes to launch a node (assumed).")
    ] = "4 us",
    compute_slowdown: Annotated[
        float, typer.Option("--compute-slowdown", help="While gradients are exchanged (assumed).")
    ] = 1.3,
    exchange_slowdown: Annotated[
        float, typer.Option("--exchange-slowdown", help="While the GPU computes (assumed).")
    ] = 2.2,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run an AISim benchmark folder: coverage of its databases, step times, accuracy."""
    from lydite.cli.show import deliver, say
    from lydite.cluster.aisim import Execution, read_benchmark, run_benchmark
    from lydite.errors import InputError
    from lydite.units import parse_quantity

    if skip_coverage and skip_accuracy:
        raise InputError("nothing is left to do", where="--skip-coverage --skip-accuracy")
    assumed = Execution(
        parse_quantity(launch, "s", where="--launch"), compute_slowdown, exchange_slowdown
    )
    report = run_benchmark(
        read_benchmark(config),
        [*(models or []), *(more or [])],
        coverage=not skip_coverage,
        accuracy=not skip_accuracy,
        nccl_logs=nccl_logs,
        execution=assumed,
    )
    if deliver("aisim", report.to_json(), out, as_json=json):
        return
    print(text(report))
    if report.cells:
        say(
            f"assumed: a launch takes {launch}; while both run, computation takes "
            f"{compute_slowdown:g} times as long and an exchange {exchange_slowdown:g} times",
            quiet,
        )


def text(report: Report) -> str:
    """What people read."""
    parts = []
    for graph, found in (("single GPU", report.single), ("multiple GPUs", report.multi)):
        if found:
            parts.append(_coverage(f"Coverage of database using {graph} graph", found))
    if report.cells:
        parts += [_steps(report.cells), summary(report.cells)]
    parts += [fill(note, 100, subsequent_indent="  ") for note in report.notes]
    return "\n\n".join(part for part in parts if part)


def _coverage(title: str, found: Sequence[Coverage]) -> str:
    from lydite.cli.show import table

    rows = [
        [
            c.model,
            _part(c.covered_nodes, c.nodes, c.node_share),
            _part(c.covered_types, c.types, c.type_share),
            f"{'<=' if c.unknown_nodes else ''}{100 * c.time_share:.1f}%",
        ]
        for c in found
    ]
    lines = [table(title, ["model", "node coverage", "op coverage", "time coverage"], rows)]
    shares = ((100 * c.node_share, 100 * c.type_share) for c in found)
    nodes, types = (sum(share) / len(found) for share in zip(*shares, strict=True))
    lines.append(f"Average node coverage: {nodes:.1f}%, average op coverage: {types:.1f}%")
    for c in found:
        if c.uncovered:
            names = " ".join(f"{op}({count})" for op, count in c.uncovered.items())
            lines.append(fill(f"uncovered in {c.model}: {names}", 100, subsequent_indent="  "))
    return "\n".join(lines)


def _part(covered: int, whole: int, share: float) -> str:
    return f"{covered}/{whole}={100 * share:.1f}%"


_SIDE_BY_SIDE = 2


def _steps(cells: Sequence[Cell]) -> str:
    """Environments by models, a few models side by side."""
    from lydite.cli.show import table

    models = list(dict.fromkeys(cell.model for cell in cells))
    environments = list(dict.fromkeys(cell.environment for cell in cells))
    by_place = {(cell.environment, cell.model): cell for cell in cells}
    tables = []
    for at in range(0, len(models), _SIDE_BY_SIDE):
        some = models[at : at + _SIDE_BY_SIDE]
        rows = [
            [e, *(_cell(by_place[e, m]) for m in some), _loss([by_place[e, m] for m in models])]
            for e in environments
        ]
        losses = [_loss([cell for cell in cells if cell.model == m]) for m in some]
        rows.append(["average_loss", *losses, _loss(cells)])
        tables.append(table("", ["Environment", *some, "average_loss"], rows))
    return "Time (ms, predicted/baseline), accuracy, signed error:\n" + "\n\n".join(tables)


def _cell(cell: Cell) -> str:
    from lydite.cli.show import signed_percent

    found = f"{'>=' if cell.is_lower_bound else ''}{cell.predicted_s * 1e3:.4g}"
    if cell.error is None or cell.baseline_s is None:
        return f"{found}/none"
    accuracy = 100 * (1 + cell.error)
    return f"{found}/{cell.baseline_s * 1e3:.4g}={accuracy:.1f}% {signed_percent(cell.error)}"


def _loss(cells: Sequence[Cell]) -> str:
    from lydite.cli.show import percent
    from lydite.cluster.aisim import average_loss

    loss = average_loss(cells)
    return "none" if loss is None else percent(loss)


def summary(cells: Sequence[Compared]) -> str:
    """Accuracy of the simulation and of what needs none, as a table."""
    from lydite.cli.show import percent, signed_percent, table
    from lydite.cluster.aisim import summaries

    found = summaries(cells)
    if not found:
        return "No step has a baseline: nothing is compared."
    rows = [
        [
            name,
            percent(a.mean_abs),
            signed_percent(a.bias),
            *(percent(a.within(limit), 0) for limit in (0.05, 0.10, 0.15)),
            f"{signed_percent(a.worst.error)} {a.worst.name}",
        ]
        for name, a in found.items()
    ]
    columns = ["method", "MAPE", "bias", "in 5 %", "in 10 %", "in 15 %", "<worst case"]
    points = len(next(iter(found.values())).points)
    title = f"Accuracy over {points} steps; the constant is fitted to these very baselines:"
    return table(title, columns, rows)
