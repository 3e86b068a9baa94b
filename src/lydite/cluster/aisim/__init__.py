"""AISim's benchmark folders, run as they are: coverage, step times, accuracy."""

from lydite.cluster.aisim.accuracy import Cell, average_loss, summaries
from lydite.cluster.aisim.coverage import Coverage, coverage_of
from lydite.cluster.aisim.exchange import Curve, Exchange, read_nccl_log, read_nccl_logs
from lydite.cluster.aisim.folder import Baselines, Benchmark, Task, read_baselines, read_benchmark
from lydite.cluster.aisim.nodes import Node, read_nodes
from lydite.cluster.aisim.run import Report, run_benchmark
from lydite.cluster.aisim.step import Execution, Step, play_step
from lydite.cluster.aisim.times import Timed, Times

__all__ = [
    "Baselines",
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
    "average_loss",
    "coverage_of",
    "play_step",
    "read_baselines",
    "read_benchmark",
    "read_nccl_log",
    "read_nccl_logs",
    "read_nodes",
    "run_benchmark",
    "summaries",
]
