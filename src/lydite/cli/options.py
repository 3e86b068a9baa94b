"""Options that mean the same in every command.

Options that belong together are the fields of one dataclass, such as `ModelOptions`: a command
decorated with `takes_options` declares a parameter of that type and gets every field as an option.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, units in its keys.")]


def _hushed(quiet: bool) -> bool:
    if quiet:
        from lydite.engine.compiled import hush

        hush()
    return quiet


Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", callback=_hushed, help="No progress, no advice.")
]
Out = Annotated[Path | None, typer.Option("--out", help="Folder for the files that are written.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of weights, inputs and orders.")]
DatabaseTarget = Annotated[
    str | None,
    typer.Option(
        "--db", help="Database: a file or postgresql:// URL (else LYDITE_DB, else yours)."
    ),
]
Models = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL...", help="Names of the model set, or files (see `lydite inspect -h`)."
    ),
]
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A model's name; an .onnx, .pbtxt or .json file; a config.json.",
    ),
]
BackendName = Annotated[
    str, typer.Option("--backend", help="Who runs: onnxruntime, torch, replay.")
]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Threads inside an operator.")]
On = Annotated[
    str, typer.Option("--on", help="Device: cpu, a name of the catalog, or a .yaml file.")
]
Budget = Annotated[
    float, typer.Option("--budget", min=0.01, help="Seconds to spend on each thing measured.")
]
ClockName = Annotated[str, typer.Option("--clock", help="wall (latency) or process (CPU time).")]
Cache = Annotated[
    str, typer.Option("--cache", help="Weights before a call: rotated (as in a net), hot or cold.")
]


class Options:
    """Fields that `takes_options` makes options of."""


@dataclass(frozen=True)
class ModelOptions(Options):
    """How a model is built or read, and what becomes of it."""

    batch: Annotated[int | None, typer.Option("--batch", min=1, help="Batch size.")] = None
    image_size: Annotated[
        int | None, typer.Option("--image-size", min=1, help="Image side, pixels.")
    ] = None
    sequence: Annotated[
        int | None, typer.Option("--sequence", min=1, help="Sequence length, (new) tokens.")
    ] = None
    phase: Annotated[
        str | None, typer.Option("--phase", help="Language models: forward, prefill or decode.")
    ] = None
    context: Annotated[
        int | None, typer.Option("--context", min=0, help="Tokens that lie in the KV cache.")
    ] = None
    dtype: Annotated[
        str | None,
        typer.Option(
            "--dtype",
            help="float32, float16, bfloat16, autocast-float16, autocast-bfloat16 or int8.",
        ),
    ] = None
    dim: Annotated[
        list[str] | None,
        typer.Option("--dim", help="NAME=SIZE binds a symbolic size (repeatable)."),
    ] = None
    params: Annotated[
        Path | None, typer.Option("--params", help="The weights beside a SMAUG topology.")
    ] = None
    train: Annotated[
        bool, typer.Option("--train", help="A training step: forward, loss, backward.")
    ] = False
    optimizer: Annotated[
        str | None,
        typer.Option("--optimizer", help="With --train: sgd, momentum, adagrad, adam, adamw, ..."),
    ] = None
    loss: Annotated[
        str | None, typer.Option("--loss", help="With --train: cross_entropy, mean_square or sum.")
    ] = None
    recompute: Annotated[
        int | None,
        typer.Option("--recompute", min=2, help="With --train: segments to compute again."),
    ] = None


AS_IT_IS = ModelOptions()


def takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each field of its parameters that are `Options`."""
    hints = get_type_hints(command, include_extras=True)
    kinds: dict[str, type[Any]] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        hint = hints[parameter.name]
        if isinstance(hint, type) and issubclass(hint, Options):
            kinds[parameter.name] = hint
            parameters += _as_parameters(hint)
        else:
            kind = inspect.Parameter.KEYWORD_ONLY
            parameters.append(parameter.replace(annotation=hint, kind=kind))

    @functools.wraps(command)
    def called(**given: Any) -> None:
        made = {
            spot: kind(**{f.name: given.pop(f.name) for f in fields(kind)})
            for spot, kind in kinds.items()
        }
        command(**given, **made)

    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {p.name: p.annotation for p in parameters}
    return called


def _as_parameters(kind: type[Any]) -> list[inspect.Parameter]:
    types = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(
            f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=types[f.name]
        )
        for f in fields(kind)
    ]
