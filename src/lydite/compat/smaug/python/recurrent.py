"""SMAUG's recurrent layers, unrolled step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lydite.compat.smaug.python import math
from lydite.compat.smaug.python.activations import named, sigmoid
from lydite.compat.smaug.python.array import concat, expand_dims, split, unstack
from lydite.compat.smaug.python.dense import mat_mul
from lydite.compat.smaug.python.graph import Tensor
from lydite.errors import GraphError


class LSTM:
    """An LSTM whose initial state is zero.

    Args:
        weight_tensors: [4 * units, depth] for the input and [4 * units, units] for the state, NC;
            the gates are in the order input, forget, new, output.
        activation, activation_params: Activation of the new input and of the state.
        name: Prefix of node names.
    """

    def __init__(
        self,
        weight_tensors: Sequence[Tensor],
        activation: str = "tanh",
        activation_params: Mapping[str, float] | None = None,
        name: str = "lstm",
    ) -> None:
        if len(weight_tensors) != 2:
            raise GraphError(f"got {len(weight_tensors)} weights", where=name, allowed="two")
        self.name = f"{name}:"
        self.kernel, self.recurrent_kernel = weight_tensors
        self._activation, self._params = named(activation), dict(activation_params or {})
        units = self.kernel.dims[0 if self.kernel.layout == "NC" else 1] // 4
        self.h, self.c = (
            Tensor(
                name=f"{self.name}/{part}",
                data_layout="NC",
                tensor_data=np.zeros((1, units), self.kernel.dtype),
            )
            for part in ("h", "c")
        )

    def __call__(
        self, input_tensor: Tensor | Sequence[Tensor], concat_output: bool = False
    ) -> tuple[list[Tensor] | Tensor, Tensor]:
        """Run over all steps of a tensor NTC, or over a list of matrices NC.

        Returns:
            the output of each step [batch, units], or with `concat_output` one tensor
            [batch, time, units], and the last state.
        """
        outputs, state = self.run(_steps(input_tensor, f"{self.name}unstack"))
        return (_joined(outputs, self.name) if concat_output else outputs), state

    def run(self, steps: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """The output of each step, and the last state."""
        return [self.step(x, index)[0] for index, x in enumerate(steps)], self.c

    def step(self, input_tensor: Tensor, timestep: int) -> tuple[Tensor, Tensor]:
        """One step: the output and the new state, both [batch, units]."""
        prefix = f"{self.name}step{timestep}:"
        z = mat_mul(input_tensor, self.kernel, name=f"{prefix}mm_f")
        recurrent = mat_mul(self.h, self.recurrent_kernel, name="mm_u")
        z = math.add(z, recurrent, name=f"{prefix}add_z")
        zi, zf, zc, zo = split(z, 4, axis=1)
        i = sigmoid(zi, name=f"{prefix}sigmoid_i")
        f = sigmoid(zf, name=f"{prefix}sigmoid_f")
        kept = math.mul(f, self.c, name=f"{prefix}mul_f")
        new = self._activation(zc, **self._params, name=f"{prefix}act0")
        self.c = math.add(kept, math.mul(i, new, name=f"{prefix}mul_i"), name=f"{prefix}add_c")
        o = sigmoid(zo, name=f"{prefix}sigmoid_o")
        bounded = self._activation(self.c, **self._params, name=f"{prefix}act1")
        self.h = math.mul(o, bounded, name=f"{prefix}mul_h")
        return self.h, self.c


class BidirectionalLSTM:
    """Two LSTMs, one running from the last step to the first; see `LSTM`."""

    def __init__(
        self,
        fwd_weight_tensors: Sequence[Tensor],
        bwd_weight_tensors: Sequence[Tensor],
        activation: str = "tanh",
        activation_params: Mapping[str, float] | None = None,
        name: str = "bidir_lstm",
    ) -> None:
        self.name = f"{name}:"
        self.fwd_lstm, self.bwd_lstm = (
            LSTM(weights, activation, activation_params, f"{self.name}{part}")
            for part, weights in (
                ("fwd_lstm", fwd_weight_tensors),
                ("bwd_lstm", bwd_weight_tensors),
            )
        )

    def __call__(
        self, input_tensor: Tensor | Sequence[Tensor], concat_output: bool = False
    ) -> tuple[list[Tensor] | Tensor, Tensor, Tensor]:
        """As `LSTM`, with outputs [batch, 2 * units] and the last states of both."""
        forward, fwd_state = self.fwd_lstm.run(_steps(input_tensor, f"{self.fwd_lstm.name}unstack"))
        steps = _steps(input_tensor, "unstack")
        backward, bwd_state = self.bwd_lstm.run(steps[::-1])
        outputs = [
            concat([f, b], 1, name=f"{self.name}concat")
            for f, b in zip(forward, backward, strict=True)
        ]
        return (_joined(outputs, self.name) if concat_output else outputs), fwd_state, bwd_state


def _steps(given: Tensor | Sequence[Tensor], name: str) -> list[Tensor]:
    return unstack(given, 1, name=name) if isinstance(given, Tensor) else list(given)


def _joined(outputs: Sequence[Tensor], prefix: str) -> Tensor:
    wide = [expand_dims(output, 1, name=f"{prefix}expand_dims") for output in outputs]
    return concat(wide, 1, name=f"{prefix}concat")
