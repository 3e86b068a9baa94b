"""Latency of a model as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lydite.units import format_bytes, format_seconds, format_si


def bench_text(document: Mapping[str, Any]) -> str:
    """Percentiles, throughput, loading time and memory of a model."""
    each = [f"p{p} {format_seconds(document[f'latency_p{p}_s'])}" for p in (50, 90, 99)]
    threads, least = document["threads"], format_seconds(document["latency_min_s"])
    lines = [
        f"{document['model']} on {document['device']} ({document['backend']}, "
        f"{threads} thread{'s' * (threads > 1)}, batch {document['batch']})",
        f"  latency     {'  '.join(each)}  (min {least}, "
        f"IQR {format_seconds(document['latency_iqr_s'])}, {document['samples']} samples)",
        f"  throughput  {format_si(document['throughput_per_s'], 'samples/s')}",
        f"  load        {format_seconds(document['load_s'])}, "
        f"memory {format_bytes(document['memory_bytes'])}",
    ]
    return "\n".join(lines)
