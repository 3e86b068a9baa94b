"""Words of the Sinian harness on `lydite mlperf`: its RUN_ARGS, and underscores in options."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from lydite.api.mlperf.scenario import ScenarioRun

Benchmark = Annotated[
    str,
    typer.Argument(
        metavar="[BENCHMARK]",
        help="Benchmark of the round, name of the model set, or file; several separated by commas.",
    ),
]
Benchmarks = Annotated[
    str, typer.Option("--benchmarks", help="The same as BENCHMARK, separated by commas.")
]

ForceCalibration = Annotated[
    bool,
    typer.Option("--force_calibration", help="Calibrate an int8 engine although it has a table."),
]
VARIABLE = "RUN_ARGS"
TAKING = ("build", "calibrate", "run", "audit")
"""Commands to whose arguments RUN_ARGS is appended, as the harness's targets take them."""
SETTINGS = {"token_normalize_func": lambda word: word.replace("_", "-")}
"""Options are the same with underscores, as in --min_duration."""


class Group(TyperGroup):
    """The commands of `lydite mlperf`, to some of which RUN_ARGS is appended."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command with its arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command, [*rest, *(run_args() if name in TAKING else [])]


def run_args() -> list[str]:
    """Arguments of the environment variable RUN_ARGS.

    Raises:
        BadParameter: it is malformed.
    """
    text = os.environ.get(VARIABLE, "")
    try:
        return shlex.split(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{VARIABLE}='{text}' cannot be split into arguments: {str(error).lower()}"
        ) from None


def named(benchmark: str, benchmarks: str) -> str:
    """The benchmarks of the argument and of --benchmarks.

    Raises:
        BadParameter: none is named, or both name some.
    """
    if bool(benchmark) == bool(benchmarks):
        what = "both BENCHMARK and --benchmarks are given" if benchmark else "no benchmark is named"
        raise typer.BadParameter(f"{what}: resnet50, or --benchmarks=resnet50,bert")
    return benchmark or benchmarks


def tell_settings(run: ScenarioRun) -> None:
    """Say every setting of a run, its origin and its engine, on standard error."""
    from lydite.cli.show import say

    say(f"{run.target.name} {run.name} {run.mode}: engine {run.engine or 'none'}, {run.data}")
    for setting in run.settings.values.values():
        say(f"  {setting.name} = {setting.value} ({setting.origin})")


def copy_detail(run: ScenarioRun) -> None:
    """Copy LoadGen's detail log to standard error."""
    from lydite.cli.show import say
    from lydite.mlperf.loadgen import DETAIL

    if run.folder is not None and (run.folder / DETAIL).is_file():
        say((run.folder / DETAIL).read_text("utf-8", errors="replace").rstrip())
