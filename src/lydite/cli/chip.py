"""`lydite chip`: a network on an accelerator that need not exist."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lydite.cli import options

if TYPE_CHECKING:
    from lydite.chip import ChipResult
    from lydite.graph import Graph
    from lydite.hardware.chip import Chip


@dataclass(frozen=True)
class DesignOptions(options.Options):
    """Which chip, and what of it is other than in its file."""

    chip: Annotated[
        str, typer.Option("--chip", help="A name of the catalog, a .yaml file, SMAUG's .cfg.")
    ] = "smv"
    dataflow: Annotated[str | None, typer.Option("--dataflow", help="Systolic: ws, os or is.")] = (
        None
    )
    overlap: Annotated[str | None, typer.Option("--overlap", help="Systolic: none or preload.")] = (
        None
    )
    accelerators: Annotated[int | None, typer.Option("--accelerators", min=1, help="How many.")] = (
        None
    )
    interface: Annotated[str | None, typer.Option("--interface", help="dma, acp or cache.")] = None
    threads: Annotated[
        int, typer.Option("--threads", min=1, help="Of the chip's processor, that copy tiles.")
    ] = 1

    def design(self) -> Chip:
        """The chip as asked for.

        Raises:
            InputError: no such chip, or it has no such part.
        """
        from lydite.chip.sweep import designed
        from lydite.hardware.chip import read_chip

        found = read_chip(self.chip)
        wanted = {
            name: getattr(self, name)
            for name in ("dataflow", "overlap", "accelerators", "interface")
        }
        found = designed(found, {name: v for name, v in wanted.items() if v is not None})
        if self.threads > found.cpu.cores:
            return replace(found, cpu=replace(found.cpu, cores=self.threads))
        return found


@options.takes_options
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
        str, typer.Option("--tiling", help="usual (SMV: SMAUG's), best (time) or best-energy.")
    ] = "usual",
    array_only: Annotated[
        bool, typer.Option("--array-only", help="Without processor and memory: never stalls.")
    ] = False,
    sample_level: Annotated[
        str, typer.Option("--sample-level", help="SMAUG's: no, low, medium, high, very_high.")
    ] = "no",
    aladdin_results: Annotated[
        bool, typer.Option("--aladdin-results", help="SMV: SMAUG's block of each invocation.")
    ] = False,
    compat: Annotated[
        str | None, typer.Option("--compat", help="Count as scalesim or smaug does, bugs included.")
    ] = None,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="What 10 % more of each part buys and costs.")
    ] = False,
    vary: Annotated[
        list[str] | None, typer.Option("--vary", help="With sweep: NAME=A,B,C (repeatable).")
    ] = None,
    trace: Annotated[Path | None, typer.Option("--trace", help="Perfetto trace to write.")] = None,
    report: Annotated[Path | None, typer.Option("--report", help="HTML page to write.")] = None,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Simulate a network on a chip: cycles by layer, what it waits for, power, area."""
    from lydite.chip import run_chip
    from lydite.cli.load import load_model
    from lydite.cli.show import deliver
    from lydite.errors import InputError, unknown_name

    made, name = design.design(), model[-1]
    if len(model) > 2 or (len(model) == 2 and model[0] != "sweep"):
        raise InputError(f"{len(model)} models", allowed="[sweep] MODEL")
    if compat is not None and compat not in ("scalesim", "smaug"):
        raise unknown_name("compatibility", compat, ("scalesim", "smaug"))
    if compat == "scalesim":
        played = {"--trace": trace, "--report": report, "--sensitivity": sensitivity}
        _refuse_together("--compat scalesim", {**played, "--vary": vary})
        from lydite.cli.chip_scalesim import scalesim

        scalesim(name, shape, design.chip, made, out, json)
        return
    if shape.dtype is not None and shape.dtype != made.dtype:
        raise InputError(
            f"{made.name} computes {made.dtype}, not {shape.dtype}", hint="leave --dtype out"
        )
    if compat == "smaug" and not made.has_smv:
        raise InputError("--compat smaug is for SMV", where=made.name)
    graph = load_model(name, shape)
    settings = {"threads": design.threads, "soc": not array_only, "tiling": tiling}
    if len(model) == 2:
        _refuse_together(
            "a sweep", {"--trace": trace, "--report": report, "--sensitivity": sensitivity}
        )
        _swept(graph, made, settings, vary or [], out, json, quiet)
        return
    if vary:
        raise InputError("--vary is for sweeps", hint="lydite chip sweep MODEL --vary NAME=A,B,C")
    result = run_chip(graph, made, **settings)
    _write(result, trace, report, quiet)
    from lydite.cli.chip_text import blocks, document, text

    found = document(result, compat == "smaug", sample_level)
    if sensitivity:
        from lydite.chip.sensitivity import sensitivity as buys

        found["ten_percent_more_changes"] = buys(graph, made, settings)
    if deliver("chip", found, out, as_json=json):
        return
    if aladdin_results:
        print(blocks(result, compat == "smaug", sample_level))
        return
    print(text(result, found))


def _refuse_together(what: str, given: dict[str, object]) -> None:
    """Options that would do nothing are refused, not dropped."""
    from lydite.errors import InputError

    for option, value in given.items():
        if value:
            raise InputError(f"{what} takes no {option}", hint=f"leave {option} out")


def _swept(
    graph: Graph,
    made: Chip,
    settings: dict[str, Any],
    vary: list[str],
    out: Path | None,
    json: bool,
    quiet: bool,
) -> None:
    """All designs, and which of them nothing beats."""
    from lydite.chip.sweep import pareto, parse_vary, sweep
    from lydite.cli.chip_text import sweep_text, write_sweep_page
    from lydite.cli.show import deliver, progress_bar, say
    from lydite.errors import InputError

    chosen = parse_vary(vary, made)
    if not chosen:
        raise InputError("a sweep varies nothing", hint="add --vary pes=4,8,16")
    kept = None if out is None else out / "sweep.jsonl"
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    with progress_bar("sweep", quiet or json) as progress:
        rows = sweep(graph, made, chosen, settings=settings, kept=kept, progress=progress)
    if all("error" in row for row in rows):
        raise InputError(f"none of {len(rows)} designs runs: {rows[0]['error']}")
    best = pareto(rows, ("seconds", "energy_j", "area_mm2"))
    for row, good in zip(rows, best, strict=True):
        row["pareto"] = bool(good)
    document = {"model": graph.name, "chip": made.name, "varied": list(chosen), "designs": rows}
    if out is not None:
        say(f"written: {write_sweep_page(document, out / 'sweep.html')}", quiet)
    if deliver("sweep", document, out, as_json=json):
        return
    print(sweep_text(document))


def _write(result: ChipResult, trace: Path | None, report: Path | None, quiet: bool) -> None:
    from lydite.cli.show import say
    from lydite.errors import InputError

    if (trace is not None or report is not None) and result.soc is None:
        raise InputError("--array-only plays nothing to show", hint="leave it out")
    soc = result.soc
    if trace is not None and soc is not None:
        from lydite.chip.soc import CATEGORIES
        from lydite.report.trace import slices_of, write_trace

        found = slices_of(soc.timeline, soc.server_names, CATEGORIES)
        say(f"written: {write_trace(trace, found, process=result.model)}", quiet)
    if report is not None:
        from lydite.report.chip import write_chip_page

        say(f"written: {write_chip_page(result, report)}", quiet)
