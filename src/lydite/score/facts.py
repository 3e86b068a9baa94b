"""What is known of a model without running it: parameters, work, and the device's bound on it."""

from __future__ import annotations

from lydite.errors import InputError
from lydite.graph import Graph
from lydite.graph.work import total_work
from lydite.hardware import Device
from lydite.score.bmodel import is_bmodel
from lydite.score.pipeline import Task, calls_of, float_graph
from lydite.score.result import Facts
from lydite.score.sets import DTYPES, Entry

_BYTES = {"fp32": 4.0, "tf32": 4.0, "fp16": 2.0, "bf16": 2.0, "int8": 1.0, "int4": 0.5}


def facts_of(task: Task, entry: Entry, device: Device, is_board: bool) -> Facts:
    """Facts of a task.

    The bound is the roofline of each network as a whole: its FLOPs at the device's peak, or its
    weights once through memory, whichever takes longer. Weights that fit in the caches may stay
    there and count for nothing.

    Args:
        task: Model, precision and batch.
        entry: Its row of the set.
        device: Device that it runs on.
        is_board: Whether it ran in the precision that its set asks for, at batch one.
    """
    if any(is_bmodel(part.model) for part in task.parts):
        return Facts(entry.title, entry.unit, is_board, None, None)
    parameters, flops, bound_s = 0, 0.0, 0.0
    known = True
    seen: set[str] = set()
    for part in task.parts:
        graph = float_graph(part, task)
        calls = calls_of(part, task)
        if part.model not in seen:
            parameters += graph.parameter_count
            seen.add(part.model)
        work = _flops(graph)
        known = known and work is not None
        flops += calls * (work or 0.0)
        bound_s += calls * _bound_s(graph, work or 0.0, task, device)
    return Facts(
        entry.title,
        entry.unit,
        is_board,
        parameters,
        flops if known else None,
        bound_s if known else None,
    )


def _flops(graph: Graph) -> float | None:
    """FLOPs of a network; None where an operator's are not known."""
    work = total_work(graph)
    return None if work.unknown else work.total.flops


def _bound_s(graph: Graph, flops: float, task: Task, device: Device) -> float:
    weights = graph.parameter_count * _BYTES[task.precision]
    caches = max((cache.size_bytes for cache in device.caches), default=0)
    through_s = weights / device.memory_bandwidth if weights > caches else 0.0
    # Weights of four bits are multiplied in the type of the activations.
    dtype = "float32" if task.precision == "int4" else DTYPES[task.precision]
    if task.precision == "tf32" and "tf32" in device.peak_flops:
        dtype = "tf32"
    threads = task.threads if device.kind == "cpu" else None
    try:
        return max(flops / device.peak(dtype, threads), through_s)
    except InputError:
        return through_s
