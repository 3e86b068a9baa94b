"""Options of a step on a cluster: cluster, plan and failures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from lydite.api.options import Help, Options
from lydite.errors import InputError, UnitError, unknown_name

if TYPE_CHECKING:
    from lydite.cluster import Plan
    from lydite.cluster.constants import Constants
    from lydite.hardware import Device
    from lydite.hardware.cluster import Cluster


@dataclass(frozen=True)
class PlanOptions(Options):
    """How a step is divided among ranks; same names as in `lydite.cluster.Plan`.

    Attributes:
        dp: Number of replicas of the model; None for all ranks that the other degrees leave.
        tp, pp, cp, ep: Degrees of tensor, pipeline, context and expert parallelism.
        batch: Number of samples per step over all replicas; 0 for one micro-batch per replica, or
            four per stage in a training pipeline.
        micro_batch: Number of samples per micro-batch.
        schedule: Pipeline schedule: "gpipe", "1f1b", "interleaved" or "zero-bubble".
        chunks: Number of virtual stages per rank in an interleaved schedule.
        zero: ZeRO stage: replicas shard 1 optimizer states, 2 also gradients, 3 also weights.
        shard_size: Number of neighbouring ranks among which ZeRO shards, replicated over the other
            such groups (HSDP); None for all replicas.
        offload: What lies in the host's memory: "none", "optimizer" or "parameters" (both).
        recompute: Activation recomputation: "none", "selective" or "full".
        recompute_method: Layers that are fully recomputed: "block" or "uniform"; None for all.
        recompute_num_layers: Number of layers per stage ("block") or per group ("uniform").
        attention: "fused", or "written" as products and a softmax; None for the runtime's.
        sequence_parallel: Whether tensor parallelism also divides norms along the sequence.
        overlap: Whether gradients are sent during the backward pass.
        overlap_tensor: Whether tensor-parallel messages hide behind the products beside them.
        lora_rank: Inner width of low-rank adapters, which alone are trained; None for no adapters.
        lora_targets: Names of weights that get an adapter, such as "query,value"; None for all.
        bucket: Size of the gradient buckets, such as "25 MiB".
        arithmetic: Precision of products, a name of `lydite.estimate.roofline.ARITHMETIC`.
    """

    dp: Annotated[
        int | None, Help("Number of data-parallel replicas; default: all remaining ranks.", min=1)
    ] = None
    tp: Annotated[int, Help("Tensor-parallel degree: ranks that divide each product.", min=1)] = 1
    pp: Annotated[int, Help("Number of pipeline stages.", min=1)] = 1
    cp: Annotated[int, Help("Context-parallel degree: ranks that divide each sequence.", min=1)] = 1
    ep: Annotated[
        int, Help("Expert-parallel degree: ranks that divide the experts of a layer.", min=1)
    ] = 1
    batch: Annotated[
        int,
        Help(
            "Number of samples per step over all replicas; 0: one micro-batch per replica.", min=0
        ),
    ] = 0
    micro_batch: Annotated[
        int | None,
        Help("Number of samples per micro-batch; default: what the batch allows.", min=1),
    ] = None
    schedule: Annotated[
        str, Help("Pipeline schedule: gpipe, 1f1b, interleaved or zero-bubble.")
    ] = "1f1b"
    chunks: Annotated[
        int, Help("Number of virtual stages per rank in the interleaved schedule.", min=1)
    ] = 1
    zero: Annotated[
        int,
        Help("ZeRO stage: 1 shards optimizer states, 2 gradients, 3 weights.", min=0, max=3),
    ] = 0
    shard_size: Annotated[
        int | None,
        Help(
            "Ranks among which ZeRO shards, replicated over the other groups (HSDP); default: all "
            "replicas.",
            min=1,
        ),
    ] = None
    offload: Annotated[
        str,
        Help(
            "What lies in the host's memory: none, optimizer (states, updated by the CPU) or "
            "parameters (these and the weights)."
        ),
    ] = "none"
    recompute: Annotated[str, Help("Activation recomputation: none, selective or full.")] = "none"
    recompute_method: Annotated[
        str | None,
        Help(
            "Layers that --recompute full takes: block (the first N of each stage) or uniform "
            "(all, in groups of N); default: all, one by one."
        ),
    ] = None
    recompute_num_layers: Annotated[
        int | None, Help("Number N of layers of --recompute-method.", min=1)
    ] = None
    attention: Annotated[
        str | None,
        Help("Attention: fused or written (as products and a softmax); default: fused."),
    ] = None
    sequence_parallel: Annotated[
        bool, Help("Divide norms along the sequence as well, with tensor parallelism.")
    ] = False
    overlap: Annotated[
        bool,
        Help("Send gradients while the backward pass runs.", flag="--overlap/--no-overlap"),
    ] = True
    overlap_tensor: Annotated[
        bool,
        Help("Split products so that tensor-parallel messages hide behind them."),
    ] = False
    lora_rank: Annotated[
        int | None,
        Help("Rank of LoRA adapters, which alone are trained; default: no adapters.", min=1),
    ] = None
    lora_targets: Annotated[
        str | None,
        Help("Weights that get an adapter, such as query,value; default: all products in layers."),
    ] = None
    bucket: Annotated[str, Help("Size of the gradient buckets that are sent at once.")] = "25 MiB"
    arithmetic: Annotated[
        str,
        Help(
            "Precision of products: own (the tensors' type), tf32-conv (TF32 in convolutions, as "
            "PyTorch), tf32, fp8 or fp8-block."
        ),
    ] = "tf32-conv"

    def plan(self, ranks: int, *, training: bool = True, attention: str = "fused") -> Plan:
        """The plan over all ranks; a training pipeline gets four micro-batches per stage.

        Args:
            ranks: Number of devices.
            training: Whether it is a training step.
            attention: Attention if the options do not say.

        Raises:
            InputError: the degrees do not divide the ranks or the batch.
        """
        from lydite.cluster import filled

        self._refuse_without_effect(training)
        chosen = {name: getattr(self, name) for name in _AS_THEY_ARE}
        plan = filled(
            ranks,
            tp=self.tp,
            pp=self.pp,
            cp=self.cp,
            dp=self.dp,
            **chosen,
            recompute_method=self.recompute_method or "",
            recompute_num_layers=self.recompute_num_layers or 0,
            shard_size=self.shard_size or 0,
            lora_rank=self.lora_rank or 0,
            lora_targets=tuple(filter(None, (self.lora_targets or "").split(","))),
            attention=self.attention or attention,
            micro_batch=self.micro_batch or max(1, self._even(ranks)),
            bucket_bytes=max(1, int(quantity(self.bucket, "B", "--bucket"))),
        )
        if self.batch or self.pp == 1 or not training:
            return plan
        return replace(plan, batch=4 * plan.pp * plan.dp * plan.micro_batch)

    def _refuse_without_effect(self, training: bool) -> None:
        """Refuse options that would change nothing."""
        if self.zero and not training:
            raise InputError(
                f"--zero {self.zero} shards what only training keeps", hint="add --train"
            )
        if self.recompute != "none" and not training:
            raise InputError(f"--recompute {self.recompute} is for training", hint="add --train")
        if self.offload != "none" and not training:
            raise InputError(f"--offload {self.offload} is for training", hint="add --train")
        if self.lora_rank and not training:
            raise InputError(f"--lora-rank {self.lora_rank} is for training", hint="add --train")
        if self.sequence_parallel and self.tp == 1:
            raise InputError("--sequence-parallel has no effect with --tp 1", hint="add --tp RANKS")

    def with_arithmetic(self, constants: Constants, device: Device) -> Constants:
        """The constants with the precision in which products run.

        Raises:
            InputError: an unknown precision, or FP8 on a device that states no peak for it.
        """
        from lydite.estimate.roofline import ARITHMETIC

        if self.arithmetic not in ARITHMETIC:
            raise unknown_name("arithmetic", self.arithmetic, ARITHMETIC)
        needed = {"tf32": "tf32", "fp8": "float8e4m3fn", "fp8-block": "float8e4m3fn"}
        dtype = needed.get(self.arithmetic)
        if dtype is not None and dtype not in device.peak_flops:
            raise InputError(
                f"--arithmetic {self.arithmetic}: {device.name} states no peak for {dtype}",
                allowed="own, tf32-conv",
            )
        achieved = replace(constants.achieved, arithmetic=self.arithmetic)
        return replace(constants, achieved=achieved)

    def micro_batches(self, plan: Plan, *, training: bool) -> list[int]:
        """Micro-batches to try until a step fits, largest first; one alone where it was asked for.

        Args:
            plan: As `plan` gives it.
            training: Whether it is a training step.
        """
        most = plan.micro_batch
        if self.micro_batch is not None or not training or most == 1:
            return [most]
        return [most // 2**n for n in range(most.bit_length()) if most % 2**n == 0]

    def _even(self, ranks: int) -> int:
        """Micro-batch of all samples of a replica, for a step without a pipeline."""
        replicas = self.dp or max(1, ranks // (self.tp * self.pp * self.cp))
        return self.batch // replicas if self.batch and self.pp == 1 else 1

    def refuse_for_search(self) -> None:
        """Refuse options that a search chooses itself.

        Raises:
            InputError: such an option is set.
        """
        for field in fields(self):
            if (
                field.name not in ("batch", "arithmetic")
                and getattr(self, field.name) != field.default
            ):
                raise InputError(
                    f"--search chooses --{field.name.replace('_', '-')} itself", hint="leave it out"
                )


_AS_THEY_ARE = (
    "ep",
    "batch",
    "schedule",
    "chunks",
    "zero",
    "offload",
    "recompute",
    "sequence_parallel",
    "overlap",
    "overlap_tensor",
)


@dataclass(frozen=True)
class ClusterOptions(Options):
    """Cluster of a step, its constants and prices.

    Attributes:
        on: Cluster: a name, "NAME x HOSTS", or a .yaml file.
        devices: Number of devices in use; None for all.
        device: Device instead of the cluster's own.
        slow, slow_link: Factors on a rank's speed and on a link's bandwidth, as "NUMBER=FACTOR".
        constants: File that `calibrate` wrote; None for the assumed constants.
        algorithm, protocol: Algorithm and protocol of collectives, as "KIND=NAME" such as
            "allreduce=tree".
        host_memory_bandwidth: Memory bandwidth of a host, for what is offloaded to it.
        price: Price of a device hour in USD.
        grid: Emissions of the power grid in kg CO2 per kWh.
    """

    on: Annotated[str, Help('Cluster: a name, "NAME x HOSTS", or a .yaml file.')] = "dgx-a100"
    devices: Annotated[int | None, Help("Number of devices in use; default: all.", min=1)] = None
    device: Annotated[
        str | None, Help("Device instead of the cluster's own; required for AISim's pools.")
    ] = None
    slow: Annotated[
        tuple[str, ...],
        Help("Relative speed of a rank, as RANK=FACTOR such as 3=0.8 (repeatable)."),
    ] = ()
    slow_link: Annotated[
        tuple[str, ...], Help("Relative bandwidth of a link, as LINK=FACTOR (repeatable).")
    ] = ()
    constants: Annotated[
        Path | None, Help("Constants that `lydite calibrate` wrote; default: assumed ones.")
    ] = None
    algorithm: Annotated[
        tuple[str, ...],
        Help("Collective algorithm, as KIND=NAME such as allreduce=tree (repeatable)."),
    ] = ()
    protocol: Annotated[
        tuple[str, ...],
        Help("Collective protocol, as KIND=LL, LL128 or Simple (repeatable)."),
    ] = ()
    host_memory_bandwidth: Annotated[
        str | None,
        Help("Memory bandwidth of a host, for --offload; default: 300 GB/s, assumed."),
    ] = None
    price: Annotated[float | None, Help("Price of a device hour in USD.", min=0)] = None
    grid: Annotated[float | None, Help("Emissions of the power grid in kg CO2 per kWh.", min=0)] = (
        None
    )

    def cluster(self) -> Cluster:
        """The cluster with slow ranks and links, collectives and prices as requested.

        Raises:
            InputError: the cluster, a rank or a link does not exist.
        """
        from lydite.hardware.cluster import degraded, read_cluster

        cluster = read_cluster(self.on, self.devices, device=self.device)
        if self.slow or self.slow_link:
            cluster = degraded(
                cluster, _factors("--slow", self.slow), _factors("--slow-link", self.slow_link)
            )
        cluster = self._with_collectives(cluster)
        given = {"price_per_device_hour_usd": self.price, "grid_kg_per_kwh": self.grid}
        chosen = {name: value for name, value in given.items() if value is not None}
        for option, value in {"--price": self.price, "--grid": self.grid}.items():
            if value is not None and not math.isfinite(value):
                raise InputError(f"{option} {value}", allowed="a finite number")
        return replace(cluster, economics=replace(cluster.economics, **chosen))

    def _with_collectives(self, cluster: Cluster) -> Cluster:
        """The cluster with the algorithms and protocols that the options choose."""
        from lydite.cluster.collectives import settings_of

        chosen = {name.lower(): list(pair) for name, pair in cluster.collectives.items()}
        for place, option in enumerate(("algorithm", "protocol")):
            for text in getattr(self, option):
                collective, equals, name = text.partition("=")
                if not (collective and equals and name):
                    raise InputError(
                        f"'{text}' does not name a collective and its {option}",
                        where=f"--{option}",
                        allowed="KIND=NAME, such as allreduce=" + ("tree", "Simple")[place],
                    )
                chosen.setdefault(collective.lower(), [None, None])[place] = name
        if not chosen:
            return cluster
        cluster = replace(cluster, collectives={k: (v[0], v[1]) for k, v in chosen.items()})
        settings_of(cluster)
        return cluster

    def known_constants(self) -> Constants:
        """The constants from the file, or the assumed ones.

        Raises:
            InputError: the file does not hold constants, or a rate is not above 0.
        """
        from lydite.cluster.constants import ASSUMED, read_constants

        constants = ASSUMED if self.constants is None else read_constants(Path(self.constants))
        if self.host_memory_bandwidth is None:
            return constants
        rate = quantity(self.host_memory_bandwidth, "B/s", "--host-memory-bandwidth")
        if not 0 < rate < math.inf:
            raise InputError(
                f"--host-memory-bandwidth {self.host_memory_bandwidth}", allowed="above 0"
            )
        return replace(constants, host_memory_bytes_per_s=rate)


def _factors(option: str, given: Sequence[str]) -> dict[int, float]:
    found: dict[int, float] = {}
    for text in given:
        number, _, factor = text.partition("=")
        try:
            found[int(number)] = float(factor)
        except ValueError:
            raise InputError(
                f"'{text}' does not give a factor",
                where=option,
                allowed="NUMBER=FACTOR, such as 3=0.8",
            ) from None
    return found


@dataclass(frozen=True)
class FailureOptions(Options):
    """How often devices fail, and the cost of failures.

    Attributes:
        mtbf: Mean time between failures of a device; if given, goodput is computed.
        checkpoint_interval: Time between checkpoints; None for the optimum.
        checkpoint_write: Rate at which each device writes to storage.
        restart: Time from a failure to the next step.
    """

    mtbf: Annotated[
        str | None,
        Help('Mean time between failures of a device, such as "5 years"; adds goodput.'),
    ] = None
    checkpoint_interval: Annotated[
        str | None, Help("Time between checkpoints; default: Daly's optimum.")
    ] = None
    checkpoint_write: Annotated[
        str, Help("Rate at which each device writes a checkpoint to storage.")
    ] = "1 GB/s"
    restart: Annotated[str, Help("Time from a failure to the next step.")] = "10 min"

    def seconds(self) -> dict[str, float | None]:
        """Values by field in seconds (`checkpoint_write` in bytes/s); None for unset fields.

        Raises:
            UnitError: a quantity has the wrong unit.
        """
        found: dict[str, float | None] = {}
        for field in fields(self):
            text, unit = getattr(self, field.name), "B/s" if "write" in field.name else "s"
            where = f"--{field.name.replace('_', '-')}"
            found[field.name] = None if text is None else quantity(text, unit, where)
        if self.mtbf is None and self.checkpoint_interval is not None:
            raise InputError(
                "--checkpoint-interval has no effect without failures", hint="add --mtbf TIME"
            )
        return found


def quantity(text: str, unit: str, where: str) -> float:
    """Parse a quantity, which must have a unit.

    Raises:
        UnitError: the unit is missing or wrong.
    """
    from lydite.units import parse_quantity

    found = parse_quantity(text, unit, where=where)
    if text.strip().replace(".", "", 1).isdigit():
        raise UnitError(f"'{text}' has no unit", where=where, allowed=f"such as '2 {unit}'")
    return found
