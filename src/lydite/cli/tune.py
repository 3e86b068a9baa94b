"""`lydite tune`: tune a model's operators, or one operator; race tuners; logs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from lydite.cli import options, recording
from lydite.errors import InputError

if TYPE_CHECKING:
    from lydite.api import Session

DEFAULT = "model"
_HELP = ("-h", "--help")


class ModelFirst(TyperGroup):
    """A group whose first word is a subcommand, or else the model of the subcommand `model`."""

    default_command = DEFAULT

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert `model` before anything that is no subcommand."""
        if args and args[0] not in self.commands and args[0] not in _HELP:
            args = [self.default_command, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=ModelFirst,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Tune operators, and run the model with what is shown to be faster than ONNX Runtime's. "
    "`lydite tune MODEL` is short for `lydite tune model MODEL`.",
)

Tuner = Annotated[
    str,
    typer.Option(
        "--tuner",
        help="Tuner: own, formula, random, gridsearch, ga, xgb, xgb-rank, xgb_knob, xgb_itervar, "
        "xgb_curve, tpe or nevergrad.",
    ),
]
Trials = Annotated[
    int, typer.Option("--trials", help="Most trials of an operator, 1 to 3000, kept ones included.")
]
Target = Annotated[str, typer.Option("--target", help="Target of the compiler: llvm.")]
Operator = Annotated[
    str,
    typer.Argument(help="Operator: conv2d, depthwise, matmul, softmax, layernorm or gelu."),
]
Shape = Annotated[
    str, typer.Option("--shape", help="Shape of the input, such as 1,64,56,56 or 128,768.")
]
Filters = Annotated[
    int,
    typer.Option("--filters", min=0, help="Number of output channels, or of columns of a product."),
]
Kernel = Annotated[
    int, typer.Option("--kernel", min=1, help="Height and width of a convolution's kernel.")
]
Stride = Annotated[int, typer.Option("--stride", min=1, help="Stride of a convolution.")]
_SOURCES = ("local", "transformers", "remoteonnx", "simple")


@app.command(DEFAULT)
@recording.always
def model(
    name: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="Model, as for `lydite predict`, or --modelname."),
    ] = None,
    ops: Annotated[
        str,
        typer.Option(
            "--ops", help="Operators to tune: top5, all, or types such as Conv,Gemm; default: top5."
        ),
    ] = "top5",
    tuner: Tuner = "own",
    trials: Trials = 60,
    target: Target = "llvm",
    shape: options.ModelOptions = options.AS_IT_IS,
    modelsource: Annotated[
        str | None,
        typer.Option("--modelsource", help="Source: local, transformers, remoteonnx or simple."),
    ] = None,
    modelname: Annotated[
        str | None, typer.Option("--modelname", help="Model, in OpBench's words.")
    ] = None,
    batchsize: Annotated[
        int | None, typer.Option("--batchsize", min=1, help="Same as --batch.")
    ] = None,
    iftune: Annotated[
        str, typer.Option("--iftune", help="true to tune, false to list the operators.")
    ] = "true",
    ifcompare: Annotated[
        str, typer.Option("--ifcompare", help="true to run the whole model before and after.")
    ] = "true",
    db: options.DatabaseTarget = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Tune the operators of a model that take longest, and measure the model before and after."""
    from dataclasses import replace

    from lydite.cli.show import deliver, say, session

    here = session(db, seed=seed, quiet=quiet or json)
    if batchsize is not None:
        if shape.batch is not None:
            raise InputError("--batch and --batchsize are the same", hint="give one of them")
        shape = replace(shape, batch=batchsize)
    if modelsource == "simple":
        deliver(_square(here, tuner, trials, target), json=json, out=out)
        return
    named = _named(name, modelname, modelsource)
    if not _truth("--iftune", iftune):
        deliver(here.ops(named, options=shape), json=json, out=out)
        return
    result = here.tune(
        named,
        ops=ops,
        tuner=tuner,
        trials=trials,
        target=target,
        whole=_truth("--ifcompare", ifcompare),
        options=shape,
    )
    if deliver(result, json=json, out=out) and result.facts["whole"] is not None:
        say(f"\nNext: lydite bench {named} --backend tuned", quiet)


def _square(here: Session, tuner: str, trials: int, target: str) -> Any:
    """OpBench's simple source: the product of two 1024 x 1024 matrices."""
    return here.tune_op(
        "matmul", shape=(1024, 1024), filters=1024, tuner=tuner, trials=trials, target=target
    )


def _named(name: str | None, modelname: str | None, source: str | None) -> str:
    """The model that the words name."""
    if source is not None and source not in _SOURCES:
        raise InputError(f"unknown source '{source}'", allowed=", ".join(_SOURCES))
    if (name is None) == (modelname is None):
        raise InputError(
            "no model is named" if name is None else "two models are named",
            allowed="MODEL, or --modelname",
            hint="lydite models lists the set",
        )
    named = name or modelname or ""
    if "://" in named:
        raise InputError(
            "nothing is downloaded", where=named, hint="fetch the file, and name it here"
        )
    if source == "remoteonnx" and not named.endswith(".onnx"):
        raise InputError(f"'{named}' is not an .onnx file", where="--modelsource remoteonnx")
    return named


def _truth(option: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise InputError(f"{option} is '{text}'", allowed="true or false")
    return text.lower() == "true"


@app.command()
@recording.always
def op(
    operator: Operator,
    shape: Shape,
    filters: Filters = 0,
    kernel: Kernel = 3,
    stride: Stride = 1,
    tuner: Tuner = "own",
    trials: Trials = 60,
    target: Target = "llvm",
    db: options.DatabaseTarget = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Tune one operator by name and size."""
    from lydite.cli.show import deliver, session

    result = session(db, seed=seed, quiet=quiet or json).tune_op(
        operator,
        shape=shape,
        filters=filters,
        kernel=kernel,
        stride=stride,
        tuner=tuner,
        trials=trials,
        target=target,
    )
    deliver(result, json=json, out=out)


@app.command()
@recording.optional
def compare(
    operator: Operator,
    shape: Shape,
    filters: Filters = 0,
    kernel: Kernel = 3,
    stride: Stride = 1,
    tuners: Annotated[
        str, typer.Option("--tuners", help="Tuners, separated by commas.")
    ] = "own,xgb,xgb-rank,ga,random,gridsearch",
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Number of searches by each tuner.")
    ] = 5,
    table: Annotated[
        int, typer.Option("--table", min=2, help="Number of configurations to measure.")
    ] = 200,
    trials: Annotated[
        int, typer.Option("--trials", min=1, help="Most trials of each search.")
    ] = 100,
    db: options.DatabaseTarget = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Race tuners on a table of measured configurations of one operator."""
    from lydite.cli.show import deliver, session

    result = session(db, seed=seed, quiet=quiet or json).tune_compare(
        operator,
        shape=shape,
        filters=filters,
        kernel=kernel,
        stride=stride,
        tuners=tuners,
        seeds=seeds,
        table=table,
        trials=trials,
    )
    deliver(result, json=json, out=out)


@app.command()
@recording.optional
def expect(
    model: options.Model,
    trials: Trials = 60,
    top: Annotated[
        int, typer.Option("--top", min=0, help="Number of operators to look at; 0 for all.")
    ] = 10,
    shape: options.ModelOptions = options.AS_IT_IS,
    db: options.DatabaseTarget = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Predict how fast operators could be after tuning, and which factors matter."""
    from lydite.cli.show import deliver, session

    result = session(db, seed=seed, quiet=quiet or json).tune_expect(
        model, trials=trials, top=top, options=shape
    )
    deliver(result, json=json, out=out)


@app.command()
def export(
    path: Annotated[Path, typer.Argument(metavar="LOG", help="File to write.")],
    form: Annotated[
        str, typer.Option("--form", help="Form: lydite (JSON lines) or autotvm (AutoTVM 0.2).")
    ] = "lydite",
    db: options.DatabaseTarget = None,
    json: options.Json = False,
) -> None:
    """Write all trials of the database to a log."""
    from lydite.cli.show import deliver, session

    deliver(session(db, quiet=True).tune_export(path, form=form), json=json)


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(metavar="LOG", help="Log of AutoTVM 0.2 or of Lydite.")],
    db: options.DatabaseTarget = None,
    json: options.Json = False,
) -> None:
    """Read a log; its configurations are tried first from then on."""
    from lydite.cli.show import deliver, session

    deliver(session(db, quiet=True).tune_import(path), json=json)
