"""Tuned kernels: schedule spaces for TVM, and the backend `tuned`, which runs nets with them."""

from lydite.backends.tuned.space import (
    SPACES,
    Config,
    Space,
    all_configs,
    config_from,
    default_config,
    ranked,
    spaces_for,
)
from lydite.backends.tuned.task import Task, task_of
from lydite.backends.tuned.toolchain import (
    Machine,
    compiler,
    installed,
    machine,
    processor,
    versions,
)

__all__ = [
    "SPACES",
    "Config",
    "Machine",
    "Space",
    "Task",
    "all_configs",
    "compiler",
    "config_from",
    "default_config",
    "installed",
    "machine",
    "processor",
    "ranked",
    "spaces_for",
    "task_of",
    "versions",
]
