"""`lydite inspect`: what a model computes."""

from __future__ import annotations

from typing import Annotated

import typer

from lydite.cli import options, recording


@recording.optional
def inspect(
    model: options.Model,
    shape: options.ModelOptions = options.AS_IT_IS,
    ops: Annotated[bool, typer.Option("--ops", help="Print one line per operator.")] = False,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Show a model: operators, shapes, parameters, FLOPs, bytes, arithmetic intensity."""
    from lydite.cli.show import deliver, say, session

    result = session().inspect(model, options=shape)
    if not deliver(result, json=json, out=out, text=lambda: result.summary(ops=ops)):
        return
    for name in result.facts["open_dims"]:
        say(f"symbolic size '{name}' is open: --dim {name}=SIZE binds it", quiet)
    unknown = result.facts["unknown_operators"]
    if unknown:
        names = ", ".join(unknown[:5])
        say(f"the work of {len(unknown)} operators is unknown: {names}", quiet)
