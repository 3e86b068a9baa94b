"""The plain loop of `heap_loop.cpp`, compiled where there is a compiler."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lydite.engine import Tasks

SOURCE = Path(__file__).with_name("heap_loop.cpp")
FLAGS = ("-O3", "-march=native", "-std=c++17", "-shared", "-fPIC")


def compiled() -> Callable[..., int] | None:
    """The loop as a function of addresses; None without a compiler of C++."""
    compiler = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "heap_loop.so"
        subprocess.run([compiler, *FLAGS, "-o", library, SOURCE], check=True)
        function = ctypes.CDLL(str(library)).play
    function.restype = ctypes.c_int64
    return function


def heap_loop(loop: Callable[..., int], tasks: Tasks, servers: int) -> tuple[float, np.ndarray]:
    """CPU seconds of the loop, and the start of each task in ps; setting up is not counted."""
    order = np.argsort(tasks.deps, kind="stable")
    owner = np.repeat(np.arange(len(tasks), dtype=np.int32), np.diff(tasks.dep_start))
    begins = np.zeros(len(tasks) + 1, np.int32)
    begins[1:] = np.cumsum(np.bincount(tasks.deps, minlength=len(tasks)))
    successors = owner[order]
    pending = np.diff(tasks.dep_start).astype(np.int32)
    start = np.zeros(len(tasks), np.int64)
    columns = (tasks.duration_ps, tasks.resource, begins, successors, pending, start)
    begun = time.process_time()
    loop(len(tasks), servers, *(ctypes.c_void_p(column.ctypes.data) for column in columns))
    return time.process_time() - begun, start
