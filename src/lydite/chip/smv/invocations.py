"""The invocations of accelerators as columns, one row each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

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
"""What an accelerator runs, by SMAUG's names."""


@dataclass(frozen=True, eq=False)
class Invocations:
    """Invocations in the order in which the CPU issues them.

    Attributes:
        layers: names of the operators.
        layer: which of them each row belongs to.
        kernel: an index into `KERNELS`.
        input_dims, weight_dims, output_dims: sizes of the tiles, [rows, 4]: images NHWC, weights
            [outputs, rows, columns, inputs], matrices [N, 1, 1, C]; the weights of an element-wise
            operator are its second input, and 0 where there is none.
        input_tile, weight_tile, output_tile: which tile of the tensor each is.
        input_load_bytes, weight_load_bytes: what is fetched; 0 for a tile that lies there already.
        store_bytes: what is sent back; 0 while results are still gathered.
        reads_input, reads_weights: whether the tiles are fetched, not reused.
        accumulates: whether it adds to partial sums in the scratchpad.
        sends: whether the output tile is done.
        activates: whether an activation runs over the output tile here, fused or not.
        accelerator: which of them runs it, from 0.
        group: counts, within a layer, the switches from accelerator to accelerator. Before the
            first of a group all that was issued to its accelerator is waited for, and at a layer's
            end everything.
        waits: whether the CPU waits for it before it goes on (operators that use one accelerator).
        input_start, output_start: channels of the input tile, and of the weight or output tile,
            from which it works.
        pads: zeros above, below, left and right of the input tile, [rows, 4].
        ofmap_blocks: output channels by PEs; of an inner product outputs by PEs; else 1.
        k_rows, k_cols: the window.
        channel_blocks: input channels by what a PE takes at a time; of pooling and batch norm
            channels, of lines and softmax elements of a row, by vectors of 8.
        out_rows, out_cols: positions of the window; rows of a matrix and 1.
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
        """Rows that cost the same but for memory's state.

        Returns:
            The first row of each signature, and for every row the number of its signature.
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
    """The invocations of one operator after the other, under the operators' names."""
    if not parts:
        return empty()
    columns = {name: np.concatenate([getattr(p, name) for p in parts]) for name in _COLUMNS}
    counts = [len(part) for part in parts]
    layer = np.repeat(np.arange(len(parts)), counts)
    return replace(parts[0], layers=tuple(layers), layer=layer, **columns)


def empty() -> Invocations:
    """No invocation at all."""
    wide = {"input_dims", "weight_dims", "output_dims", "pads"}
    columns = {
        name: np.zeros((0, 4) if name in wide else 0, np.int64) for name in ("layer", *_COLUMNS)
    }
    return Invocations((), **columns)
