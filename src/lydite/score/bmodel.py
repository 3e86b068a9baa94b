"""Models compiled for Sophgo's chips (.bmodel), run by Sophgo's package `sail` if it is there.

What is used of `sail` is what its manual documents: `Engine(path, tpu_id, IOMode.SYSIO)`,
`get_graph_names`, `get_input_names`, `get_input_shape`, and `process`, which copies inputs to the
chip and outputs back and returns when they are there. It was written without such a chip at hand.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from lydite.backends import Prepared
from lydite.errors import BackendError, InputError

SUFFIX = ".bmodel"


def is_bmodel(model: str) -> bool:
    """Whether a model is a file of this kind."""
    return model.endswith(SUFFIX)


class Bmodel(Prepared):
    """A compiled model on the first chip, with random inputs.

    Args:
        path: File of the model.
        seed: Random seed of the inputs.

    Raises:
        InputError: there is no such file.
        BackendError: `sail` is not installed.
    """

    def __init__(self, path: str, seed: int) -> None:
        if not Path(path).is_file():
            raise InputError("no such file", where=path)
        try:
            sail: Any = import_module("sophon.sail")
        except ImportError:
            raise BackendError(
                "a .bmodel runs on Sophgo's chips by their package 'sophon.sail', which is not "
                "installed",
                where=path,
                hint="install Sophgo's SDK, or give the model as .onnx",
            ) from None
        self._engine: Any = sail.Engine(path, 0, sail.IOMode.SYSIO)
        self._graph = self._engine.get_graph_names()[0]
        draw = np.random.default_rng(seed)
        self._inputs = {
            name: draw.random(self._engine.get_input_shape(self._graph, name), dtype=np.float32)
            for name in self._engine.get_input_names(self._graph)
        }
        self._outputs: dict[str, np.ndarray] = {}

    def run(self) -> None:
        """Run once; returns when the outputs are in host memory."""
        self._outputs = self._engine.process(self._graph, self._inputs)

    def synchronize(self) -> None:
        """Nothing is left to wait for."""

    def outputs(self) -> dict[str, np.ndarray]:
        """Outputs of the last call by name."""
        return self._outputs

    def close(self) -> None:
        """Release the engine."""
        self._engine = None
