"""Options that mean the same in every command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, units in its keys.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no advice.")]
Out = Annotated[Path | None, typer.Option("--out", help="Folder for the files that are written.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of weights, inputs and orders.")]
DatabaseTarget = Annotated[
    str | None,
    typer.Option(
        "--db", help="Database: a file or postgresql:// URL (else LYDITE_DB, else yours)."
    ),
]
Models = Annotated[
    list[str], typer.Argument(metavar="MODEL...", help="Names of the model set, or .onnx files.")
]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model's name, or an .onnx file.")]
BackendName = Annotated[
    str, typer.Option("--backend", help="Who runs: onnxruntime, torch, replay.")
]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Threads inside an operator.")]
On = Annotated[
    str, typer.Option("--on", help="Device: cpu, a name of the catalog, or a .yaml file.")
]
Batch = Annotated[int | None, typer.Option("--batch", min=1, help="Batch size.")]
ImageSize = Annotated[int | None, typer.Option("--image-size", min=1, help="Image side, pixels.")]
Sequence = Annotated[int | None, typer.Option("--sequence", min=1, help="Sequence length, tokens.")]
Dtype = Annotated[str, typer.Option("--dtype", help="float32, float16 or bfloat16.")]
Dims = Annotated[
    list[str] | None, typer.Option("--dim", help="NAME=SIZE binds a symbolic size (repeatable).")
]
Budget = Annotated[
    float, typer.Option("--budget", min=0.01, help="Seconds to spend on each thing measured.")
]
ClockName = Annotated[str, typer.Option("--clock", help="wall (latency) or process (CPU time).")]
Cache = Annotated[
    str, typer.Option("--cache", help="Weights before a call: rotated (as in a net), hot or cold.")
]
