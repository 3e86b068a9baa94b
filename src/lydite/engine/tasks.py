"""Tasks to simulate, as columns, with their dependencies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lydite.engine.columns import LIMIT_PS, column, offsets, refuse
from lydite.errors import InputError
from lydite.records import dataclass

NOWHERE = -1
"""The server of a task that needs none, and the path of a task that sends nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Tasks:
    """Tasks as columns of one length; made by `Tasks.of` or a `TaskBuilder`.

    A task begins when everything it depends on has ended, its release has come, and a slot of its
    server is free. It ends `duration_ps` later; a flow then still has its bytes to move.

    Attributes:
        duration_ps: int64, duration in picoseconds; for a flow, the fixed overhead before its
            path's latency.
        resource: int32, number of the server; -1 for none (a join, a delay, a flow without one).
        dep_start: int64[tasks + 1]: task i depends on `deps[dep_start[i]:dep_start[i+1]]`.
        deps: int32, task numbers.
        priority: int32, priority on servers that schedule by it; lower values go first.
        category: int16, number of the category, used for interference and for sums.
        release_ps: int64, earliest start in picoseconds.
        path: int32, number of a flow's path; -1 for none.
        bytes: float64, size of a flow in bytes.
        names: Name of each task, for messages and reports; may be empty.
    """

    duration_ps: np.ndarray[Any, Any]
    resource: np.ndarray[Any, Any]
    dep_start: np.ndarray[Any, Any]
    deps: np.ndarray[Any, Any]
    priority: np.ndarray[Any, Any]
    category: np.ndarray[Any, Any]
    release_ps: np.ndarray[Any, Any]
    path: np.ndarray[Any, Any]
    bytes: np.ndarray[Any, Any]
    names: Sequence[str] = ()

    @classmethod
    def of(
        cls,
        duration_ps: npt.ArrayLike,
        resource: npt.ArrayLike = NOWHERE,
        *,
        dep_start: npt.ArrayLike | None = None,
        deps: npt.ArrayLike = (),
        priority: npt.ArrayLike = 0,
        category: npt.ArrayLike = 0,
        release_ps: npt.ArrayLike = 0,
        path: npt.ArrayLike = NOWHERE,
        bytes: npt.ArrayLike = 0.0,
        names: Sequence[str] = (),
    ) -> Tasks:
        """Check and convert columns; a single number fills the whole column.

        Raises:
            InputError: a column of another length or type, a negative time or size, a task that
                depends on itself or on one that does not exist, bytes without a path.
        """
        durations = column(duration_ps, np.int64, None, "duration_ps")
        n = durations.size if durations.ndim else 1
        needs = column(deps, np.int32, None, "deps")
        starts = np.zeros(n + 1, np.int64) if dep_start is None else dep_start
        made = cls(
            durations.reshape(n),
            column(resource, np.int32, n, "resource"),
            offsets(starts, needs.size, n + 1, "dep_start"),
            needs,
            column(priority, np.int32, n, "priority"),
            column(category, np.int16, n, "category"),
            column(release_ps, np.int64, n, "release_ps"),
            column(path, np.int32, n, "path"),
            column(bytes, np.float64, n, "bytes"),
            names,
        )
        made._check()
        return made

    def _check(self) -> None:
        n, until = len(self), f"0 to {LIMIT_PS} ps"
        if self.names and len(self.names) != n:
            raise InputError(f"has {len(self.names)} entries", where="names", allowed=f"0 or {n}")
        if n >= 2**31 or self.deps.size >= 2**31:
            raise InputError("too many tasks or dependencies", allowed="below 2^31")
        for name in ("duration_ps", "release_ps"):
            times = getattr(self, name)
            refuse((times < 0) | (times > LIMIT_PS), f"{name} out of range", "task {}", until)
        refuse(self.resource < NOWHERE, "negative resource", "task {}", "-1 for none")
        refuse(self.path < NOWHERE, "negative path", "task {}", "-1 for none")
        refuse(self.category < 0, "negative category", "task {}", "0 to 32767")
        amount = self.bytes
        refuse(
            ~(np.isfinite(amount) & (amount >= 0)), "invalid bytes", "task {}", "finite, at least 0"
        )
        refuse((amount > 0) & (self.path < 0), "has bytes but no path", "task {}", "a path")
        self._check_dependencies()

    def _check_dependencies(self) -> None:
        n = len(self)
        unknown = (self.deps < 0) | (self.deps >= n)
        if unknown.any():
            at = int(unknown.argmax())
            raise InputError(
                f"depends on task {self.deps[at]}",
                where=self.label(self._owner(at)),
                allowed=f"0 to {n - 1}",
            )
        loops = self.deps == np.repeat(np.arange(n, dtype=np.int32), np.diff(self.dep_start))
        if loops.any():
            raise InputError("depends on itself", where=self.label(self._owner(loops.argmax())))

    def _owner(self, dependency: np.integer[Any] | int) -> int:
        return int(np.searchsorted(self.dep_start, dependency, "right")) - 1

    def __len__(self) -> int:
        return self.duration_ps.size

    def needs(self, task: int) -> np.ndarray[Any, Any]:
        """The tasks that `task` waits for."""
        return self.deps[self.dep_start[task] : self.dep_start[task + 1]]

    def label(self, task: int) -> str:
        """The task's number, with its name if it has one."""
        return f"task {task} ('{self.names[task]}')" if self.names else f"task {task}"

    @property
    def has_flows(self) -> bool:
        """Whether any task moves bytes over a path."""
        return bool((self.path >= 0).any())
