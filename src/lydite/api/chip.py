"""`chip`: simulate a network on an accelerator design."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Unpack, cast

from typing_extensions import TypedDict

from lydite.api.keywords import DesignKeywords
from lydite.api.load import Model, ModelLike, resolve, unwrapped
from lydite.api.options import Help, ModelOptions, Options, chosen
from lydite.errors import InputError, unknown_name
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.chip import ChipRun
    from lydite.hardware.chip import Chip


@dataclass(frozen=True)
class DesignOptions(Options):
    """Options that select a chip and override parts of its file.

    Attributes:
        chip: Catalog name, .yaml file, or SMAUG's .cfg file.
        dataflow: Dataflow of a systolic array: "ws", "os" or "is".
        overlap: Fold overlap of a systolic array: "none" or "preload"; None for the file's, or for
            "none" if the dataflow is "os".
        accelerators: Number of accelerators on the chip.
        interface: How the accelerators reach memory: "dma", "acp" or "cache".
        threads: Number of threads of the chip's processor that copy tiles.
    """

    chip: Annotated[str, Help("Chip: a catalog name, a .yaml file, or SMAUG's .cfg file.")] = "smv"
    dataflow: Annotated[str | None, Help("Dataflow of a systolic array: ws, os or is.")] = None
    overlap: Annotated[
        str | None, Help("Overlap of folds in a systolic array: none or preload.")
    ] = None
    accelerators: Annotated[int | None, Help("Number of accelerators on the chip.", min=1)] = None
    interface: Annotated[str | None, Help("How accelerators reach memory: dma, acp or cache.")] = (
        None
    )
    threads: Annotated[
        int, Help("Number of threads of the chip's processor that copy tiles.", min=1)
    ] = 1

    def design(self) -> Chip:
        """The chip with the overrides.

        Raises:
            InputError: the chip does not exist, or lacks the part to override.
        """
        from lydite.chip.sweep import designed
        from lydite.hardware.chip import read_chip

        chip = read_chip(self.chip)
        wanted = {
            name: getattr(self, name)
            for name in ("overlap", "dataflow", "accelerators", "interface")
        }
        if self.dataflow == "os" and self.overlap is None and hasattr(chip.array, "overlap"):
            wanted["overlap"] = "none"  # an output-stationary array has no operand to preload
        chip = designed(chip, {name: v for name, v in wanted.items() if v is not None})
        if self.threads > chip.cpu.cores:
            return replace(chip, cpu=replace(chip.cpu, cores=self.threads))
        return chip


class LayerRow(TypedDict):
    """One layer; `fallback_reason` says why the processor runs it, or is ""."""

    name: str
    op_type: str
    on: str
    kernel: str
    invocations: int
    cycles: float
    macs: float
    cycles_by_part: dict[str, float]
    load_bytes: float
    store_bytes: float
    host_s: float
    fallback_reason: str
    work_is_known: bool
    runs: int


class LayerOnProcessor(TypedDict):
    """A layer that the processor runs."""

    name: str
    op_type: str
    fallback_reason: str
    seconds: float
    flops: float | None


class OpenControlFlow(TypedDict):
    """Control flow of which one iteration, or the branch that is known, is counted."""

    name: str
    op_type: str
    reason: str
    macs: float


class LanguageModel(TypedDict):
    """A language model on a chip; `fits` says whether weights and KV cache fit in DRAM."""

    tokens: int
    tokens_per_s: float
    kv_cache_bytes: float
    weights_bytes: float
    dram_bytes: float
    fits: bool


class ChipDocument(TypedDict):
    """A network on a chip, with all its layers."""

    model: str
    chip: str
    dtype: str
    dtype_reason: str
    source: str
    seconds: float
    cycles: float
    accelerator_cycles: float
    macs: float
    utilisation: float
    cycles_by_part: dict[str, float]
    energy_j: float
    energy_by_component_j: dict[str, float]
    power_w: float | None
    area_mm2: float
    area_by_component_mm2: dict[str, float]
    energy_scope: str
    language_model: LanguageModel | None
    layers: list[LayerRow]
    unknown_work: list[str]
    open_control_flow: list[OpenControlFlow]
    notes: list[str]
    invocations: list[dict[str, Any]]
    on_processor: list[LayerOnProcessor]
    ten_percent_more_changes: dict[str, dict[str, float] | None] | None


@dataclass(frozen=True, eq=False, repr=False)
class ChipResult(Result):
    """Simulation of a network on a chip.

    Attributes:
        model: Model that was simulated.
        network: Time, layers and stalls.
        compat: "smaug" if power is counted with SMAUG's bugs; else None.
        sample_level: SMAUG's sample level of invocations.
        changes: Effects of 10 % more of each part, by part.
    """

    verb = "chip"
    deprecated: ClassVar[Mapping[str, str]] = {
        "kind": "source",
        "layers[].why": "layers[].fallback_reason",
        "on_processor[].why": "on_processor[].fallback_reason",
    }

    model: Model
    network: ChipRun
    compat: str | None = None
    sample_level: str = "no"
    changes: Mapping[str, dict[str, float] | None] | None = None

    @property
    def seconds(self) -> float:
        """Time of the network in seconds."""
        return self.network.seconds

    @property
    def cycles(self) -> float:
        """Time in accelerator cycles."""
        return self.network.cycles

    @property
    def utilisation(self) -> float:
        """Multiply-accumulates over the maximum of all arrays in the same time."""
        return self.network.utilisation

    def document(self) -> ChipDocument:
        """The network, all its layers and all invocations."""
        calls = _invocations(self.network, self.compat == "smaug", self.sample_level)
        return cast("ChipDocument", {**_overview(self), "invocations": calls})

    def summary(self) -> str:
        """Time, energy and area, activity and stalls, and the layers."""
        from lydite.report.text.chip import chip_text

        return self.model.noted(chip_text(self.network, _overview(self)))

    def headline(self) -> str:
        """Time and cycles."""
        from lydite.units import format_seconds

        least = "at least " if self.network.is_least else ""
        return (
            f"{self.network.model} on {self.network.chip.name}: {least}"
            f"{format_seconds(self.seconds)}, {self.cycles:,.0f} cycles"
        )

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per layer."""
        return _overview(self)["layers"]

    def aladdin_results(self) -> str:
        """SMAUG's "Aladdin Results" of every invocation."""
        return "\n".join(block for _, block in self.aladdin_blocks())

    def aladdin_blocks(self, program: str = "./outputs/nnet_fwd") -> list[tuple[str, str]]:
        """SMAUG's "Aladdin Results" of each invocation, paired with its layer.

        Args:
            program: Name of the program to print.
        """
        return _blocks(self.network, self.compat == "smaug", self.sample_level, program)

    def write_trace(self, path: Path | str) -> Path:
        """Write the timeline as a Perfetto trace; of iterations of a loop that are alike, one.

        Raises:
            InputError: only the array was simulated.
        """
        from lydite.chip.soc_jobs import CATEGORIES
        from lydite.report.trace import slices_of, write_trace

        soc = self.network.soc
        if soc is None:
            raise InputError("--array-only has no timeline", hint="leave it out")
        slices = slices_of(soc.timeline, soc.server_names, CATEGORIES)
        return write_trace(Path(path), slices, process=self.network.model)

    def write_report(self, path: Path | str) -> Path:
        """Write a self-contained HTML page.

        Raises:
            InputError: only the array was simulated.
        """
        from lydite.report.chip import write_chip_page

        if self.network.soc is None:
            raise InputError("--array-only has no timeline", hint="leave it out")
        return write_chip_page(self.network, Path(path))


def chip(
    session: Session,
    model: ModelLike,
    *,
    tiling: str = "usual",
    array_only: bool = False,
    sample_level: str = "no",
    compat: str | None = None,
    sensitivity: bool = False,
    options: ModelOptions | None = None,
    design: DesignOptions | Chip | None = None,
    **given: Unpack[DesignKeywords],
) -> ChipResult:
    """Simulate a network on a chip: cycles and stalls by layer, energy, area.

    Args:
        session: Not used.
        model: Network to simulate; see `load`.
        tiling: Tiling policy: "usual" (SMAUG's on SMV arrays), "best" (least time) or
            "best-energy".
        array_only: Whether to leave out processor and memory, so that nothing stalls.
        sample_level: SMAUG's sample level of invocations: "no", "low", "medium", "high",
            "very_high".
        compat: "smaug" to count power as SMAUG does, bugs included.
        sensitivity: Whether to compute the effect of 10 % more of each part.
        options: Options of the model.
        design: Options of the chip, or a `Chip`.
        given: Fields of `DesignOptions` and `ModelOptions`, such as `chip="systolic-128"`.

    Raises:
        InputError: a chip or option is unknown, or the network does not fit.
    """
    from lydite.chip import run_chip
    from lydite.chip.sensitivity import sensitivity as changes

    del session
    net, made, threads = designed_options(options, design, given)
    if compat not in (None, "smaug"):
        raise unknown_name("compatibility", str(compat), ("scalesim", "smaug"))
    built = model_for(model, net, made)
    if compat == "smaug" and not made.has_smv:
        raise InputError("--compat smaug is for SMV", where=made.name)
    settings: dict[str, Any] = {"threads": threads, "soc": not array_only, "tiling": tiling}
    network = run_chip(built.graph, made, **settings)
    changed = changes(built.graph, made, settings) if sensitivity else None
    return ChipResult(built, network, compat, sample_level, changed)


def designed_options(
    options: ModelOptions | None, design: DesignOptions | Chip | None, given: Mapping[str, object]
) -> tuple[ModelOptions, Chip, int]:
    """Sort keyword arguments into options of the model, the chip, and the copying threads.

    Raises:
        InputError: an option is unknown (the error suggests the nearest one), or the chip does not
            exist.
    """
    from lydite.hardware.chip import Chip

    left = dict(given)
    if isinstance(design, Chip):
        threads = chosen(DesignOptions, None, {"threads": left.pop("threads", 1)}).threads
        return chosen(ModelOptions, options, left), design, threads
    names = [name for name in DesignOptions.__dataclass_fields__ if name in left]
    made = chosen(DesignOptions, design, {name: left.pop(name) for name in names})
    net = chosen(ModelOptions, options, left)
    return net, made.design(), made.threads


def model_for(model: ModelLike, options: ModelOptions, chip: Chip) -> Model:
    """The model in the chip's data type.

    Raises:
        InputError: another data type was requested.
    """
    asked = unwrapped(model, options)[1].dtype
    if asked is not None and asked != chip.dtype:
        raise InputError(
            f"{chip.name} computes {chip.dtype}, not {asked}", hint="leave --dtype out"
        )
    built = resolve(model, options)
    if built.graph.open_dims:
        names = " ".join(f"--dim {name}=SIZE" for name in built.graph.open_dims)
        raise InputError("symbolic sizes are not bound", where=built.name, hint=f"add {names}")
    return replace(built, dtype=chip.dtype, dtype_reason=f"{chip.name} computes it")


def _overview(result: ChipResult) -> dict[str, Any]:
    """The document without the invocations."""
    from lydite.chip.figures import energy_of

    network = result.network
    used = energy_of(network)
    layers: list[LayerRow] = [
        {
            "name": cost.name,
            "op_type": cost.op_type,
            "on": cost.on,
            "kernel": cost.kernel,
            "invocations": cost.invocations,
            "cycles": sum(parts.values()),
            "macs": cost.macs,
            "cycles_by_part": _keyed(parts),
            "load_bytes": cost.load_bytes,
            "store_bytes": cost.store_bytes,
            "host_s": cost.host_s,
            "fallback_reason": cost.fallback_reason,
            "work_is_known": not cost.is_unknown,
            "runs": cost.runs,
        }
        for cost, parts in zip(network.plan.costs, network.stalls(), strict=True)
    ]
    return {
        "model": network.model,
        "chip": network.chip.name,
        "dtype": result.model.dtype,
        "dtype_reason": result.model.dtype_reason,
        "source": "simulated",
        "seconds": network.seconds,
        "cycles": network.cycles,
        "accelerator_cycles": network.plan.cycles,
        "macs": network.macs,
        "utilisation": network.utilisation,
        "cycles_by_part": _keyed(network.by_part()),
        "energy_j": used.joules,
        "energy_by_component_j": _keyed(used.by_component_j),
        "power_w": used.joules / network.seconds if network.seconds else None,
        "area_mm2": used.area_mm2,
        "area_by_component_mm2": _keyed(used.area_by_component_mm2),
        "energy_scope": used.scope,
        "language_model": _language_model(result),
        "layers": layers,
        "unknown_work": [each.name for each in (*network.plan.unknown, *network.open)],
        "open_control_flow": [asdict(each) for each in network.open],
        "notes": list(result.model.notes),
        "on_processor": [
            {
                "name": cost.name,
                "op_type": cost.op_type,
                "fallback_reason": cost.fallback_reason,
                "seconds": cost.host_s,
                "flops": None if cost.is_unknown else cost.host_flops,
            }
            for cost in network.plan.host
        ],
        "ten_percent_more_changes": None if result.changes is None else dict(result.changes),
    }


def _language_model(result: ChipResult) -> LanguageModel | None:
    """Tokens per second and memory of a model that has a KV cache; None for others.

    A cache is what the graph takes as "past..." or returns as "present...", the larger of the two.
    """
    from lydite.chip.memory import stored_bytes

    graph, network = result.model.forward, result.network
    caches = (
        [name for name in names if name.startswith(prefix)]
        for names, prefix in ((graph.inputs, "past"), (graph.outputs, "present"))
    )
    cache = max(sum(stored_bytes(graph.type_of(n), network.chip) for n in each) for each in caches)
    tokens = next(
        (
            type_.numel
            for type_ in map(graph.type_of, graph.inputs)
            if type_.dtype in ("int32", "int64") and type_.shape and len(type_.shape) == 2
        ),
        None,
    )
    if not cache or not tokens or not network.seconds:
        return None
    weights = sum(stored_bytes(w.type, network.chip) for w in graph.initializers.values())
    room = network.chip.dram.bytes
    return {
        "tokens": tokens,
        "tokens_per_s": tokens / network.seconds,
        "kv_cache_bytes": cache,
        "weights_bytes": weights,
        "dram_bytes": room,
        "fits": cache + weights <= room,
    }


def _keyed(parts: Mapping[str, float]) -> dict[str, float]:
    """Names for people as keys: "weight load" as "weight_load"."""
    return {name.lower().replace(" ", "_"): value for name, value in parts.items()}


def _blocks(result: ChipRun, compat: bool, level: str, program: str) -> list[tuple[str, str]]:
    """Layer and "Aladdin Results" of every invocation."""
    from lydite.chip.figures import smv_power
    from lydite.chip.smv.aladdin import aladdin_results

    power = smv_power(result, level=level, compat=compat)
    inv: Any = result.plan.invocations
    names = inv.kernel_names
    return [
        (inv.layers[int(inv.layer[row])], aladdin_results(power, row, names[row], program))
        for row in range(len(names))
    ]


def _invocations(result: ChipRun, compat: bool, level: str) -> list[dict[str, Any]]:
    """Each invocation of an accelerator; SMV's with their power."""
    jobs, costs = result.plan.jobs, result.plan.costs
    cycles = (jobs.begin_s + jobs.load_s + jobs.compute_s + jobs.store_s) * result.chip.clock_hz
    found: list[dict[str, Any]] = [
        {
            "layer": costs[layer].name,
            "kernel": costs[layer].kernel,
            "cycles": round(float(cycles[at])),
            "accelerator": int(jobs.accelerator[at]),
            "load_bytes": float(jobs.load_bytes[at]),
            "store_bytes": float(jobs.store_bytes[at]),
        }
        for at, layer in enumerate(jobs.layer.tolist())
    ]
    if result.dataflow.has_invocation_power(result.chip):
        for row, power in zip(found, _powers(result, compat, level), strict=True):
            row |= power
    return found


def _powers(result: ChipRun, compat: bool, level: str) -> Iterator[dict[str, float]]:
    from lydite.chip.figures import smv_power

    power = smv_power(result, level=level, compat=compat)
    average, area_um2 = power.average, power.area_um2
    for at in range(len(average)):
        yield {
            "average_power_mw": float(average[at]),
            "upsampled_cycles": float(power.upsampled_cycles[at]),
            "area_um2": float(area_um2[at]),
            **{name: round(float(c[at])) for name, c in power.units.columns.items()},
        }
