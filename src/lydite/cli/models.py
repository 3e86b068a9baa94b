"""`lydite models`: the model set."""

from __future__ import annotations

from typing import Any

from lydite.cli import options


def models(
    out: options.Out = None, json: options.Json = False, quiet: options.Quiet = False
) -> None:
    """List the model set: parameters, FLOPs and default input of each."""
    from lydite.cli.show import deliver, say, table
    from lydite.models import describe, figures
    from lydite.units import format_si

    rows: list[dict[str, Any]] = []
    for name, found in figures().items():
        info = describe(name)
        rows.append(
            {
                "model": name,
                "family": info.family,
                "about": info.about,
                "source": info.source,
                "options": dict(info.defaults),
                **found,
            }
        )
    if deliver("models", {"models": rows}, out, as_json=json):
        return
    cells = [
        [
            r["model"],
            format_si(r["parameters"], ""),
            format_si(r["flops"], "FLOP"),
            str(r["operators"]),
            _first(r["inputs"]),
        ]
        for r in rows
    ]
    print(table("", ["model", "parameters", "work", "operators", "<input"], cells))
    say("\nNext: lydite inspect resnet50; files are models too: see lydite inspect -h.", quiet)


def _first(inputs: dict[str, str]) -> str:
    return ", ".join(f"{name} {type_}" for name, type_ in list(inputs.items())[:1])
