"""AISim's benchmark folders, run as they are: coverage, step times, accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lydite.registry import lazily

if TYPE_CHECKING:
    from lydite.compat.aisim.accuracy import Cell
    from lydite.compat.aisim.coverage import GraphCoverage, coverage_of
    from lydite.compat.aisim.database import read_aisim
    from lydite.compat.aisim.exchange import Curve, Exchange, read_nccl_log, read_nccl_logs
    from lydite.compat.aisim.folder import Benchmark, Task
    from lydite.compat.aisim.graph_reader import read_aisim_graph
    from lydite.compat.aisim.layout import read_benchmark
    from lydite.compat.aisim.nodes import GraphNode, read_nodes
    from lydite.compat.aisim.resource_pool import read_resource_pool, write_resource_pool
    from lydite.compat.aisim.run import Report, run_benchmark
    from lydite.compat.aisim.step import AISimStep, Execution, play_step
    from lydite.compat.aisim.times import Timed, Times

_WHERE = {
    "Benchmark": "folder",
    "Cell": "accuracy",
    "GraphCoverage": "coverage",
    "Curve": "exchange",
    "Exchange": "exchange",
    "Execution": "step",
    "GraphNode": "nodes",
    "Report": "run",
    "AISimStep": "step",
    "Task": "folder",
    "Timed": "times",
    "Times": "times",
    "coverage_of": "coverage",
    "play_step": "step",
    "read_aisim": "database",
    "read_aisim_graph": "graph_reader",
    "read_benchmark": "layout",
    "read_nccl_log": "exchange",
    "read_nccl_logs": "exchange",
    "read_nodes": "nodes",
    "read_resource_pool": "resource_pool",
    "run_benchmark": "run",
    "write_resource_pool": "resource_pool",
}

__all__ = [
    "AISimStep",
    "Benchmark",
    "Cell",
    "Curve",
    "Exchange",
    "Execution",
    "GraphCoverage",
    "GraphNode",
    "Report",
    "Task",
    "Timed",
    "Times",
    "coverage_of",
    "play_step",
    "read_aisim",
    "read_aisim_graph",
    "read_benchmark",
    "read_nccl_log",
    "read_nccl_logs",
    "read_nodes",
    "read_resource_pool",
    "run_benchmark",
    "write_resource_pool",
]

__getattr__ = lazily(__name__, _WHERE)
