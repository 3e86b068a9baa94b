"""Parallel plans: how a model's step is shared out over ranks, and whether that divides."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from lydite.cluster.schedules import SCHEDULES
from lydite.errors import InputError, unknown_name
from lydite.results import OneLine

RECOMPUTE = ("none", "selective", "full")
ATTENTION = ("fused", "written")


@dataclass(frozen=True, repr=False)
class Plan(OneLine):
    """Degrees of parallelism and what goes with them.

    Attributes:
        dp, tp, pp, cp: ranks along data, tensor, pipeline and context parallelism (of a sequence's
            tokens); their product is all ranks.
        ep: ranks among which a layer's experts are shared out; they are among the dp x cp ranks
            that otherwise hold the same weights.
        micro_batch: samples that go through the pipeline at once, on each data-parallel rank.
        batch: samples of a step over all ranks; 0 takes one micro-batch each.
        sequence_parallel: whether norms and residuals are shared among the tensor-parallel ranks.
        schedule: one of `SCHEDULES`.
        chunks: model chunks of a rank in the interleaved schedule.
        zero: 0 replicates everything; 1 shares out the optimiser's states among the data-parallel
            ranks, 2 also gradients, 3 also weights (FSDP).
        recompute: one of `RECOMPUTE`.
        bucket_bytes: gradients are sent together in buckets of this size (PyTorch's DDP: 25 MiB).
        attention: "fused" in one kernel that keeps no scores, or "written" out as products and
            softmax, which selective recomputation is for.
        overlap: whether gradients are sent while the backward pass goes on; without, after it.
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
    recompute: str = "none"
    bucket_bytes: int = 25 << 20
    attention: str = "fused"
    overlap: bool = True

    def __post_init__(self) -> None:
        for name in ("dp", "tp", "pp", "cp", "ep", "micro_batch", "chunks", "bucket_bytes"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} {getattr(self, name)}", allowed="1 and more")
        found = SCHEDULES.find(self.schedule)
        if self.recompute not in RECOMPUTE:
            raise unknown_name("recomputation", self.recompute, RECOMPUTE)
        if self.attention not in ATTENTION:
            raise unknown_name("attention", self.attention, ATTENTION)
        if not 0 <= self.zero <= 3:
            raise InputError(f"--zero {self.zero}", allowed="0, 1, 2 or 3")
        if self.chunks > 1 and not found.chunked:
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

    @property
    def ranks(self) -> int:
        """All of them."""
        return self.dp * self.tp * self.pp * self.cp

    @property
    def replicas(self) -> int:
        """Ranks with the same dense weights."""
        return self.dp * self.cp

    @property
    def groups(self) -> dict[str, tuple[int, int]]:
        """Who talks with whom: by group the stride between its ranks, and how many they are.

        Rank = tp index + tp * (cp index + cp * (dp index + dp * stage)), as Megatron-LM places
        them; experts are shared out among neighbouring replicas ("ep"), and their gradients summed
        over the others ("edp").
        """
        return {
            "tp": (1, self.tp),
            "cp": (self.tp, self.cp),
            "ep": (self.tp, self.ep),
            "dp": (self.tp, self.replicas),
            "edp": (self.tp * self.ep, self.replicas // self.ep),
        }

    @property
    def micro_batches(self) -> int:
        """How many a data-parallel rank works through in a step."""
        return max(1, self.batch // (self.dp * self.micro_batch)) if self.batch else 1

    @property
    def samples(self) -> int:
        """Samples of a step."""
        return self.dp * self.micro_batch * self.micro_batches

    def headline(self) -> str:
        """The degrees, and what differs from its default."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _DEGREES}
        plain = {f.name: f.default for f in fields(self)}
        other = [f"{name} {value}" for name, value in own.items() if value != plain[name]]
        return ", ".join([*(f"{name} {getattr(self, name)}" for name in _DEGREES), *other])


_DEGREES = ("dp", "tp", "pp")


def checked(plan: Plan, ranks: int, depth: int) -> Plan:
    """The plan, its data parallelism filled in, if it divides.

    Args:
        plan: `dp` 0 is not allowed; take `filled` for that.
        ranks: devices of the cluster.
        depth: layers that a pipeline can share out.

    Raises:
        InputError: names the factor that does not divide, and the nearest that does.
    """
    if plan.ranks > ranks:
        raise InputError(
            f"{degrees(plan)} = {plan.ranks} ranks are more than the cluster's {ranks}",
            hint="take more hosts or a smaller plan",
        )
    if plan.batch and plan.batch % (plan.dp * plan.micro_batch):
        one = plan.dp * plan.micro_batch
        near = max(one, round(plan.batch / one) * one)
        raise InputError(
            f"a batch of {plan.batch} does not divide into dp {plan.dp} x micro-batch "
            f"{plan.micro_batch}",
            allowed=f"multiples of {one}; the nearest is {near}",
        )
    stages = plan.pp * plan.chunks
    if stages > depth:
        raise InputError(
            f"pp {plan.pp} x {plan.chunks} chunks need {stages} layers, and the model has {depth}",
            allowed=f"pp up to {depth // plan.chunks}",
        )
    if SCHEDULES.find(plan.schedule).chunked and plan.micro_batches % plan.pp:
        raise InputError(
            f"the {plan.schedule} schedule needs micro-batches in multiples of pp {plan.pp}, not "
            f"{plan.micro_batches}",
            hint="change --batch or --micro-batch",
        )
    return plan


def degrees(plan: Plan) -> str:
    """ "dp 2 x tp 4 x pp 1", with the context where it is shared out."""
    context = f" x cp {plan.cp}" if plan.cp > 1 else ""
    return f"dp {plan.dp} x tp {plan.tp} x pp {plan.pp}{context}"


def filled(
    ranks: int, *, tp: int = 1, pp: int = 1, cp: int = 1, dp: int | None = None, **rest: object
) -> Plan:
    """A plan over all ranks: what tensor and pipeline parallelism leave is data parallelism.

    Raises:
        InputError: they do not divide the ranks (names the nearest that do).
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
