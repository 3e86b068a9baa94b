"""`lydite models`: the model set."""

from __future__ import annotations

from lydite.cli import options


def models(
    out: options.Out = None, json: options.Json = False, quiet: options.Quiet = False
) -> None:
    """List the model set: parameters, FLOPs and default input of each model."""
    from lydite.cli.show import deliver, say, session

    if deliver(session().models(), json=json, out=out):
        say("\nNext: lydite inspect resnet50; files are models too: see lydite inspect -h.", quiet)
