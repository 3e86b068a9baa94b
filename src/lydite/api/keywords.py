"""Options of the verbs as keywords, for editors and type checkers.

The groups of options (`lydite.api.options`, `step_options`, `chip`) are authoritative; a test
checks that both have the same names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict


class NetKeywords(TypedDict, total=False):
    """`ModelOptions` without the fields that the plan of a step decides."""

    image_size: int | None
    sequence: int | None
    phase: str | None
    context: int | None
    dtype: str | None
    dim: Sequence[str] | Mapping[str, int]
    value: Sequence[str] | Mapping[str, float]
    part: str | None
    params: Path | str | None
    train: bool
    optimizer: str | None
    loss: str | None


class ModelKeywords(NetKeywords, total=False):
    """`ModelOptions`."""

    batch: int | None
    recompute: int | None


class DesignKeywords(ModelKeywords, total=False):
    """`ModelOptions` and `DesignOptions`."""

    chip: str
    dataflow: str | None
    overlap: str | None
    accelerators: int | None
    interface: str | None
    threads: int


class StepKeywords(NetKeywords, total=False):
    """`ModelOptions`, `ClusterOptions`, `PlanOptions` and `FailureOptions`."""

    on: str
    devices: int | None
    device: str | None
    slow: Sequence[str]
    slow_link: Sequence[str]
    constants: Path | str | None
    algorithm: Sequence[str]
    protocol: Sequence[str]
    host_memory_bandwidth: str | None
    price: float | None
    grid: float | None
    dp: int | None
    tp: int
    pp: int
    cp: int
    ep: int
    expert_tensor: int | None
    batch: int
    micro_batch: int | None
    schedule: str
    chunks: int
    zero: int
    shard_size: int | None
    offload: str
    recompute: str
    recompute_method: str | None
    recompute_num_layers: int | None
    attention: str | None
    sequence_parallel: bool
    overlap: bool
    overlap_tensor: bool
    lora_rank: int | None
    lora_targets: str | None
    bucket: str
    arithmetic: str
    mtbf: str | None
    checkpoint_interval: str | None
    checkpoint_write: str
    restart: str
