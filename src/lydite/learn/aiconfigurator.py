"""Rows of AIConfigurator (github.com/ai-dynamo/aiconfigurator, Apache-2.0), as vLLM's kernels ran.

`<system>/gemm`, `attention` and `moe`: products in 16 and 8 bits, attention with keys and values in
16 bits, and layers of experts without expert parallelism. One runtime only: the others launch other
kernels, whose times differ by 20 to 60 % at the same shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lydite.errors import InputError, MissingExtra
from lydite.learn.rows import Rows, make_rows

AICONFIGURATOR = {
    "a100_sxm": "nvidia-a100-sxm4-80gb",
    "h100_sxm": "nvidia-h100-sxm5-80gb",
    "l40s": "nvidia-l40s",
}
_TABLES = {
    "product16": "gemm/vllm/*/gemm_perf.parquet",
    "product8": "gemm/vllm/*/gemm_perf.parquet",
    "attention_prefill": "attention/vllm/*/context_attention_perf.parquet",
    "attention_decode": "attention/vllm/*/generation_attention_perf.parquet",
    "experts": "moe/vllm/*/moe_perf.parquet",
}
_SPREADS = ("balanced", "power_law_1.01")
_UNLIKE = ("triton", "fa4")
"""Attention kernels other than FlashAttention-2 and 3."""


def aiconfigurator_rows(folder: Path, families: Sequence[str]) -> Iterator[Rows]:
    """Rows by family and device.

    Raises:
        InputError: a table cannot be read, or lacks a column.
        MissingExtra: pyarrow is not installed.
    """
    for family, pattern in _TABLES.items():
        if family not in families:
            continue
        for system, device in AICONFIGURATOR.items():
            least: dict[tuple[float, ...], float] = {}
            for path in sorted((folder / system).glob(pattern)):
                table = _Table(path)
                sizes, seconds = _READERS[family](table, family)
                for row, value in zip(map(tuple, sizes.tolist()), seconds.tolist(), strict=True):
                    known = least.get(row)
                    least[row] = value if known is None else min(value, known)
            if least:
                order = sorted(least)
                seconds = np.array([least[row] for row in order])
                yield make_rows(family, device, np.array(order), seconds)


class _Table:
    """Columns of a parquet file."""

    def __init__(self, path: Path) -> None:
        try:
            from pyarrow import parquet
        except ImportError:
            raise MissingExtra("pyarrow", "parquet") from None
        try:
            self._table: Any = parquet.read_table(path)
        except (OSError, ValueError) as error:
            raise InputError(f"cannot be read: {error}", where=str(path)) from None
        self._path = path

    def column(self, name: str, absent: Any = None) -> np.ndarray:
        """A column as an array; `absent` in every row if the table lacks it and that is given."""
        if name not in self._table.column_names:
            if absent is None:
                raise InputError(f"has no column '{name}'", where=str(self._path))
            return np.full(self._table.num_rows, absent)
        found = self._table[name].to_numpy(zero_copy_only=False)
        return found.astype(str) if found.dtype == object else found

    def numbers(self, *names: str) -> np.ndarray:
        """Columns side by side as float64 [rows, columns]."""
        return np.stack([self.column(name).astype(float) for name in names], axis=1)

    @property
    def seconds(self) -> np.ndarray:
        """The measured times, which the file has in milliseconds."""
        return self.column("latency").astype(float) * 1e-3


def _products(table: _Table, family: str) -> tuple[np.ndarray, np.ndarray]:
    kept = table.column("gemm_dtype") == ("fp8" if family == "product8" else "bfloat16")
    sizes = table.numbers("m", "n", "k")[kept]
    return np.concatenate([np.ones((len(sizes), 1)), sizes], axis=1), table.seconds[kept]


def _attention(table: _Table, family: str) -> tuple[np.ndarray, np.ndarray]:
    kept = table.column("attn_dtype") == "bfloat16"
    kept &= table.column("kv_cache_dtype") == "bfloat16"
    source = table.column("kernel_source")
    for name in _UNLIKE:
        kept &= np.char.find(source.astype(str), name) < 0
    batch, new, old = table.numbers("batch_size", "isl", "step").T
    heads, groups = table.numbers("num_heads", "num_key_value_heads").T
    groups = np.where(groups == 0, heads, groups)
    size, window = (
        table.column(*each).astype(float) for each in (("head_dim", 128), ("window_size", 0))
    )
    columns = [batch, heads, groups, new, new + old, size, window, np.ones_like(batch)]
    if family == "attention_decode":
        columns = [batch, heads, groups, new + old, size, window]
    return np.stack(columns, axis=1)[kept], table.seconds[kept]


def _experts(table: _Table, _: str) -> tuple[np.ndarray, np.ndarray]:
    kept = table.column("moe_dtype") == "bfloat16"
    kept &= table.column("moe_ep_size") == 1
    kept &= np.isin(table.column("distribution"), _SPREADS)
    names = ("num_tokens", "hidden_size", "inter_size", "topk", "num_experts")
    sizes = table.numbers(*names)
    sizes[:, 2] /= table.column("moe_tp_size")
    return np.concatenate([sizes, np.ones((len(sizes), 1))], axis=1)[kept], table.seconds[kept]


_READERS = {
    "product16": _products,
    "product8": _products,
    "attention_prefill": _attention,
    "attention_decode": _attention,
    "experts": _experts,
}
