"""Parallel plans: how a step is distributed over ranks, and whether the sizes divide."""

from __future__ import annotations

from dataclasses import fields

from lydite.cluster.schedules import SCHEDULES
from lydite.errors import InputError, unknown_name
from lydite.estimate.runtimes import find_runtime
from lydite.records import dataclass
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
            weights, or of dp x cp x tp where experts are spread over tensor-parallel ranks.
        expert_tensor: Degree of tensor parallelism of each expert: tp, or 1 to keep experts whole
            and spread them over tensor-parallel ranks too; 0 for tp.
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
        offload: What lies in the host's memory, one of `OFFLOAD`; "parameters" needs
            ZeRO stage 3.
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
    expert_tensor: int = 0
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
        _check(self)

    @property
    def spreads_experts(self) -> bool:
        """Whether experts are whole and distributed over tensor-parallel ranks too."""
        return self.expert_tensor == 1 and self.tp > 1

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
        them; experts are distributed over neighbouring replicas (or, spread over tensor-parallel
        ranks, over neighbouring ranks: "ep"), and their gradients summed over the others ("edp").
        With a shard size, "dp" and "edp" each divide into neighbours that shard ("dp shard") and
        ranks that hold the same shard ("dp copies").
        """
        first, width = (1, self.tp) if self.spreads_experts else (self.tp, 1)
        groups = {
            "tp": (1, self.tp),
            "cp": (self.tp, self.cp),
            "ep": (first, self.ep),
            "dp": (self.tp, self.replicas),
            "edp": (first * self.ep, self.replicas * width // self.ep),
        }
        if self.shard_size:
            shards = {"dp": self.shard_size, "edp": self.shard_size * width // self.ep}
            for name, parts in shards.items():
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


def _check(plan: Plan) -> None:
    """Check that a plan's settings go together.

    Raises:
        InputError: they do not; the error says what to change.
    """
    find_runtime(plan.runtime or None)
    for name in ("dp", "tp", "pp", "cp", "ep", "micro_batch", "chunks", "bucket_bytes"):
        if getattr(plan, name) < 1:
            raise InputError(f"--{name} {getattr(plan, name)}", allowed="1 and more")
    schedule = SCHEDULES.find(plan.schedule)
    if plan.recompute not in RECOMPUTE:
        raise unknown_name("recomputation", plan.recompute, RECOMPUTE)
    _check_recompute(plan)
    if plan.attention not in ATTENTION:
        raise unknown_name("attention", plan.attention, ATTENTION)
    if plan.lora_targets and not plan.lora_rank:
        raise InputError(
            f"--lora-targets {','.join(plan.lora_targets)} without adapters",
            hint="add --lora-rank RANK",
        )
    if not 0 <= plan.zero <= 3:
        raise InputError(f"--zero {plan.zero}", allowed="0, 1, 2 or 3")
    if plan.chunks > 1 and not schedule.chunked:
        raise InputError(
            f"{plan.chunks} chunks with the schedule {plan.schedule}",
            hint="add --schedule interleaved",
        )
    _check_experts(plan)
    _check_shards(plan)
    if plan.overlap_tensor and not (plan.tp > 1 and plan.sequence_parallel):
        lacking = "--sequence-parallel" if plan.tp > 1 else "--tp RANKS --sequence-parallel"
        raise InputError(
            "--overlap-tensor splits products along tokens that are gathered and scattered",
            hint=f"add {lacking}",
        )
    if plan.offload not in OFFLOAD:
        raise unknown_name("offload", plan.offload, OFFLOAD)
    if plan.offload == "parameters" and plan.zero != 3:
        raise InputError(
            f"--offload parameters with --zero {plan.zero}, which keeps whole weights",
            hint="add --zero 3",
        )


def _check_recompute(plan: Plan) -> None:
    """Refuse a method of recomputation that lacks something or selects nothing."""
    method, layers = plan.recompute_method, plan.recompute_num_layers
    if not method and not layers:
        return
    if not method:
        raise InputError(
            f"--recompute-num-layers {layers} does not say which layers",
            hint="add --recompute-method block or uniform",
        )
    if method not in METHODS:
        raise unknown_name("recomputation method", method, METHODS)
    if plan.recompute != "full":
        raise InputError(
            f"--recompute-method {method} with --recompute {plan.recompute}",
            hint="add --recompute full",
        )
    if layers < 1:
        raise InputError(
            f"--recompute-method {method} does not say how many layers",
            hint="add --recompute-num-layers LAYERS",
        )
    if method == "uniform" and layers > 1 and plan.zero == 3:
        raise InputError(
            f"--zero 3 gathers one layer at a time, and --recompute-method uniform needs {layers}",
            hint="use --recompute-num-layers 1 or --recompute-method block",
        )


def _check_shards(plan: Plan) -> None:
    """Refuse groups of shards that shard nothing or do not divide the ranks."""
    size, ranks = plan.shard_size, plan.replicas
    width = plan.tp if plan.spreads_experts else 1
    if not size:
        return
    if not plan.zero:
        raise InputError(
            f"--shard-size {size} with --zero 0, which shards nothing",
            hint="add --zero 1, 2 or 3",
        )
    fits = [n for n in range(1, ranks + 1) if ranks % n == 0 and n * width % plan.ep == 0]
    if size not in fits:
        near = min(fits, key=lambda n: abs(n - size))
        experts = f" and hold all of ep {plan.ep}" if plan.ep > 1 else ""
        raise InputError(
            f"--shard-size {size} does not divide dp {plan.dp} x cp {plan.cp}{experts}",
            allowed=f"{', '.join(map(str, fits))}; the nearest is {near}",
        )


def _check_experts(plan: Plan) -> None:
    """Refuse degrees of experts' parallelism that do not fit the other degrees."""
    if plan.expert_tensor not in (0, 1, plan.tp):
        raise InputError(
            f"--expert-tensor {plan.expert_tensor}",
            allowed=f"1 (whole experts) or the degree of --tp, {plan.tp}",
        )
    if plan.spreads_experts and not plan.sequence_parallel:
        raise InputError(
            "--expert-tensor 1 needs tokens that tensor-parallel ranks do not share",
            hint="add --sequence-parallel",
        )
    ranks = plan.replicas * (plan.tp if plan.spreads_experts else 1)
    if ranks % plan.ep:
        fits = [n for n in range(1, ranks + 1) if ranks % n == 0]
        near = min(fits, key=lambda n: abs(n - plan.ep))
        tensor = f" x tp {plan.tp}" if plan.spreads_experts else ""
        more = plan.tp > 1 and not tensor and ranks * plan.tp % plan.ep == 0
        raise InputError(
            f"--ep {plan.ep} does not divide dp {plan.dp} x cp {plan.cp}{tensor}",
            allowed=f"divisors of {ranks}; the nearest is {near}",
            hint="add --expert-tensor 1 to spread experts over tp as well" if more else "",
        )
