"""`lydite demo`: the main job end to end, in at most two minutes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lydite.cli import options

if TYPE_CHECKING:
    from lydite.backends import NodeTime
    from lydite.graph import Graph
    from lydite.measure import Session, Validation

MODELS = ("resnet50", "mobilenetv2", "bert-base")
_SEQUENCE = {"bert-base": 64}


def demo(
    out: options.Out = None,
    db: options.DatabaseTarget = None,
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure a large CNN, a depthwise CNN and a transformer; predict each from its operators."""
    from lydite.cli.doctor import examine
    from lydite.cli.load import open_database, recorded_run
    from lydite.cli.session import make_session
    from lydite.cli.show import print_json, progress_bar, say
    from lydite.cli.validate import accuracy_document, accuracy_table
    from lydite.hardware import find_device
    from lydite.measure import profile_in_graph, validate
    from lydite.models import build_model

    start = time.monotonic()
    folder = out or Path("lydite-demo")
    hush = quiet or json
    machine = examine()
    device = find_device("cpu")
    say(f"This machine: {device.title}, {device.units} cores. One thread is measured.", hush)
    graphs = [build_model(name, sequence=_SEQUENCE.get(name)) for name in MODELS]
    results: list[Validation] = []
    traces: list[list[NodeTime]] = []
    arguments = {"models": list(MODELS), "out": str(folder)}
    with open_database(db) as database, recorded_run(database, "demo", arguments) as run:
        with make_session(
            "onnxruntime", database, threads=1, budget=16.0, seed=seed, run=run.id, rounds=7
        ) as session:
            for graph in graphs:
                with progress_bar(f"{graph.name:<12}", hush) as progress:
                    results.append(validate(graph, session, device, progress=progress))
                traces.append(list(profile_in_graph(graph, session, runs=3)[-1]))
            files = _write(folder, machine, session, graphs, results, traces)
        run.result = accuracy_document(results)
    took = time.monotonic() - start
    if json:
        print_json({**run.result, "files": [str(f) for f in files], "seconds": took})
        return
    print(accuracy_table(results))
    print()
    print(_coverage_table(results))
    print(f"\nwritten: {files[0]} (open it in a browser), {files[1]} (open it in ui.perfetto.dev)")
    say(
        f"took {took:.0f} s\n\nNext: lydite inspect resnet50        what a model computes\n"
        "      lydite predict resnet50 --on h100   a device you do not own\n"
        "      lydite profile your.onnx            measure your own model's operators\n"
        "      lydite runs                         everything that was run",
        hush,
    )


def _coverage_table(results: list[Validation]) -> str:
    from lydite.cli.show import percent, table

    rows = [
        [
            v.prediction.model,
            str(sum(v.prediction.coverage.nodes.values())),
            percent(v.prediction.coverage.node_coverage),
            percent(v.prediction.coverage.type_coverage),
            percent(v.prediction.coverage.time_share("measured")),
        ]
        for v in results
    ]
    return table("", ["coverage", "operators", "nodes", "types", "time measured"], rows)


def _write(
    folder: Path,
    machine: dict[str, Any],
    session: Session,
    graphs: list[Graph],
    results: list[Validation],
    traces: list[list[NodeTime]],
) -> list[Path]:
    from lydite.cli.doctor import report_lines
    from lydite.cli.show import percent, signed_percent
    from lydite.cli.validate import point_of
    from lydite.hardware import find_device
    from lydite.measure.environment import utc_now
    from lydite.report import Section, Slice, write_page, write_trace
    from lydite.report.plots import predicted_against_measured, roofline, time_by_type
    from lydite.units import format_seconds

    points = [point_of(v) for v in results]
    device = find_device("cpu")
    versions = ", ".join(f"{k} {v}" for k, v in session.software.versions.items())
    sections = [
        Section(
            "Accuracy",
            "Each model was predicted from its operators and measured whole, in turns. All times "
            "are medians; the interval claims 90 %.",
            ["model", "measured", "predicted", "90 % interval", "error", "nodes", "time measured"],
            [
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
            ],
            predicted_against_measured(points),
        ),
        Section("Where the time goes", figure=time_by_type(_times(results))),
        Section(
            "Against the roof",
            "Peaks are what the processor's clock and vector units allow; an operator whose data "
            "stay in the caches can lie above the slope, which is that of main memory.",
            figure=roofline(device, session.settings.threads, _dots(results)),
        ),
        Section("Machine", f"Software: {versions}.", pre="\n".join(report_lines(machine))),
    ]
    page = write_page(
        folder / "report.html", "Lydite demo", f"{device.title}, {utc_now()}; measured", sections
    )
    slices: list[Slice] = []
    for graph, nodes in zip(graphs, traces, strict=True):
        origin = nodes[0].start_s if nodes else 0.0
        slices += [
            Slice(
                graph.name,
                node.op_name,
                node.start_s - origin,
                node.seconds,
                {"source": "measured"},
            )
            for node in nodes
        ]
    return [
        page,
        write_trace(folder / "trace.pftrace", slices, process="lydite demo, in-graph times"),
    ]


def _times(results: list[Validation]) -> dict[str, dict[str, float]]:
    times: dict[str, dict[str, float]] = {}
    for result in results:
        kinds = times.setdefault(result.prediction.model, {})
        for node in result.prediction.nodes:
            if node.estimate is not None:
                kinds[node.op_type] = kinds.get(node.op_type, 0.0) + node.estimate.seconds
    return times


def _dots(results: list[Validation]) -> list[tuple[str, str, float, float, float]]:
    from lydite.graph.work import work_of_key

    dots: list[tuple[str, str, float, float, float]] = []
    for result in results:
        for node in {n.key: n for n in result.prediction.nodes}.values():
            work = work_of_key(node.key) if node.key else None
            if work and work.flops and node.estimate is not None:
                rate = work.flops / node.estimate.seconds
                label = f"{node.op_type} {node.name}"
                dots.append(
                    (
                        result.prediction.model,
                        label,
                        work.arithmetic_intensity,
                        rate,
                        node.estimate.seconds,
                    )
                )
    return dots
