"""Options of a step on a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lydite.cli.options import ModelOptions, Options

if TYPE_CHECKING:
    from lydite.cluster import Plan
    from lydite.cluster.constants import Constants
    from lydite.hardware import Device
    from lydite.hardware.cluster import Cluster


@dataclass(frozen=True)
class NetOptions(Options):
    """What is computed."""

    train: Annotated[bool, typer.Option("--train", help="A training step.")] = False
    sequence: Annotated[int | None, typer.Option("--sequence", min=1, help="Tokens.")] = None
    image_size: Annotated[int | None, typer.Option("--image-size", min=1, help="Pixels.")] = None
    phase: Annotated[str | None, typer.Option("--phase", help="Without --train.")] = None
    context: Annotated[int | None, typer.Option("--context", min=0, help="Cached tokens.")] = None
    dtype: Annotated[
        str | None, typer.Option("--dtype", help="As for inspect; language models: half.")
    ] = None
    optimizer: Annotated[str, typer.Option("--optimizer", help="With --train.")] = "adam"
    loss: Annotated[str | None, typer.Option("--loss", help="With --train.")] = None

    def shape(self, model: str, batch: int | None, cp: int, device: Device) -> ModelOptions:
        """How the model is built for one rank.

        Language models are in half precision where the device has it, and are trained on as many
        tokens as they take, at most 4,096, unless told otherwise.

        Raises:
            InputError: the tokens do not divide among the ranks of the context.
        """
        from lydite.errors import InputError

        sequence = self.sequence or (trained_length(model) if self.train else None)
        if cp > 1 and (sequence is None or sequence % cp):
            raise InputError(
                f"--cp {cp} does not divide the sequence of {sequence or 'unknown'} tokens",
                allowed=f"multiples of {cp}",
                hint="add --sequence TOKENS",
            )
        phase = self.phase
        if self.train and phase not in (None, "forward"):
            raise InputError(f"--train with --phase {phase}", allowed="forward")
        if self.train and phase is None and takes_phase(model):
            phase = "forward"
        return ModelOptions(
            batch=batch,
            sequence=sequence // cp if sequence else None,
            phase=phase,
            image_size=self.image_size,
            context=self.context,
            dtype=self.dtype or (_half(device) if takes_phase(model) else None),
        )


def _half(device: Device) -> str | None:
    """What large language models are trained and served in on a device."""
    return next((dtype for dtype in ("bfloat16", "float16") if dtype in device.peak_flops), None)


@dataclass(frozen=True)
class PlanOptions(Options):
    """How it is shared out; names as in `lydite.cluster.Plan`."""

    dp: Annotated[int | None, typer.Option("--dp", min=1, help="Copies; default: the rest.")] = None
    tp: Annotated[int, typer.Option("--tp", min=1, help="Ranks that share each product.")] = 1
    pp: Annotated[int, typer.Option("--pp", min=1, help="Stages of the pipeline.")] = 1
    cp: Annotated[int, typer.Option("--cp", min=1, help="Ranks that share a sequence.")] = 1
    ep: Annotated[int, typer.Option("--ep", min=1, help="Ranks that share the experts.")] = 1
    batch: Annotated[int, typer.Option("--batch", min=0, help="Samples of a step, over all.")] = 0
    micro_batch: Annotated[
        int | None, typer.Option("--micro-batch", min=1, help="Samples through the pipe at once.")
    ] = None
    schedule: Annotated[
        str, typer.Option("--schedule", help="gpipe, 1f1b, interleaved or zero-bubble.")
    ] = "1f1b"
    chunks: Annotated[int, typer.Option("--chunks", min=1, help="Of a rank, interleaved.")] = 1
    zero: Annotated[int, typer.Option("--zero", min=0, max=3, help="What copies share out.")] = 0
    recompute: Annotated[str, typer.Option("--recompute", help="none, selective or full.")] = "none"
    attention: Annotated[
        str, typer.Option("--attention", help="fused, or written out as products and softmax.")
    ] = "fused"
    sequence_parallel: Annotated[
        bool, typer.Option("--sequence-parallel", help="With --tp: share norms out too.")
    ] = False
    overlap: Annotated[
        bool, typer.Option("--overlap/--no-overlap", help="Gradients sent while backward goes on.")
    ] = True
    bucket: Annotated[str, typer.Option("--bucket", help="Gradients sent at once.")] = "25 MiB"

    def plan(self, ranks: int, *, training: bool = True) -> Plan:
        """The plan over all ranks; a pipeline in training gets work for four times its stages.

        Raises:
            InputError: it does not divide.
        """
        from lydite.cluster import filled

        chosen = {name: getattr(self, name) for name in _AS_THEY_ARE}
        found = filled(
            ranks,
            tp=self.tp,
            pp=self.pp,
            cp=self.cp,
            dp=self.dp,
            **chosen,
            micro_batch=self.micro_batch or max(1, self._even(ranks)),
            bucket_bytes=max(1, int(told(self.bucket, "B", "--bucket"))),
        )
        if self.batch or self.pp == 1 or not training:
            return found
        return replace(found, batch=4 * found.pp * found.dp * found.micro_batch)

    def _even(self, ranks: int) -> int:
        """All of a copy's samples at once, where there is no pipeline."""
        copies = self.dp or max(1, ranks // (self.tp * self.pp * self.cp))
        return self.batch // copies if self.batch and self.pp == 1 else 1

    def refuse_for_search(self) -> None:
        """What a search chooses itself is not taken.

        Raises:
            InputError: something of it was given.
        """
        from lydite.errors import InputError

        free = {"batch", "attention", "overlap", "bucket"}
        for field in fields(self):
            if field.name not in free and getattr(self, field.name) != field.default:
                raise InputError(
                    f"--search chooses --{field.name.replace('_', '-')} itself", hint="leave it out"
                )


_AS_THEY_ARE = (
    "ep",
    "batch",
    "schedule",
    "chunks",
    "zero",
    "recompute",
    "attention",
    "sequence_parallel",
    "overlap",
)


@dataclass(frozen=True)
class HostOptions(Options):
    """Where it runs, and what that costs."""

    on: Annotated[
        str, typer.Option("--on", help='Cluster: a name, "NAME x HOSTS", or a .yaml file.')
    ] = "dgx-a100"
    devices: Annotated[int | None, typer.Option("--devices", min=1, help="Use so many.")] = None
    device: Annotated[
        str | None, typer.Option("--device", help="In place of its own; AISim's pools need it.")
    ] = None
    slow: Annotated[
        list[str] | None, typer.Option("--slow", help="RANK=FACTOR of its speed (repeatable).")
    ] = None
    slow_link: Annotated[
        list[str] | None,
        typer.Option("--slow-link", help="LINK=FACTOR of its bandwidth (repeatable)."),
    ] = None
    constants: Annotated[
        Path | None, typer.Option("--constants", help="What lydite calibrate wrote.")
    ] = None
    price: Annotated[float | None, typer.Option("--price", min=0, help="USD a device hour.")] = None
    grid: Annotated[float | None, typer.Option("--grid", min=0, help="kg CO2 a kWh.")] = None

    def cluster(self) -> Cluster:
        """The cluster, degraded and priced as asked for.

        Raises:
            InputError: no such cluster, rank or link.
        """
        from lydite.hardware.cluster import degraded, read_cluster

        found = read_cluster(self.on, self.devices, device=self.device)
        if self.slow or self.slow_link:
            found = degraded(
                found, _factors("--slow", self.slow), _factors("--slow-link", self.slow_link)
            )
        given = {"price_per_device_hour_usd": self.price, "grid_kg_per_kwh": self.grid}
        chosen = {name: value for name, value in given.items() if value is not None}
        return replace(found, economics=replace(found.economics, **chosen))

    def known_constants(self) -> Constants:
        """Those of the file, or the assumed ones.

        Raises:
            InputError: the file is not one of constants.
        """
        from lydite.cluster.constants import ASSUMED, read_constants

        return ASSUMED if self.constants is None else read_constants(self.constants)


def _factors(option: str, given: Sequence[str] | None) -> dict[int, float]:
    from lydite.errors import InputError

    found: dict[int, float] = {}
    for text in given or ():
        number, _, factor = text.partition("=")
        try:
            found[int(number)] = float(factor)
        except ValueError:
            raise InputError(
                f"'{text}' names no factor", where=option, allowed="NUMBER=FACTOR, such as 3=0.8"
            ) from None
    return found


@dataclass(frozen=True)
class FailureOptions(Options):
    """How often it fails, and what that costs."""

    mtbf: Annotated[
        str | None, typer.Option("--mtbf", help='Of one device, such as "5 years": goodput.')
    ] = None
    checkpoint_interval: Annotated[
        str | None, typer.Option("--checkpoint-interval", help="Default: the best one.")
    ] = None
    checkpoint_write: Annotated[
        str, typer.Option("--checkpoint-write", help="Of one device, to storage.")
    ] = "1 GB/s"
    restart: Annotated[str, typer.Option("--restart", help="After a failure.")] = "10 min"

    def seconds(self) -> dict[str, float | None]:
        """Seconds (of `checkpoint_write` bytes/s) by field; None where nothing was said.

        Raises:
            UnitError: a quantity in the wrong unit.
        """
        from lydite.errors import InputError

        found: dict[str, float | None] = {}
        for field in fields(self):
            text, unit = getattr(self, field.name), "B/s" if "write" in field.name else "s"
            where = f"--{field.name.replace('_', '-')}"
            found[field.name] = None if text is None else told(text, unit, where)
        if self.mtbf is None and self.checkpoint_interval is not None:
            raise InputError(
                "--checkpoint-interval says nothing without failures", hint="add --mtbf TIME"
            )
        return found


def told(text: str, unit: str, where: str) -> float:
    """A quantity with its unit: a bare number could be anything.

    Raises:
        UnitError: no unit, or the wrong one.
    """
    from lydite.errors import UnitError
    from lydite.units import parse_quantity

    found = parse_quantity(text, unit, where=where)
    if text.strip().replace(".", "", 1).isdigit():
        raise UnitError(f"'{text}' has no unit", where=where, allowed=f"such as '2 {unit}'")
    return found


USUAL_LENGTH = 4096


def trained_length(model: str) -> int | None:
    """Tokens of a sequence that a language model is trained on; None of others and of files."""
    from lydite.errors import LyditeError
    from lydite.models import describe

    try:
        found = describe(model)
    except LyditeError:
        return None
    most = found.limits.get("sequence", (1, None))[1]
    return min(most or USUAL_LENGTH, USUAL_LENGTH) if "phase" in found.defaults else None


def takes_phase(model: str) -> bool:
    """Whether a model is built in phases."""
    from lydite.errors import LyditeError
    from lydite.models import describe

    if model.endswith("config.json") or (Path(model) / "config.json").is_file():
        return True
    try:
        return "phase" in describe(model).defaults
    except LyditeError:
        return False
