"""A graph as operators of SMV and of the CPU."""

from __future__ import annotations

from lydite.chip.tiling.problem import Dims, Problem
from lydite.graph.graph import Op
from lydite.records import dataclass


@dataclass(frozen=True, slots=True)
class Activation:
    """An activation and its parameters.

    Attributes:
        name: Name: relu, lrelu, elu, selu, tanh, hard_tanh or sigmoid.
        alpha: Slope of lrelu; factor of elu and selu.
        gamma: Second factor of selu.
        low: Lower bound of hard_tanh.
        high: Upper bound of hard_tanh.
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
        name: Name of the graph's operator.
        kernel: SMAUG's name of the accelerator's kernel.
        problem: Shapes of the operator.
        inputs: Tensors of the graph that it reads; a batch norm has the scale, bias, mean and
            variance.
        output: Tensor of the graph that it writes.
        activation: Activation that is fused, or the operator itself.
        weights_transposed: Whether the graph has the weights of an inner product as [C, N].
        dims: Logical sizes of the output, as in the graph.
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
        op: Operator of the graph.
        is_bias: Whether it adds a bias for an operator that SMV runs without one: a vector along
            axis 1 of an image, along the last axis otherwise.
    """

    op: Op
    reason: str
    is_bias: bool = False


@dataclass(frozen=True, slots=True)
class SmvProgram:
    """A graph lowered for SMV.

    Attributes:
        steps: All operators of the graph, in order; fused activations are part of their operator.
    """

    name: str
    steps: tuple[SmvOp | HostOp, ...]

    @property
    def ops(self) -> list[SmvOp]:
        """The operators that SMV runs."""
        return [step for step in self.steps if isinstance(step, SmvOp)]

    @property
    def host(self) -> list[HostOp]:
        """The operators that the CPU runs."""
        return [step for step in self.steps if isinstance(step, HostOp)]
