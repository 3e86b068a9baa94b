"""A graph as SMV's operators, and those of the CPU."""

from __future__ import annotations

from dataclasses import dataclass

from lydite.chip.tiling.problem import Dims, Problem
from lydite.graph.graph import Op


@dataclass(frozen=True, slots=True)
class Activation:
    """An activation and its numbers.

    Attributes:
        name: relu, lrelu, elu, selu, tanh, hard_tanh or sigmoid.
        alpha: slope of lrelu, factor of elu and selu.
        gamma: the second factor of selu.
        low, high: bounds of hard_tanh.
    """

    name: str
    alpha: float = 0.0
    gamma: float = 1.0
    low: float = -1.0
    high: float = 1.0


@dataclass(frozen=True, slots=True)
class SmvOp:
    """One operator that SMV runs.

    Attributes:
        name: of the graph's operator.
        kernel: SMAUG's name of what the accelerator runs.
        problem: its shapes.
        inputs, output: tensors of the graph; a batch norm has the scale, bias, mean and variance.
        activation: fused, or the operator itself.
        weights_transposed: whether the graph keeps the weights of an inner product as [C, N].
        dims: logical sizes of the output, as in the graph.
    """

    name: str
    kernel: str
    problem: Problem
    inputs: tuple[str, ...]
    output: str
    activation: Activation | None = None
    weights_transposed: bool = False
    dims: Dims = ()


@dataclass(frozen=True, slots=True)
class HostOp:
    """An operator that the CPU runs, and why.

    Attributes:
        op: the graph's operator.
        is_bias: whether it adds the bias of one that SMV runs without: a vector along axis 1 of an
            image, the last of all else.
    """

    op: Op
    reason: str
    is_bias: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """A graph for SMV.

    Attributes:
        steps: every operator of the graph, in its order, fused activations within their operator.
    """

    name: str
    steps: tuple[SmvOp | HostOp, ...]

    @property
    def ops(self) -> list[SmvOp]:
        """Those that SMV runs."""
        return [step for step in self.steps if isinstance(step, SmvOp)]

    @property
    def host(self) -> list[HostOp]:
        """Those that the CPU runs."""
        return [step for step in self.steps if isinstance(step, HostOp)]
