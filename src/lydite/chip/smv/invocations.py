"""The invocations of accelerators as columns, one row each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np

from lydite.records import dataclass

Columns = np.ndarray

KERNELS = (
    "smv_conv3d_nhwc_vec_fxp",
    "smv_matrix_multiply_transpose_nc_vec_fxp",
    "smv_maxpooling_nhwc_vec_fxp",
    "smv_avgpooling_nhwc_vec_fxp",
    "smv_batch_norm_post_conv_nhwc_vec_fxp",
    "smv_batch_norm_post_fc_nc_vec_fxp",
    "smv_eltwise_add_nc_vec_fxp",
    "smv_eltwise_mul_nc_vec_fxp",
    "smv_less_nc_vec_fxp",
    "smv_less_equal_nc_vec_fxp",
    "smv_greater_nc_vec_fxp",
    "smv_greater_equal_nc_vec_fxp",
    "smv_activation_fun_nc_vec_fxp",
    "smv_softmax_nc_vec_fxp",
)
"""Kernels of the accelerator, by SMAUG's names."""


@dataclass(frozen=True, eq=False)
class Invocations:
    """Invocations in the order in which the CPU issues them, as columns.

    Attributes:
        layers: Names of the operators.
        layer: Number of the operator of each row.
        kernel: Index into `KERNELS`.
        input_dims: Sizes of the input tile, [rows, 4]: images NHWC, matrices [N, 1, 1, C].
        weight_dims: Sizes of the weight tile, [rows, 4]: [outputs, rows, columns, inputs]; for an
            element-wise operator its second input; 0 if there is none.
        output_dims: Sizes of the output tile, [rows, 4].
        input_tile: Number of the tile in the input.
        weight_tile: Number of the tile in the weights.
        output_tile: Number of the tile in the output.
        input_load_bytes: Bytes of input fetched; 0 for a tile that is in the scratchpad already.
        weight_load_bytes: Bytes of weights fetched; 0 for a tile that is in the scratchpad already.
        store_bytes: Bytes sent back; 0 while results are still accumulated.
        reads_input: Whether the input tile is fetched, not reused.
        reads_weights: Whether the weight tile is fetched, not reused.
        accumulates: Whether the invocation adds to partial sums in the scratchpad.
        sends: Whether the output tile is done.
        activates: Whether an activation runs over the output tile, fused or not.
        accelerator: Number of the accelerator, from 0.
        group: Number of switches between accelerators so far in the layer. The first invocation of
            a group waits for all earlier ones of its accelerator, and the end of a layer waits for
            all.
        waits: Whether the CPU waits for the invocation before it continues (operators that use one
            accelerator).
        input_start: First channel of the input tile that is used.
        output_start: First channel of the weight or output tile that is used.
        pads: Zeros above, below, left and right of the input tile, [rows, 4].
        ofmap_blocks: Output channels in groups of the number of PEs; likewise outputs of an inner
            product; else 1.
        k_rows: Rows of the window.
        k_cols: Columns of the window.
        channel_blocks: Input channels in groups that a PE takes at a time; channels of pooling and
            batch norm, or elements of a line or of a softmax row, in vectors of 8.
        out_rows: Rows of positions of the window; rows of a matrix.
        out_cols: Columns of positions of the window; 1 for a matrix.
    """

    layers: tuple[str, ...]
    layer: Columns
    kernel: Columns
    input_dims: Columns
    weight_dims: Columns
    output_dims: Columns
    input_tile: Columns
    weight_tile: Columns
    output_tile: Columns
    input_load_bytes: Columns
    weight_load_bytes: Columns
    store_bytes: Columns
    reads_input: Columns
    reads_weights: Columns
    accumulates: Columns
    sends: Columns
    activates: Columns
    accelerator: Columns
    group: Columns
    waits: Columns
    input_start: Columns
    output_start: Columns
    pads: Columns
    ofmap_blocks: Columns
    k_rows: Columns
    k_cols: Columns
    channel_blocks: Columns
    out_rows: Columns
    out_cols: Columns

    def __len__(self) -> int:
        return len(self.layer)

    @property
    def kernel_names(self) -> list[str]:
        """SMAUG's name of each row's kernel."""
        return [KERNELS[index] for index in self.kernel]

    def signatures(self) -> tuple[Columns, Columns]:
        """Group rows of equal cost, apart from the state of memory.

        Returns:
            The first row of each group, and the group number of every row.
        """
        parts = [np.asarray(getattr(self, name)).reshape(len(self), -1) for name in _SIGNATURE]
        table = np.concatenate(parts, axis=1).astype(np.int64)
        _, first, inverse = np.unique(table, axis=0, return_index=True, return_inverse=True)
        return first, inverse.reshape(-1)


_SIGNATURE = (
    "kernel",
    "input_dims",
    "weight_dims",
    "output_dims",
    "input_load_bytes",
    "weight_load_bytes",
    "store_bytes",
    "accumulates",
    "activates",
    "pads",
    "ofmap_blocks",
    "k_rows",
    "k_cols",
    "channel_blocks",
    "out_rows",
    "out_cols",
)
_COLUMNS = tuple(f.name for f in fields(Invocations) if f.name not in ("layers", "layer"))


def joined(parts: Sequence[Invocations], layers: Sequence[str]) -> Invocations:
    """Concatenate the invocations of several operators, under the operators' names."""
    if not parts:
        return empty()
    columns = {name: np.concatenate([getattr(p, name) for p in parts]) for name in _COLUMNS}
    counts = [len(part) for part in parts]
    layer = np.repeat(np.arange(len(parts)), counts)
    return replace(parts[0], layers=tuple(layers), layer=layer, **columns)


def empty() -> Invocations:
    """Invocations without rows."""
    wide = {"input_dims", "weight_dims", "output_dims", "pads"}
    columns = {
        name: np.zeros((0, 4) if name in wide else 0, np.int64) for name in ("layer", *_COLUMNS)
    }
    return Invocations((), **columns)
