"""Parallel plans: how a step is distributed over ranks, and whether the sizes divide."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from lydite.cluster.schedules import SCHEDULES
from lydite.errors import InputError, unknown_name
from lydite.estimate.runtimes import find_runtime
from lydite.results import OneLine

RECOMPUTE = ("none", "selective", "full")
METHODS = ("block", "uniform")
"""Which layers full recomputation takes (Megatron-LM's --recompute-method)."""
ATTENTION = ("fused", "written")
OFFLOAD = ("none", "optimizer", "parameters")
"""What lies in the host's memory: nothing, optimiser states, or these and the weights."""


@dataclass(frozen=True, repr=False)
class Plan(OneLine):
    """Degrees of parallelism, batch sizes, pipeline schedule and memory savings of a step.

    Attributes:
        dp, tp, pp, cp: Degrees of data, tensor, pipeline and context parallelism; their product
            is the number of ranks.
        ep: Degree of expert parallelism; a divisor of dp x cp, the ranks that replicate the dense
            weights.
        micro_batch: Samples per micro-batch on each data-parallel rank.
        batch: Samples per step over all ranks; 0 for one micro-batch per data-parallel rank.
        sequence_parallel: Whether tensor-parallel ranks also split norms and residuals, along the
            tokens.
        schedule: Pipeline schedule, one of `SCHEDULES`.
        chunks: Number of model chunks per rank in the interleaved schedule.
        zero: ZeRO stage: 0 replicates everything, 1 shards the optimiser's states over the
            data-parallel ranks, 2 also gradients, 3 also weights (FSDP).
        shard_size: Number of consecutive ranks among which ZeRO shards; the shards are replicated
            over the other groups of so many (HSDP). 0 for all ranks that hold the same weights.
        offload: What lies in the host's memory, one of `OFFLOAD`; "parameters" needs ZeRO stage 3.
        recompute: Activation recomputation, one of `RECOMPUTE`.
        recompute_method: Which layers are fully recomputed: "block" for the first
            `recompute_num_layers` of each stage (of each chunk, if interleaved), "uniform" for all,
            in groups of so many of which only the input is kept; "" for all, one by one.
        recompute_num_layers: Number of layers of that method; 0 without a method.
        bucket_bytes: Size in bytes of the buckets in which gradients are sent (PyTorch's DDP:
            25 MiB).
        attention: "fused" into one kernel that keeps no scores, or "written" as separate matrix
            products and softmax.
        overlap: Whether gradients are sent during the backward pass rather than after it.
        overlap_tensor: Whether tensor-parallel messages hide behind the products beside them, both
            split into one part a rank; needs sequence parallelism.
        lora_rank: Inner width of low-rank adapters, which alone are trained; 0 trains everything.
        lora_targets: Names of the weights that get an adapter; empty for all products in layers.
        runtime: Runtime that launches and fuses, a name of `lydite.estimate.runtimes.RUNTIMES`; ""
            for the usual one of precision and attention.
    """

    dp: int = 1
    tp: int = 1
    pp: int = 1
    cp: int = 1
    ep: int = 1
    micro_batch: int = 1
    batch: int = 0
    sequence_parallel: bool = False
    schedule: str = "1f1b"
    chunks: int = 1
    zero: int = 0
    shard_size: int = 0
    offload: str = "none"
    recompute: str = "none"
    recompute_method: str = ""
    recompute_num_layers: int = 0
    bucket_bytes: int = 25 << 20
    attention: str = "fused"
    overlap: bool = True
    overlap_tensor: bool = False
    lora_rank: int = 0
    lora_targets: tuple[str, ...] = ()
    runtime: str = ""

    def __post_init__(self) -> None:
        find_runtime(self.runtime or None)
        for name in ("dp", "tp", "pp", "cp", "ep", "micro_batch", "chunks", "bucket_bytes"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} {getattr(self, name)}", allowed="1 and more")
        schedule = SCHEDULES.find(self.schedule)
        if self.recompute not in RECOMPUTE:
            raise unknown_name("recomputation", self.recompute, RECOMPUTE)
        self._check_recompute()
        if self.attention not in ATTENTION:
            raise unknown_name("attention", self.attention, ATTENTION)
        if self.lora_targets and not self.lora_rank:
            raise InputError(
                f"--lora-targets {','.join(self.lora_targets)} without adapters",
                hint="add --lora-rank RANK",
            )
        if not 0 <= self.zero <= 3:
            raise InputError(f"--zero {self.zero}", allowed="0, 1, 2 or 3")
        if self.chunks > 1 and not schedule.chunked:
            raise InputError(
                f"{self.chunks} chunks with the schedule {self.schedule}",
                hint="add --schedule interleaved",
            )
        if self.replicas % self.ep:
            fits = [n for n in range(1, self.replicas + 1) if self.replicas % n == 0]
            near = min(fits, key=lambda n: abs(n - self.ep))
            raise InputError(
                f"--ep {self.ep} does not divide dp {self.dp} x cp {self.cp}",
                allowed=f"divisors of {self.replicas}; the nearest is {near}",
            )
        self._check_shards()
        if self.overlap_tensor and not (self.tp > 1 and self.sequence_parallel):
            lacking = "--sequence-parallel" if self.tp > 1 else "--tp RANKS --sequence-parallel"
            raise InputError(
                "--overlap-tensor splits products along tokens that are gathered and scattered",
                hint=f"add {lacking}",
            )
        if self.offload not in OFFLOAD:
            raise unknown_name("offload", self.offload, OFFLOAD)
        if self.offload == "parameters" and self.zero != 3:
            raise InputError(
                f"--offload parameters with --zero {self.zero}, which keeps whole weights",
                hint="add --zero 3",
            )

    def _check_shards(self) -> None:
        """Refuse groups of shards that shard nothing or do not divide the ranks."""
        size, ranks = self.shard_size, self.replicas
        if not size:
            return
        if not self.zero:
            raise InputError(
                f"--shard-size {size} with --zero 0, which shards nothing",
                hint="add --zero 1, 2 or 3",
            )
        fits = [n for n in range(self.ep, ranks + 1, self.ep) if ranks % n == 0]
        if size not in fits:
            near = min(fits, key=lambda n: abs(n - size))
            experts = f" and hold all of ep {self.ep}" if self.ep > 1 else ""
            raise InputError(
                f"--shard-size {size} does not divide dp {self.dp} x cp {self.cp}{experts}",
                allowed=f"{', '.join(map(str, fits))}; the nearest is {near}",
            )

    def _check_recompute(self) -> None:
        """Refuse a method of recomputation that lacks something or selects nothing."""
        method, layers = self.recompute_method, self.recompute_num_layers
        if not method and not layers:
            return
        if not method:
            raise InputError(
                f"--recompute-num-layers {layers} does not say which layers",
                hint="add --recompute-method block or uniform",
            )
        if method not in METHODS:
            raise unknown_name("recomputation method", method, METHODS)
        if self.recompute != "full":
            raise InputError(
                f"--recompute-method {method} with --recompute {self.recompute}",
                hint="add --recompute full",
            )
        if layers < 1:
            raise InputError(
                f"--recompute-method {method} does not say how many layers",
                hint="add --recompute-num-layers LAYERS",
            )
        if method == "uniform" and layers > 1 and self.zero == 3:
            raise InputError(
                f"--zero 3 gathers one layer at a time, and --recompute-method uniform needs "
                f"{layers}",
                hint="use --recompute-num-layers 1 or --recompute-method block",
            )

    @property
    def ranks(self) -> int:
        """Number of all ranks."""
        return self.dp * self.tp * self.pp * self.cp

    @property
    def replicas(self) -> int:
        """Number of ranks that hold the same dense weights: dp x cp."""
        return self.dp * self.cp

    @property
    def groups(self) -> dict[str, tuple[int, int]]:
        """Communication groups by name: stride between neighbouring ranks, and number of ranks.

        Rank = tp index + tp * (cp index + cp * (dp index + dp * stage)), as Megatron-LM places
        them; experts are distributed over neighbouring replicas ("ep"), and their gradients summed
        over the others ("edp"). With a shard size, "dp" and "edp" each divide into neighbours that
        shard ("dp shard") and ranks that hold the same shard ("dp copies").
        """
        groups = {
            "tp": (1, self.tp),
            "cp": (self.tp, self.cp),
            "ep": (self.tp, self.ep),
            "dp": (self.tp, self.replicas),
            "edp": (self.tp * self.ep, self.replicas // self.ep),
        }
        if self.shard_size:
            for name, parts in {"dp": self.shard_size, "edp": self.shard_size // self.ep}.items():
                stride, ranks = groups[name]
                groups[f"{name} shard"] = stride, parts
                groups[f"{name} copies"] = stride * parts, ranks // parts
        return groups

    def shards(self, group: str) -> tuple[str, str]:
        """Names of the groups among which ZeRO shards weights of "dp" or "edp", and that copy them.

        The second is "" where all ranks of the group shard.
        """
        return (f"{group} shard", f"{group} copies") if self.shard_size else (group, "")

    def shard_count(self, group: str) -> int:
        """Number of shards into which ZeRO divides what a group of ranks holds."""
        return self.groups[self.shards(group)[0]][1]

    @property
    def micro_batches(self) -> int:
        """Number of micro-batches of each data-parallel rank in a step."""
        return max(1, self.batch // (self.dp * self.micro_batch)) if self.batch else 1

    @property
    def samples(self) -> int:
        """Number of samples in a step."""
        return self.dp * self.micro_batch * self.micro_batches

    def headline(self) -> str:
        """The degrees of parallelism and every other setting that is not the default."""
        settings = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _DEGREES}
        plain = {f.name: f.default for f in fields(self)}
        other = [f"{name} {value}" for name, value in settings.items() if value != plain[name]]
        return ", ".join([*(f"{name} {getattr(self, name)}" for name in _DEGREES), *other])


_DEGREES = ("dp", "tp", "pp")


def checked(plan: Plan, ranks: int, depth: int) -> Plan:
    """The plan, if it fits the cluster and divides batch and layers.

    Args:
        plan: Plan to check.
        ranks: Number of devices of the cluster.
        depth: Number of layers that can be distributed over pipeline stages.

    Raises:
        InputError: it needs more ranks, or a factor does not divide; the error names the factor
            and the nearest that does.
    """
    if plan.ranks > ranks:
        raise InputError(
            f"{degrees(plan)} = {plan.ranks} ranks are more than the cluster's {ranks}",
            hint="use more hosts or a smaller plan",
        )
    if plan.batch and plan.batch % (plan.dp * plan.micro_batch):
        per_round = plan.dp * plan.micro_batch
        near = max(per_round, round(plan.batch / per_round) * per_round)
        raise InputError(
            f"a batch of {plan.batch} does not divide into dp {plan.dp} x micro-batch "
            f"{plan.micro_batch}",
            allowed=f"multiples of {per_round}; the nearest is {near}",
        )
    stages = plan.pp * plan.chunks
    if stages > depth:
        raise InputError(
            f"pp {plan.pp} x {plan.chunks} chunks need {stages} layers, and the model has {depth}",
            allowed=f"pp up to {depth // plan.chunks}",
        )
    most = -(-depth // stages)
    if plan.recompute_num_layers > most:
        raise InputError(
            f"--recompute-num-layers {plan.recompute_num_layers}: a stage has {most} layers",
            allowed=f"1 to {most}",
        )
    if SCHEDULES.find(plan.schedule).chunked and plan.micro_batches % plan.pp:
        raise InputError(
            f"the {plan.schedule} schedule needs micro-batches in multiples of pp {plan.pp}, not "
            f"{plan.micro_batches}",
            hint="change --batch or --micro-batch",
        )
    return plan


def degrees(plan: Plan) -> str:
    """Degrees as text, "dp 2 x tp 4 x pp 1"; the context degree only where it is above 1."""
    context = f" x cp {plan.cp}" if plan.cp > 1 else ""
    return f"dp {plan.dp} x tp {plan.tp} x pp {plan.pp}{context}"


def filled(
    ranks: int, *, tp: int = 1, pp: int = 1, cp: int = 1, dp: int | None = None, **rest: object
) -> Plan:
    """A plan over all ranks, whose data-parallel degree is what the other degrees leave.

    Args:
        ranks: Number of ranks of the plan.
        tp, pp, cp: Degrees of tensor, pipeline and context parallelism.
        dp: Degree of data parallelism; None for `ranks` over the product of the others.
        rest: Other attributes of the `Plan`.

    Raises:
        InputError: the degrees do not divide the ranks; the error names the nearest that do.
    """
    if dp is None:
        taken = tp * pp * cp
        if ranks % taken:
            fits = [n for n in range(1, ranks + 1) if ranks % n == 0]
            near = min(fits, key=lambda n: abs(n - taken))
            context = f" x cp {cp}" if cp > 1 else ""
            raise InputError(
                f"tp {tp} x pp {pp}{context} = {taken} does not divide {ranks} ranks",
                allowed=f"divisors of {ranks}; the nearest is {near}",
            )
        dp = ranks // taken
    return replace(Plan(dp=dp, tp=tp, pp=pp, cp=cp), **rest)  # type: ignore[arg-type]
