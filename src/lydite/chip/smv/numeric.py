"""Functional model of a graph: SMV's operators tile by tile, the CPU's by ONNX's reference."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import helper
from onnx.reference import ReferenceEvaluator

from lydite.chip.smv.functional import execute
from lydite.chip.smv.limits import SMV
from lydite.chip.smv.lower import lower
from lydite.chip.smv.program import HostOp, SmvOp
from lydite.chip.tiling.constraints import Constraints
from lydite.chip.tiling.problem import Kind
from lydite.errors import InputError
from lydite.graph.graph import Graph
from lydite.graph.onnx_writer import node_to_proto

Array = np.ndarray


def run_graph(
    graph: Graph,
    feeds: Mapping[str, Array],
    constraints: Constraints = SMV,
    accelerators: int = 1,
    seed: int = 0,
) -> dict[str, Array]:
    """The outputs of a graph as SMV computes them, with every tensor rounded to fp16.

    Args:
        graph: Graph to run.
        feeds: Array for each input.
        constraints, accelerators: Constraints and number of accelerators of the chip.
        seed: Random seed of weights without values; they equal those that `write_onnx` draws.

    Raises:
        InputError: an input has no array, or a scratchpad is too small.
        GraphError: the size of a tensor is not fixed.
    """
    missing = [name for name in graph.inputs if name not in feeds]
    if missing:
        raise InputError(f"no array for {missing}", where=graph.name, allowed=str(graph.inputs))
    values = {
        name: weight.array(seed + number)
        for number, (name, weight) in enumerate(graph.initializers.items())
    }
    values |= {name: np.asarray(array) for name, array in feeds.items()}
    for step in lower(graph).steps:
        if isinstance(step, SmvOp):
            values[step.output] = _on_chip(graph, step, values, constraints, accelerators)
        else:
            values |= _on_host(graph, step, values)
    return {name: values[name] for name in graph.outputs}


def _on_chip(
    graph: Graph,
    step: SmvOp,
    values: Mapping[str, Array],
    constraints: Constraints,
    accelerators: int,
) -> Array:
    operands = [values[name] for name in step.inputs]
    kind = step.problem.kind
    if kind is Kind.BATCH_NORM:
        operands = [operands[0], _norm_weights(graph, step, operands[1:])]
    elif kind is Kind.FLAT:
        # a Clip's bounds belong to its activation and are no operands
        operands = operands[: 1 if step.activation else 2]
    elif kind is Kind.INNER_PRODUCT:
        second = operands[1].T if step.weights_transposed else operands[1]
        operands = [operands[0].reshape(step.problem.input), second]
    in_layout = [_as_nhwc(each) if kind is not Kind.FLAT else each for each in operands]
    found = execute(step, in_layout, constraints, accelerators).output
    if kind is Kind.FLAT:
        return found.reshape(-1)[: operands[0].size].reshape(step.dims)
    return found.transpose(0, 3, 1, 2) if found.ndim == 4 else found.reshape(step.dims)


def _as_nhwc(array: Array) -> Array:
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array


def _norm_weights(graph: Graph, step: SmvOp, parts: list[Array]) -> Array:
    """Mean, 1 / sqrt(variance + epsilon), scale and bias, as SMAUG stores them."""
    scale, bias, mean, variance = (part.astype(np.float32) for part in parts)
    made = next(op for op in graph.ops if op.name == step.name)
    epsilon = made.attrs.get("epsilon", 1e-5)
    assert isinstance(epsilon, float)
    return np.stack([mean, 1 / np.sqrt(variance + np.float32(epsilon)), scale, bias])


def _on_host(graph: Graph, step: HostOp, values: Mapping[str, Array]) -> dict[str, Array]:
    """Run an operator of the CPU in float32, with results rounded to fp16."""
    op = step.op
    inputs = {name: values[name] for name in op.inputs if name}
    if step.is_bias and inputs[op.inputs[0]].ndim == 4:
        inputs[op.inputs[1]] = inputs[op.inputs[1]].reshape(-1, 1, 1)
    wide = {
        name: array.astype(np.float32) if array.dtype == np.float16 else array
        for name, array in inputs.items()
    }
    node = node_to_proto(op, graph)
    infos = [helper.make_empty_tensor_value_info(name) for name in inputs]
    outputs = [helper.make_empty_tensor_value_info(name) for name in op.outputs if name]
    opsets = [helper.make_opsetid(domain, version) for domain, version in graph.opsets.items()]
    model = helper.make_model(
        helper.make_graph([node], op.name, infos, outputs), opset_imports=opsets
    )
    found = ReferenceEvaluator(model).run(None, wide)
    names = [name for name in op.outputs if name]
    pairs = zip(names, map(np.asarray, found), strict=True)
    return {n: a.astype(np.float16) if a.dtype == np.float32 else a for n, a in pairs}
