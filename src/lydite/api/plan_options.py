"""Options of a step on a cluster: its parallel plan."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Annotated

from lydite.api.options import Help, Options
from lydite.errors import InputError, UnitError, unknown_name
from lydite.records import dataclass

if TYPE_CHECKING:
    from lydite.cluster import Plan
    from lydite.cluster.constants import Constants
    from lydite.hardware import Device


@dataclass(frozen=True)
class PlanOptions(Options):
    """How a step is divided among ranks; same names as in `lydite.cluster.Plan`.

    Attributes:
        dp: Number of replicas of the model; None for all ranks that the other degrees leave.
        tp, pp, cp, ep: Degrees of tensor, pipeline, context and expert parallelism.
        expert_tensor: Degree of tensor parallelism of each expert: 1 to spread whole experts over
            tensor-parallel ranks too; None for `tp`.
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
    cp: Annotated[
        int,
        Help(
            "Context-parallel degree: ranks that divide each sequence; with --search the largest.",
            min=1,
        ),
    ] = 1
    ep: Annotated[
        int, Help("Expert-parallel degree: ranks that divide the experts of a layer.", min=1)
    ] = 1
    expert_tensor: Annotated[
        int | None,
        Help(
            "Tensor-parallel degree of each expert: 1 spreads whole experts over --tp ranks as "
            "well; default: that of --tp.",
            min=1,
        ),
    ] = None
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
            expert_tensor=self.expert_tensor or 0,
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
        """Refuse options that a search chooses itself or does not look at.

        Raises:
            InputError: such an option is set.
        """
        for field in fields(self):
            if field.name in _WITH_SEARCH or getattr(self, field.name) == field.default:
                continue
            option = f"--{field.name.replace('_', '-')}"
            if field.name in _SEARCHED:
                raise InputError(f"--search chooses {option} itself", hint="leave it out")
            raise InputError(
                f"--search looks at no plan with {option}",
                hint=f"leave out {option}, or --search and give the degrees",
            )


_WITH_SEARCH = ("batch", "arithmetic", "cp")
_SEARCHED = (
    "dp",
    "tp",
    "pp",
    "ep",
    "micro_batch",
    "schedule",
    "chunks",
    "zero",
    "recompute",
    "sequence_parallel",
)
"""Options that a search takes, and that it chooses."""

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
