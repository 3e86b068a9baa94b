"""Keyword arguments of MLPerf's verbs, for type checkers: the fields of `RunOptions`."""

from __future__ import annotations

from pathlib import Path

from typing_extensions import TypedDict


class RunKeywords(TypedDict, total=False):
    """Fields of `lydite.api.mlperf.options.RunOptions`."""

    round: str
    target_qps: float | None
    expected_qps: float | None
    expected_latency: float | None
    min_duration: float | None
    min_queries: int | None
    fast: bool
    batch_size: int | None
    batch_delay: float | None
    workers: int | None
    threads: int | None
    precision: str | None
    backend: str | None
    device: str
    samples: int | None
    latency_limit: float | None
    ttft_limit: float | None
    tpot_limit: float | None
    data: Path | None
    adapter: str
    calibration: Path | None
    built_only: bool
    config_ver: str
    user_conf: Path | None
    config: Path | None
    system: str
