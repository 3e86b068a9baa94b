"""`lydite chip`: simulate a network on an accelerator design."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lydite.api.chip import DesignOptions
from lydite.cli import options, recording
from lydite.errors import InputError, unknown_name

_SUBVERBS = ("sweep",)


@recording.optional
def chip(
    model: Annotated[
        list[str],
        typer.Argument(
            metavar="[sweep] MODEL", help="A model as for inspect, or SCALE-Sim's topology .csv."
        ),
    ],
    design: DesignOptions,
    shape: options.ModelOptions = options.AS_IT_IS,
    tiling: Annotated[
        str,
        typer.Option("--tiling", help="Tiling: usual (SMV: SMAUG's), best (time) or best-energy."),
    ] = "usual",
    array_only: Annotated[
        bool,
        typer.Option(
            "--array-only", help="Leave out processor and memory, so that nothing stalls."
        ),
    ] = False,
    sample_level: Annotated[
        str,
        typer.Option(
            "--sample-level", help="SMAUG's sample level: no, low, medium, high or very_high."
        ),
    ] = "no",
    aladdin_results: Annotated[
        bool,
        typer.Option("--aladdin-results", help="Print SMAUG's block of each SMV invocation."),
    ] = False,
    compat: Annotated[
        str | None,
        typer.Option("--compat", help="Count as scalesim or smaug does, including their bugs."),
    ] = None,
    sensitivity: Annotated[
        bool,
        typer.Option("--sensitivity", help="Show what 10 % more of each part saves and costs."),
    ] = False,
    vary: Annotated[
        list[str] | None,
        typer.Option("--vary", help="Values of a sweep parameter, as NAME=A,B,C (repeatable)."),
    ] = None,
    ray: options.Ray = None,
    trace: Annotated[
        Path | None,
        typer.Option("--trace", help="Perfetto trace to write, or a .npz for `lydite ui`."),
    ] = None,
    report: Annotated[Path | None, typer.Option("--report", help="HTML page to write.")] = None,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Simulate a network on a chip: cycles and stalls by layer, energy, area."""
    from lydite.cli.show import deliver, say, session

    name, sweeps = _named(model)
    if compat is not None and compat not in ("scalesim", "smaug"):
        raise unknown_name("compatibility", compat, ("scalesim", "smaug"))
    here = session(quiet=quiet or json)
    alone = {"--trace": trace, "--report": report, "--sensitivity": sensitivity}
    if compat == "scalesim":
        _refuse_together("--compat scalesim", {**alone, "--vary": vary, "--ray": ray})
        counted = here.scalesim(name, options=shape, design=design)
        if out is not None:
            for path in counted.write_reports(out):
                say(f"written: {path}", quiet)
        deliver(counted, json=json, out=out)
        return
    if sweeps:
        _refuse_together("a sweep", alone)
        kept = None if out is None else out / "sweep.jsonl"
        swept = here.sweep(
            name,
            vary=vary or [],
            tiling=tiling,
            array_only=array_only,
            kept=kept,
            ray=ray,
            options=shape,
            design=design,
        )
        if out is not None:
            say(f"written: {swept.write_report(out / 'sweep.html')}", quiet)
        deliver(swept, json=json, out=out)
        return
    if vary:
        raise InputError("--vary is for sweeps", hint="lydite chip sweep MODEL --vary NAME=A,B,C")
    if ray is not None:
        raise InputError("--ray is for sweeps", hint="lydite chip sweep MODEL --vary NAME=A,B,C")
    result = here.chip(
        name,
        tiling=tiling,
        array_only=array_only,
        sample_level=sample_level,
        compat=compat,
        sensitivity=sensitivity,
        options=shape,
        design=design,
    )
    if trace is not None:
        say(f"written: {result.write_trace(trace)}", quiet)
    if report is not None:
        say(f"written: {result.write_report(report)}", quiet)
    deliver(
        result,
        json=json,
        out=out,
        text=result.aladdin_results if aladdin_results else result.summary,
    )


def _named(words: list[str]) -> tuple[str, bool]:
    """The model, and whether to sweep; a model file called sweep is written ./sweep."""
    sweeps = words[0] in _SUBVERBS
    if len(words) == 1 and sweeps:
        raise InputError(
            f"'{words[0]}' does not name a model",
            allowed=f"{words[0]} MODEL",
            hint=f"a file of that name is written ./{words[0]}",
        )
    if len(words) > 2 or (len(words) == 2 and not sweeps):
        raise InputError(f"{len(words)} models", allowed="[sweep] MODEL")
    return words[-1], sweeps


def _refuse_together(what: str, given: dict[str, object]) -> None:
    """Refuse options that would have no effect."""
    for option, value in given.items():
        if value:
            raise InputError(f"{what} takes no {option}", hint=f"leave {option} out")
