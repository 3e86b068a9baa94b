"""The nets that accuracy is judged on: the model set, and ONNX's nine light models with weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx

from lydite.graph import Graph, Initializer, read_onnx, retyped
from lydite.models import build_model

SET = ("alexnet", "vgg16", "resnet50", "mobilenetv2", "inceptionv3", "bert-base", "bert-large")


def light_paths() -> list[Path]:
    """ONNX's light models, as the package `onnx` carries them."""
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    return sorted(folder.glob("light_*.onnx"))


def light_model(path: Path, batch: int = 1) -> Graph:
    """A light model with drawn weights in place of its constant ones, at a batch.

    The files hold `ConstantOfShape` operators where the weights were; they become initializers.
    """
    graph = read_onnx(path)
    made = {op.outputs[0] for op in graph.ops if op.op_type == "ConstantOfShape"}
    weights = {name: Initializer(graph.type_of(name)) for name in sorted(made)}
    ops = tuple(op for op in graph.ops if op.outputs[0] not in made)
    read = {name for op in ops for name in op.inputs}
    kept = {k: v for k, v in graph.initializers.items() if k in read}
    kept |= {k: _batched(v, batch) for k, v in kept.items() if _is_shape(k, ops)}
    inputs = tuple(name for name in graph.inputs if name in read)
    types = {
        name: replace(graph.type_of(name), shape=(batch, *(graph.type_of(name).shape or ())[1:]))
        for name in inputs
    }
    net = Graph(
        path.stem,
        ops,
        {**graph.tensors, **types},
        inputs,
        graph.outputs,
        {**kept, **weights},
        graph.opsets,
    )
    return retyped(net, types)


def _is_shape(name: str, ops: tuple) -> bool:
    return any(op.op_type == "Reshape" and op.inputs[1] == name for op in ops)


def _batched(init: Initializer, batch: int) -> Initializer:
    """A target shape whose leading 1 is the batch; weights are reshaped with no leading 1."""
    if init.value is None or init.value.size < 2 or init.value[0] != 1:
        return init
    value = init.value.copy()
    value[0] = batch
    return Initializer(init.type, value=value)


def nets(batch: int) -> list[Graph]:
    """All sixteen at a batch."""
    lights = [light_model(path, batch) for path in light_paths()]
    return [build_model(name, batch=batch) for name in SET] + lights
