"""The graph of a training step: forward, loss, backward, optimiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from lydite.errors import GraphError, unknown_name
from lydite.graph.builder import Builder, Tensor
from lydite.graph.graph import Graph, Op, outer_names
from lydite.graph.operators import BY_DECOMPOSITION, ZERO, Known, Missing, facet, operator
from lydite.graph.operators.gradients.call import GradientCall
from lydite.graph.passes.decompose import decomposed
from lydite.graph.shapes.infer import infer_outputs
from lydite.graph.training.losses import LOSSES, usual_loss
from lydite.graph.training.optimizers import OPTIMIZERS, append_updates
from lydite.graph.training.recompute import Recall
from lydite.graph.upgrade import upgraded
from lydite.records import dataclass
from lydite.results import OneLine

PHASES = ("forward", "loss", "backward", "recompute", "optimizer")


@dataclass(frozen=True, repr=False)
class TrainingStep(OneLine):
    """A training step.

    Attributes:
        graph: Graph of the whole step; its outputs are the loss, then the updated weights and
            states (or, without an optimiser, the gradients).
        loss: Name of the loss, one of `LOSSES`.
        optimizer: Name of the optimiser, one of `OPTIMIZERS`; None without one.
        gradients: Name of the gradient's tensor by weight.
        states: Name of the weight by tensor of the optimiser's state.
        phases: Phase by operator name: "forward", "loss", "backward", "recompute" or "optimizer".
        in_place: Pairs of an output and the input that it overwrites, by operator name.
    """

    graph: Graph
    loss: str
    optimizer: str | None
    gradients: Mapping[str, str]
    states: Mapping[str, str]
    phases: Mapping[str, str]
    in_place: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)

    def ops_of(self, phase: str) -> list[Op]:
        """The operators of one phase, in order."""
        return [op for op in self.graph.ops if self.phases[op.name] == phase]

    def headline(self) -> str:
        """Name, number of operators, loss and optimiser, in one line."""
        return (
            f"{self.graph.name}: {len(self.graph.ops)} operators, loss {self.loss}, "
            f"optimizer {self.optimizer or 'none'}"
        )


def training_step(
    graph: Graph,
    *,
    loss: str | None = None,
    optimizer: str | None = None,
    recompute: int = 0,
    through: Sequence[str] = (),
) -> TrainingStep:
    """The training step of a model.

    Every trained weight (see `Graph.parameters`) gets a gradient. Operators that save something for
    it take their training form: batch normalisation uses the batch's own statistics.

    Args:
        graph: A network with static shapes; its dropout stays off.
        loss: One of `LOSSES`; None takes cross entropy for a single matrix of scores (or one per
            token), else the mean squared difference to targets; "given": the output is the loss.
        optimizer: One of `OPTIMIZERS`; None stops at the gradients.
        recompute: Number of forward segments whose inner tensors are dropped and recomputed in the
            backward pass (Chen et al., arXiv:1604.06174); 0 keeps everything.
        through: Tensors whose gradients are computed although no weight may need them.

    Raises:
        InputError: an unknown loss or optimiser.
        GraphError: an operator without a gradient lies between a weight and the loss (the error
            names all), a size is unknown, or there is nothing to train.
    """
    if optimizer is not None and optimizer not in OPTIMIZERS:
        raise unknown_name("optimizer", optimizer, OPTIMIZERS)
    if loss is not None and loss not in ("given", *LOSSES):
        raise unknown_name("loss", loss, LOSSES)
    if graph.open_dims:
        raise GraphError(
            f"training needs every size; unknown: {', '.join(graph.open_dims)}",
            where=graph.name,
            hint="bind symbolic sizes with --dim NAME=SIZE",
        )
    graph = decomposed(upgraded(graph), _needs_primitives)
    loss = loss or usual_loss([graph.type_of(name) for name in graph.outputs])
    whole = with_loss(graph, loss)
    forward = _saving(whole)
    g = Builder.on(forward, f"{graph.name}-train")
    own_names = {op.name for op in graph.ops}
    phases = {op.name: "forward" if op.name in own_names else "loss" for op in forward.ops}
    lost = g.tensor(forward.outputs[0])
    built = g.build(lost)
    walk = _Backward(g, built, Recall(g, forward, recompute, phases))
    gradients = walk.run(lost, graph.parameters, through)
    for op in g.build(lost).ops:
        phases.setdefault(op.name, "backward")
    updated, owners = list(gradients.values()), {}
    if optimizer is not None:
        updated, owners = append_updates(g, OPTIMIZERS[optimizer], gradients)
    whole = g.build(lost, *updated)
    for op in whole.ops:
        phases.setdefault(op.name, "optimizer")
    return TrainingStep(
        whole,
        loss,
        optimizer,
        {name: t.name for name, t in gradients.items()},
        owners,
        phases,
        walk.in_place | _updates_in_place(whole, phases, optimizer),
    )


def with_loss(graph: Graph, loss: str) -> Graph:
    """The network with a loss as its single output; unchanged for "given".

    Raises:
        GraphError: the outputs do not fit the loss.
    """
    if loss == "given":
        return graph
    if loss not in LOSSES:
        raise unknown_name("loss", loss, tuple(LOSSES))
    graph = upgraded(graph)
    g = Builder.on(graph)
    return g.build(LOSSES[loss](g, [g.tensor(name) for name in graph.outputs]))


def _saving(graph: Graph) -> Graph:
    """The forward pass with operators in their training form."""
    ops: list[Op] = []
    tensors, opsets = dict(graph.tensors), dict(graph.opsets)
    for op in graph.ops:
        row = operator(op.qualified_type)
        form = row.saving if row is not None else None
        if form is None or (op.op_type == "LayerNormalization" and opsets[""] < 17):
            ops.append(op)
            continue
        domain, op_type, count = form.domain, form.op_type, form.outputs
        opsets.setdefault(domain, 1)
        names = [*op.outputs, *[""] * (count - len(op.outputs))][:count]
        outputs = tuple(name or f"{op.name}.saved{i}" for i, name in enumerate(names))
        saving = replace(op, op_type=op_type, domain=domain, outputs=outputs)
        types = infer_outputs(
            saving,
            graph.input_types(op),
            [graph.constant(n) for n in op.inputs],
            opsets,
            strict=True,
        )
        tensors |= dict(zip(outputs, types, strict=True))
        ops.append(saving)
    return replace(graph, ops=tuple(ops), tensors=tensors, opsets=opsets)


class _Backward:
    """Walks the operators from the loss to the weights and adds up gradients."""

    def __init__(self, g: Builder, graph: Graph, recall: Recall) -> None:
        self._g, self._graph, self._recall = g, graph, recall
        self._found: dict[str, Tensor] = {}
        self.in_place: dict[str, list[tuple[str, str]]] = {}

    def run(
        self, loss: Tensor, parameters: Sequence[str], through: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        """Gradients by weight, in the order in which they are completed."""
        needed = self._needed([*parameters, *through])
        if loss.name not in needed:
            raise GraphError(
                "the loss depends on no weight, so there is nothing to train",
                where=self._graph.name,
            )
        trained, done = set(parameters), {}
        readers = {name: sum(op.inputs.count(name) for op in self._graph.ops) for name in trained}
        self._found[loss.name] = self._g.constant(1.0, "loss_gradient", loss.type.dtype)
        for op in reversed(self._graph.ops):
            dys = [self._found.pop(name, None) if name else None for name in op.outputs]
            if any(dy is not None for dy in dys) and any(name in needed for name in op.inputs):
                self._one(op, dys, needed)
            for name in op.inputs:
                if name in trained:
                    readers[name] -= 1
                    if not readers[name] and name in self._found:
                        done[name] = self._found.pop(name)
        return done

    def _one(self, op: Op, dys: Sequence[Tensor | None], needed: set[str]) -> None:
        wanted = [name in needed for name in op.inputs]
        call = GradientCall(self._g, op, dys, wanted, self._recall)
        gradients = facet(op.qualified_type, "gradient")(call)
        for name, gradient in zip(op.inputs, gradients, strict=False):
            if gradient is not None and name in needed:
                self._add(name, gradient, op)

    def _add(self, name: str, gradient: Tensor, op: Op) -> None:
        """Add a gradient in place to those from other readers of the tensor, as autograd does."""
        before = self._found.get(name)
        if before is None:
            self._found[name] = gradient
            return
        total = self._g.op("Add", before, gradient, name=f"{op.name}/accumulate")
        self.in_place[total.name.removesuffix(".out")] = [(total.name, before.name)]
        self._found[name] = total

    def _needed(self, parameters: Sequence[str]) -> set[str]:
        """Tensors that depend on a weight: those whose gradients are computed."""
        needed, unknown = set(parameters), []
        for op in self._graph.ops:
            gradient = _gradient(op)
            read = (*op.inputs, *outer_names(op))
            if not any(name in needed for name in read) or gradient == ZERO:
                continue
            floats = [n for n in op.outputs if n and "float" in self._graph.type_of(n).dtype]
            if floats and (gradient is None or isinstance(gradient, Known | Missing)):
                unknown.append(op)
            needed.update(floats)
        if unknown:
            types = ", ".join(sorted({_named(op) for op in unknown}))
            raise GraphError(
                f"no gradient is known for {types}, which lies between a weight and the loss",
                where=f"{self._graph.name}: {unknown[0].name}",
            )
        return needed


def _gradient(op: Op) -> Any:
    return facet(op.qualified_type, "gradient")


def _needs_primitives(op: Op) -> bool:
    """Whether an operator's gradient follows from its decomposition."""
    return _gradient(op) == BY_DECOMPOSITION


def _named(op: Op) -> str:
    """The operator type with the reason why it has no gradient."""
    gradient = _gradient(op)
    return op.qualified_type + (f" ({gradient.reason})" if isinstance(gradient, Missing) else "")


def _updates_in_place(
    graph: Graph, phases: Mapping[str, str], optimizer: str | None
) -> dict[str, list[tuple[str, str]]]:
    """Pairs of output and overwritten input of each update: the weight, then its states."""
    if optimizer is None:
        return {}
    states = len(OPTIMIZERS[optimizer].states)
    pairs: dict[str, list[tuple[str, str]]] = {}
    for op in graph.ops:
        if phases[op.name] == "optimizer":
            first = len(op.inputs) - states - 2
            written = [op.inputs[first], *op.inputs[first + 2 :]]
            pairs[op.name] = list(zip(op.outputs, written, strict=True))
    return pairs
