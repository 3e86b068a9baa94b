"""`lydite models`: the model set."""

from __future__ import annotations

from lydite.cli import options


def models(
    out: options.Out = None, json: options.Json = False, quiet: options.Quiet = False
) -> None:
    """List the model set: parameters, FLOPs and default input of each."""
    from lydite.cli.show import deliver, say, table
    from lydite.graph.work import total_work
    from lydite.models import build_model, describe, model_names
    from lydite.units import format_si

    rows: list[dict[str, object]] = []
    for name in model_names():
        info, graph = describe(name), build_model(name)
        work = total_work(graph)
        rows.append(
            {
                "model": name,
                "family": info.family,
                "parameters": graph.parameter_count,
                "flops": work.total.flops,
                "operators": len(graph.ops),
                "inputs": {n: str(graph.type_of(n)) for n in graph.inputs},
                "source": info.source,
            }
        )
    if deliver("models", {"models": rows}, out, as_json=json):
        return
    cells = [
        [
            str(r["model"]),
            format_si(float(str(r["parameters"])), ""),
            format_si(float(str(r["flops"])), "FLOP"),
            str(r["operators"]),
            _first(r["inputs"]),
        ]
        for r in rows
    ]
    print(table("", ["model", "parameters", "work", "operators", "<input"], cells))
    say("\nNext: lydite inspect resnet50; any .onnx file is a model too.", quiet)


def _first(inputs: object) -> str:
    assert isinstance(inputs, dict)
    return ", ".join(f"{name} {type_}" for name, type_ in list(inputs.items())[:1])
