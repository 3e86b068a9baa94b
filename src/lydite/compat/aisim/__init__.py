"""AISim's benchmark folders, run as they are: coverage, step times, accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lydite.compat import lazily

if TYPE_CHECKING:
    from lydite.compat.aisim.accuracy import Cell
    from lydite.compat.aisim.coverage import Coverage, coverage_of
    from lydite.compat.aisim.database import read_aisim
    from lydite.compat.aisim.exchange import Curve, Exchange, read_nccl_log, read_nccl_logs
    from lydite.compat.aisim.folder import Benchmark, Task, read_benchmark
    from lydite.compat.aisim.graph_reader import read_aisim_graph
    from lydite.compat.aisim.nodes import Node, read_nodes
    from lydite.compat.aisim.resource_pool import read_resource_pool, write_resource_pool
    from lydite.compat.aisim.run import Report, run_benchmark
    from lydite.compat.aisim.step import Execution, Step, play_step
    from lydite.compat.aisim.times import Timed, Times

_WHERE = {
    "Benchmark": "folder",
    "Cell": "accuracy",
    "Coverage": "coverage",
    "Curve": "exchange",
    "Exchange": "exchange",
    "Execution": "step",
    "Node": "nodes",
    "Report": "run",
    "Step": "step",
    "Task": "folder",
    "Timed": "times",
    "Times": "times",
    "coverage_of": "coverage",
    "play_step": "step",
    "read_aisim": "database",
    "read_aisim_graph": "graph_reader",
    "read_benchmark": "folder",
    "read_nccl_log": "exchange",
    "read_nccl_logs": "exchange",
    "read_nodes": "nodes",
    "read_resource_pool": "resource_pool",
    "run_benchmark": "run",
    "write_resource_pool": "resource_pool",
}

__all__ = [
    "Benchmark",
    "Cell",
    "Coverage",
    "Curve",
    "Exchange",
    "Execution",
    "Node",
    "Report",
    "Step",
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
