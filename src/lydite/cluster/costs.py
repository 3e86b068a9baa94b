"""Cost of one micro-batch on one rank, block by block: seconds, bytes sent, bytes kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any, NamedTuple

from lydite.cluster.blocks import Block, Blocks
from lydite.cluster.fusing import ALONE, Share, shares_of
from lydite.cluster.homes import Homes
from lydite.cluster.lora import Adapted
from lydite.cluster.overlap import products_beside
from lydite.cluster.tensor import GROUP
from lydite.errors import InputError
from lydite.estimate.base import Estimate, Estimator
from lydite.estimate.bodies import op_estimate
from lydite.estimate.roofline import key_dtype, peak_note
from lydite.graph import Graph, Op, OpKey, all_keys, body_runs, key_of, work_of
from lydite.graph.operators.gradients.collective import COLLECTIVES
from lydite.graph.passes.attention import REPEATED, SPARED
from lydite.graph.training.memory import saved_for_backward
from lydite.graph.training.step import TrainingStep
from lydite.hardware import Device
from lydite.records import dataclass

_VIEWS = ("Replicate", "Scatter")


@dataclass(frozen=True)
class Message:
    """One collective of a block.

    Attributes:
        kind: Kind of the collective, such as "AllReduce".
        bytes: Size of the whole tensor in bytes, as nccl-tests counts it.
        group: Name of the group of ranks that takes part, such as "tp".
        after: Number of kernels of the phase that precede it.
        beside: Kernels of the phase whose products make what is sent or take what arrives, and
            could be split so that it hides behind them.
    """

    kind: str
    bytes: float
    group: str
    after: int
    beside: tuple[int, ...] = ()


@dataclass(frozen=True)
class Weights:
    """Weights of a block on one rank that are replicated across one group of ranks.

    Attributes:
        bytes: Size of the weights in bytes.
        gradient_bytes: Size of their gradients in bytes, in the data type in which they are sent.
        parameters: Number of elements that are trained.
        frozen_bytes: Part of `bytes` that is not trained.
        summed_bytes: Part of `gradient_bytes` that is also summed over the tensor-parallel ranks.
    """

    bytes: float = 0.0
    gradient_bytes: float = 0.0
    parameters: int = 0
    frozen_bytes: float = 0.0
    summed_bytes: float = 0.0

    @property
    def trained_bytes(self) -> float:
        """Size in bytes of the weights that are trained."""
        return self.bytes - self.frozen_bytes

    def __add__(self, other: Weights) -> Weights:
        """The weights of both."""
        return Weights(
            self.bytes + other.bytes,
            self.gradient_bytes + other.gradient_bytes,
            self.parameters + other.parameters,
            self.frozen_bytes + other.frozen_bytes,
            self.summed_bytes + other.summed_bytes,
        )


@dataclass
class Part:
    """One phase of a block.

    Attributes:
        kernels: Estimated time of each operator in seconds, in execution order.
        low, high: Sums of the lower and of the upper bounds of those estimates, in seconds.
        flops: FLOPs of all operators.
        messages: Collectives of the phase, in execution order.
        by_source: Seconds by source of the estimate, such as "measured".
    """

    kernels: list[float] = field(default_factory=list)
    low: float = 0.0
    high: float = 0.0
    flops: float = 0.0
    messages: list[Message] = field(default_factory=list)
    by_source: dict[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Time in seconds of all operators, run one after the other."""
        return sum(self.kernels)


PARTS = ("forward", "data", "weights", "optimizer")
"""Phases: forward (with the loss), gradients of data, gradients of weights, updates."""

AGAIN = "again"
"""The part of "forward" that selective recomputation repeats: attention between its products."""


@dataclass
class BlockCost:
    """Cost of one block of the model on one rank, for one micro-batch.

    Attributes:
        block: Block that the costs belong to.
        parts: Costs by phase: each of `PARTS`, and `AGAIN`.
        held: Weights by the group that replicates them: "dp", or "edp" for experts.
        saved_bytes: Activations that one micro-batch keeps for the backward pass.
        attention_bytes: Part of `saved_bytes` that selective recomputation does not keep.
        boundary_bytes: Largest tensor that the block passes to later ones.
        cache_bytes: Keys and values kept for the tokens to come.
        peak_bytes: Largest inputs and outputs of a single operator, weights excluded.
    """

    block: Block
    parts: dict[str, Part] = field(
        default_factory=lambda: {name: Part() for name in (*PARTS, AGAIN)}
    )
    held: dict[str, Weights] = field(default_factory=dict)
    saved_bytes: float = 0.0
    attention_bytes: float = 0.0
    boundary_bytes: float = 0.0
    cache_bytes: float = 0.0
    peak_bytes: float = 0.0


@dataclass(frozen=True)
class Outline:
    """Blocks of a rank before their operators are timed.

    Attributes:
        name: Name of the graph.
        dtype: Data type of most of the arithmetic.
        costs: Cost of each block, without kernel times.
        keys: Distinct operator keys.
        slots: Operators that are timed, in execution order.
        control: Control-flow operators and their graph, by the number of their key.
    """

    name: str
    dtype: str
    costs: Sequence[BlockCost]
    keys: Sequence[OpKey]
    slots: Sequence[Slot]
    control: Mapping[int, tuple[Op, Graph]] = field(default_factory=dict)

    def without_operators(self) -> Outline:
        """What is still told when the blocks have been timed: name and data type."""
        return Outline(self.name, self.dtype, (), (), ())


class Slot(NamedTuple):
    """An operator that is timed.

    Attributes:
        block: Number of its block.
        phase: Name of its phase.
        key: Index into the outline's `keys`.
        share: What part of a kernel it is.
    """

    block: int
    phase: str
    key: int
    share: Share = ALONE


def outline(
    blocks: Blocks,
    step: TrainingStep | None,
    graph: Graph,
    wire_bytes: float | None = None,
    *,
    chains: bool = False,
    adapters: Adapted | None = None,
) -> Outline:
    """The blocks of a rank, with everything but the times of their operators.

    Args:
        blocks: Blocks of the model before it is partitioned.
        step: Training step on one rank; None for inference.
        graph: Graph of that step, or one rank's part of the model.
        wire_bytes: Bytes per gradient element as sent; None for the size of the weight's element.
        chains: Whether elementwise chains run as one kernel.
        adapters: Which weights are frozen; None where all are trained.
    """
    costs = [BlockCost(block) for block in blocks.blocks]
    home = Homes(blocks, graph)
    weight_ops = _weight_ops(step) if step is not None else set()
    numbers = _Numbers()
    slots: list[Slot] = []
    kernels: dict[tuple[int, str], int] = {}
    flops: dict[str, float] = {"float32": 0.0}
    sent: list[tuple[Op, int, str]] = []
    number_of: dict[tuple[str, str], int] = {}
    gathered = _gathered(step)
    places = {op.name: (home.of(op), _phase(op, step, weight_ops)) for op in graph.ops}
    shares = shares_of(graph, places, chains=chains)
    for op in graph.ops:
        (block, phase), share = places[op.name], shares.get(op.name, ALONE)
        if op.domain == "lydite" and op.op_type in COLLECTIVES:
            after = kernels.get((block, phase), 0)
            sent.append((op, block, phase))
            if phase == "data" and op.name.removesuffix(_BACK) in gathered:
                again = replace(op, op_type="AllGather")
                costs[block].parts[phase].messages.append(_message(again, graph, after))
                sent.append((op, block, phase))
            costs[block].parts[phase].messages.append(_message(op, graph, after))
        elif not (op.domain == "lydite" and op.op_type in _VIEWS):
            work = work_of(op, graph)
            if _runs_kernel(op, graph):
                number, count = numbers.add(op, graph)
                key = numbers.keys[number]
                done = costs[block].block.count * (work.flops if work is not None else 0.0)
                flops[key_dtype(key)] = flops.get(key_dtype(key), 0.0) + done
                again = phase == "forward" and op.name.endswith(REPEATED)
                for name in (phase, AGAIN) if again else (phase,):
                    leads = share.leads or not kernels.get((block, name))
                    part = replace(share, leads=leads, scale=share.scale / count)
                    slots += [Slot(block, name, number, part)] * count
                    kernels[block, name] = kernels.get((block, name), 0) + leads * count
                    number_of[op.name, name] = kernels[block, name] - 1
                    costs[block].parts[name].flops += work.flops if work is not None else 0.0
        types = [
            graph.type_of(n) for n in (*op.inputs, *op.outputs) if n and n not in graph.initializers
        ]
        here = sum(t.nbytes or 0.0 for t in types)
        costs[block].peak_bytes = max(costs[block].peak_bytes, here)
        grown = [name for name in op.outputs if name.startswith("present_")]
        if op.qualified_type == "Attention" or grown:
            grown = grown or [*(op.outputs[1:3] or op.inputs[4:6])]
            sizes = [graph.type_of(name).nbytes or 0.0 for name in grown if name]
            costs[block].cache_bytes += sum(sizes)
    for op, block, phase in sent:
        messages, products = costs[block].parts[phase].messages, products_beside(op, graph)
        beside = [number_of[name, phase] for name in products if places[name] == (block, phase)]
        messages.append(replace(messages.pop(0), beside=tuple(beside)))  # in turn, all of them
    _hold(costs, home, step, graph, wire_bytes, adapters)
    if step is not None:
        for name, size in saved_for_backward(step).items():
            cost, size = costs[home.of_name(name)], size / gathered.get(name, 1)
            cost.saved_bytes += size
            if name.endswith(SPARED):
                cost.attention_bytes += size
    _boundaries(costs, blocks, graph)
    dtype = max(flops, key=lambda d: flops[d])
    return Outline(graph.name, dtype, costs, numbers.keys, slots, numbers.control)


class _Numbers:
    """Numbers of the distinct operators of a step; control flow is never the same as another's."""

    def __init__(self) -> None:
        self.keys: list[OpKey] = []
        self.control: dict[int, tuple[Op, Graph]] = {}
        self._of: dict[str, int] = {}

    def add(self, op: Op, graph: Graph) -> tuple[int, int]:
        """The operator's number, and the number of kernels that it runs."""
        key, count = key_of(op, graph), kernels_of(op, graph)
        number = self._of.setdefault(key.digest if count is None else op.name, len(self.keys))
        if number == len(self.keys):
            self.keys.append(key)
        if count is not None:
            self.control[number] = (op, graph)
        return number, count or 1


def timed(shape: Outline, estimator: Estimator, device: Device) -> list[BlockCost]:
    """The cost of each block on a device.

    Raises:
        InputError: there is no estimate for some operators; the error names their types.
    """
    answers = list(estimator.estimate(shape.keys, device))
    for number, (op, graph) in shape.control.items():
        inner = [key for body in op.subgraphs for key in all_keys(body)]
        known = dict(zip(inner, estimator.estimate(inner, device), strict=True))
        answers[number] = op_estimate(op, graph, None, known)
        if answers[number] is None:
            raise _unpriced(op, graph, known)
    unknown = {k.qualified_type for k, a in zip(shape.keys, answers, strict=True) if a is None}
    if unknown:
        raise InputError(
            f"there is no time estimate for {', '.join(sorted(unknown))}",
            where=shape.name,
            hint=peak_note(shape.keys, device)
            or "measure them with lydite profile, or choose another model",
        )
    parts = [
        {
            name: replace(part, kernels=[], by_source={}, low=0.0, high=0.0)
            for name, part in cost.parts.items()
        }
        for cost in shape.costs
    ]
    for block, name, number, share in shape.slots:
        part, answer = parts[block][name], answers[number]
        assert answer is not None
        seconds = answer.seconds * share.scale
        if share.leads:
            part.kernels.append(seconds)
        else:
            part.kernels[-1] += seconds
        part.low += answer.low * share.scale
        part.high += answer.high * share.scale
        part.by_source[answer.source] = part.by_source.get(answer.source, 0.0) + seconds
    return [
        replace(cost, parts=timed_parts)
        for cost, timed_parts in zip(shape.costs, parts, strict=True)
    ]


MOST_KERNELS = 100_000
"""Kernels that one control-flow operator may run in a step."""


def kernels_of(op: Op, graph: Graph) -> int | None:
    """Kernels that control flow runs at most; None for any other operator.

    Raises:
        InputError: they are too many to simulate.
    """
    runs = body_runs(op, graph)
    if runs is None:
        return None
    inner = [
        sum(kernels_of(each, body) or 1 for each in body.ops if _runs_kernel(each, body))
        for body in runs.bodies
    ]
    count = max(inner, default=1) * (1 if runs.times is None else runs.times)
    if count > MOST_KERNELS:
        raise InputError(
            f"{op.name} ({op.op_type}) runs its body {runs.times} times",
            where=graph.name,
            allowed=f"up to {MOST_KERNELS} kernels",
        )
    return max(1, count)


def _runs_kernel(op: Op, graph: Graph) -> bool:
    """Whether an operator does any work; otherwise it is a view."""
    work = work_of(op, graph)
    return work is None or bool(work.flops or work.bytes_moved)


def _unpriced(op: Op, graph: Graph, known: Mapping[OpKey, Estimate | None]) -> InputError:
    """Why control flow has no time: its number of runs, or operators of its bodies."""
    runs = body_runs(op, graph)
    missing = sorted({key.qualified_type for key, answer in known.items() if answer is None})
    if runs is not None and runs.times is None:
        why, hint = "runs as often as its data say", "set its trip count with --value NAME=NUMBER"
    else:
        listed = ", ".join(missing) or "operators of unknown types"
        why, hint = f"has no time estimate for {listed}", "measure them with lydite profile"
    return InputError(f"{op.name} ({op.op_type}) {why}", where=graph.name, hint=hint)


def _hold(
    costs: Sequence[BlockCost],
    home: Homes,
    step: TrainingStep | None,
    graph: Graph,
    wire_bytes: float | None,
    adapters: Adapted | None,
) -> None:
    """Add each weight to its block, under the group of ranks that replicates it."""
    experts = {n for op in graph.ops if op.op_type in ("MoE", "MoETraining") for n in op.inputs[2:]}
    frozen, summed = (adapters.frozen, adapters.summed) if adapters is not None else ((), ())
    for name in (*_weights_in_order(step, graph), *frozen):
        held, type_ = costs[home.of_weight(name)].held, graph.type_of(name)
        size, count = type_.nbytes or 0.0, type_.numel or 0
        sent = size if wire_bytes is None else count * wire_bytes
        added = Weights(size, sent, count, summed_bytes=sent if name in summed else 0.0)
        if name in frozen:
            added = Weights(size, frozen_bytes=size)
        group = "edp" if name in experts else "dp"
        held[group] = held.get(group, Weights()) + added
    for op in graph.ops:
        size = sum(map(_body_bytes, op.subgraphs))
        if size:
            held = costs[home.of(op)].held
            held["dp"] = held.get("dp", Weights()) + Weights(size, frozen_bytes=size)


def _body_bytes(body: Graph) -> float:
    """Bytes of the weights of a body and of the bodies inside it."""
    own = sum(body.type_of(name).nbytes or 0.0 for name in body.parameters)
    return own + sum(_body_bytes(inner) for op in body.ops for inner in op.subgraphs)


def _phase(op: Op, step: TrainingStep | None, weight_ops: set[str]) -> str:
    phase = step.phases[op.name] if step is not None else "forward"
    if phase == "optimizer":
        return phase
    if phase == "backward":
        return "weights" if op.name in weight_ops else "data"
    return "forward"


def _message(op: Op, graph: Graph, after: int) -> Message:
    """The message of a collective, its size the larger of input and output as in nccl-tests."""
    sizes = [t.nbytes or 0.0 for t in (graph.type_of(op.inputs[0]), graph.type_of(op.outputs[0]))]
    copies: Any = op.attrs.get("copies", 1)
    parts: Any = op.attrs.get("parts", 1)
    return Message(op.op_type, max(sizes) * copies / parts, str(op.attrs.get("group", "tp")), after)


_BACK = "/ReduceScatter"


def _gathered(step: TrainingStep | None) -> dict[str, int]:
    """All-gathers of tokens before a matrix product: number of ranks by operator name.

    A rank keeps only its own tokens for the backward pass and gathers them again there (sequence
    parallelism, arXiv:2205.05198, section 4.2.2).
    """
    ranks: dict[str, int] = {}
    for op in step.ops_of("forward") if step is not None else []:
        attrs: Mapping[str, Any] = op.attrs
        of_tokens = (attrs.get("group"), attrs.get("axis")) == (GROUP, 1)
        if op.qualified_type == "lydite:AllGather" and of_tokens:
            ranks[op.name] = attrs["size"]
    return ranks


_FINISHING = ("Reshape", "ReduceSum", "Cast", "Add", "Transpose")
"""Operators that may follow the product that computes a weight's gradient."""


def _weight_ops(step: TrainingStep) -> set[str]:
    """Names of backward operators that only weight gradients depend on, no data gradient."""
    wanted, names = set(step.gradients.values()), set[str]()
    readers = step.graph.consumers
    for op in reversed(step.ops_of("backward")):
        outputs = [name for name in op.outputs if name]
        finished = any(name in wanted for name in outputs)
        behind = [r for name in outputs for r in readers.get(name, ())]
        passing = behind and all(r.name in names and r.op_type in _FINISHING for r in behind)
        several = len(outputs) > 1 and not all(name in wanted for name in outputs)
        if (finished and not several) or (passing and not finished):
            names.add(op.name)
    return names


def _weights_in_order(step: TrainingStep | None, graph: Graph) -> Sequence[str]:
    return list(step.gradients) if step is not None else graph.parameters


def _boundaries(costs: Sequence[BlockCost], blocks: Blocks, graph: Graph) -> None:
    """Set each block's `boundary_bytes` from the tensors that later blocks read."""
    later: set[str] = set()
    made_by = {name: i for i, block in enumerate(blocks.blocks) for name in block.ops}
    readers = blocks.graph.consumers
    for op in blocks.graph.ops:
        number = made_by[op.name]
        repeated = blocks.blocks[number].count > 1
        for name in op.outputs:
            crosses = any(made_by[r.name] > number for r in readers.get(name, ()))
            if crosses or (repeated and name in graph.outputs):
                later.add(name)
                size = _on_rank(graph, name)
                costs[number].boundary_bytes = max(costs[number].boundary_bytes, size)


def _on_rank(graph: Graph, name: str) -> float:
    """Size in bytes of a tensor on one rank, after tensor parallelism has replaced it."""
    for op_type in ("ReduceScatter", "AllReduce"):
        part = f"{name}/part/{op_type}.out"
        if part in graph.tensors:
            return graph.type_of(part).nbytes or 0.0
    return graph.type_of(name).nbytes or 0.0
