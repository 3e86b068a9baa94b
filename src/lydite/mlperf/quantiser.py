"""ONNX Runtime's static quantiser: ranges from samples, and the int8 model from a table.

The fp32 model is raised to opset 17 first (per-channel weights need 13) and taken as ONNX Runtime's
basic optimisation leaves it, so that normalisations are folded into convolutions. Activations are
unsigned and weights signed bytes, which is what processors multiply fastest. Calibration and
quantisation are ONNX Runtime's own code.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from lydite.errors import BackendError, InputError, unknown_name
from lydite.graph import Graph, graph_from_model, write_onnx
from lydite.graph.upgrade import upgraded
from lydite.mlperf.calibration import METHODS, Table
from lydite.mlperf.ort import optimised

OPSET = 17
ALL = "all"
_CHUNK = 16
"""Batches whose activations are in memory at once."""


class Quantiser:
    """Quantises one fp32 graph.

    Args:
        graph: Graph with its weights, in float32.
    """

    def __init__(self, graph: Graph) -> None:
        with tempfile.TemporaryDirectory(prefix="lydite-") as folder:
            source = write_onnx(_raised(graph), Path(folder) / "model.onnx")
            path = optimised(source, Path(folder) / "basic.onnx", "basic")
            self._model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
        self._name = graph.name
        for number, node in enumerate(self._model.graph.node):
            node.name = node.name or f"{node.op_type}_{number}"
        _flatten_biases(self._model.graph)

    @cached_property
    def nodes(self) -> dict[str, str]:
        """Operator type of each node that can be quantised, by name."""
        from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

        able = set(QDQRegistry) | set(QLinearOpsRegistry)
        weights = {init.name for init in self._model.graph.initializer}
        return {
            node.name: node.op_type
            for node in self._model.graph.node
            if node.op_type in able and not all(name in weights for name in node.input)
        }

    def chosen(self, operators: Sequence[str]) -> list[str]:
        """Names of the nodes of some operator types; ("all",) takes all that can be quantised.

        Raises:
            InputError: none of these operators is in the model.
        """
        present = sorted(set(self.nodes.values()))
        if ALL in operators:
            return list(self.nodes)
        found = [name for name, op_type in self.nodes.items() if op_type in operators]
        if not found:
            raise InputError(
                f"has no {', '.join(operators)}", where=self._name, allowed=", ".join(present)
            )
        return found

    def ranges(
        self, batches: Iterator[Mapping[str, np.ndarray]], method: str, operators: Sequence[str]
    ) -> dict[str, tuple[float, float]]:
        """Least and greatest value of each tensor around the operators.

        Args:
            batches: Inputs by name, batch by batch.
            method: One of `METHODS`.
            operators: Operator types, or ("all",).

        Raises:
            InputError: an unknown method, or no batches.
            BackendError: ONNX Runtime cannot calibrate the model.
        """
        from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

        if method not in METHODS:
            raise unknown_name("calibration method", method, METHODS)
        names = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}
        op_types = sorted({self.nodes[name] for name in self.chosen(operators)})
        reader: Any = _Reader(batches)
        with tempfile.TemporaryDirectory(prefix="lydite-") as folder, _quiet():
            source = Path(folder) / "base.onnx"
            onnx.save(self._model, str(source))
            try:
                calibrator = create_calibrator(
                    source,
                    op_types,
                    augmented_model_path=str(Path(folder) / "augmented.onnx"),
                    calibrate_method=getattr(CalibrationMethod, names[method]),
                )
                while not reader.ended:
                    reader.left = _CHUNK
                    calibrator.collect_data(reader)
                data = calibrator.compute_data()
            except Exception as error:  # of the quantiser, which raises whatever it meets
                raise _refused(error, self._name) from error
        return {
            name: (float(np.ravel(d.range_value[0])[0]), float(np.ravel(d.range_value[1])[0]))
            for name, d in data.items()
        }

    def quantised(self, table: Table, only: Sequence[str] | None = None) -> Graph:
        """The int8 graph of a table.

        Args:
            table: Ranges, and what is quantised.
            only: Names of the nodes to quantise; None for those of the table.

        Raises:
            BackendError: the quantiser cannot quantise the model.
        """
        from onnxruntime.quantization import QDQQuantizer, QuantType
        from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData

        keep = set(table.keep)
        nodes = self.chosen(table.operators) if only is None else list(only)
        nodes = [name for name in nodes if name not in keep]
        if not nodes:
            return graph_from_model(copy.deepcopy(self._model), where=self._name)
        ranges = {
            name: (np.array(low, np.float32), np.array(high, np.float32))
            for name, (low, high) in table.ranges.items()
        }
        try:
            with _quiet():
                quantiser = QDQQuantizer(
                    copy.deepcopy(self._model),
                    table.per_channel,
                    False,
                    QuantType.QInt8,
                    QuantType.QUInt8,
                    TensorsData(CalibrationMethod.MinMax, dict(ranges)),
                    nodes,
                    [],
                    sorted({self.nodes[name] for name in nodes}),
                    {},
                )
                quantiser.quantize_model()
        except Exception as error:  # as above
            raise _refused(error, self._name) from error
        return graph_from_model(quantiser.model.model, where=self._name)


def _raised(graph: Graph) -> Graph:
    """The graph at opset 17 or later."""
    return graph if graph.opsets.get("", 1) >= OPSET else upgraded(graph, OPSET)


def _flatten_biases(graph: onnx.GraphProto) -> None:
    """Make vectors of Gemm's biases that are matrices of one row.

    They mean the same, but the quantiser takes rows for channels, and fails ("the truth value of an
    array ... is ambiguous") when weights are scaled by channel.
    """
    uses: dict[str, list[tuple[str, int]]] = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            uses.setdefault(name, []).append((node.op_type, place))
    for init in graph.initializer:
        is_row = len(init.dims) == 2 and init.dims[0] == 1
        if is_row and set(uses.get(init.name, ())) == {("Gemm", 2)}:
            del init.dims[0]


def _refused(error: Exception, where: str) -> BackendError:
    lines = str(error).strip().splitlines()
    said = lines[0] if lines else type(error).__name__
    return BackendError(
        f"ONNX Runtime's quantiser refuses it: {said}",
        where=where,
        hint="quantise fewer operators (--operators Conv), or without --per-channel",
    )


class _Reader:
    """Batches in chunks, as the calibrator takes them: None ends a chunk."""

    def __init__(self, batches: Iterator[Mapping[str, np.ndarray]]) -> None:
        self._batches = batches
        self._next = next(batches, None)
        if self._next is None:
            raise InputError("no calibration samples")
        self.left = 0

    @property
    def ended(self) -> bool:
        """Whether all batches were taken."""
        return self._next is None

    def get_next(self) -> Any:
        """The next batch of the chunk."""
        if not self.left or self._next is None:
            return None
        self.left -= 1
        now, self._next = self._next, next(self._batches, None)
        return now


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the quantiser prints and logs."""
    logger = logging.getLogger()
    disabled, logger.disabled = logger.disabled, True
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.disabled = disabled
