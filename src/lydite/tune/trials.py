"""Trials in worker processes with time limits, and their rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import psutil

from lydite.backends.tuned.space import Config
from lydite.backends.tuned.task import Task
from lydite.backends.tuned.toolchain import Machine, versions
from lydite.errors import BackendError
from lydite.measure.client import Worker, WorkerLost
from lydite.store import Software, Trial
from lydite.tune.rig import Outcome

COMPILE_LIMIT_S = 5.0
"""Wall seconds after which a configuration that compiles, is checked or is timed is ended."""


def compiler_software() -> Software:
    """The compiler's packages, as rows name them."""
    return Software("tvm", versions())


class Trier:
    """Runs configurations of tasks, one at a time.

    Args:
        here: Processor.
        device: Device name in the rows.
        seed: Random seed of inputs and weights.
        run: Id of the run that the rows belong to.
        limit_s: Longest time of one step of a trial in seconds.
    """

    def __init__(
        self,
        here: Machine,
        device: str,
        *,
        seed: int = 0,
        run: str | None = None,
        limit_s: float = COMPILE_LIMIT_S,
    ) -> None:
        self.here, self.device, self.seed, self.run = here, device, seed, run
        self._worker = Worker(timeout_s=limit_s, module="lydite.tune.worker")

    def __enter__(self) -> Trier:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.close()

    def attempt(self, task: Task, config: Config) -> Outcome:
        """Compile, check and time a configuration; a failure is an outcome."""
        request = {"key": task.key.text, "space": config.space, "seed": self.seed}
        try:
            answer = self._worker.ask(json.dumps({**request, "factors": config.factors}))
        except WorkerLost as error:
            where = f" in the step '{error.at}'" if error.at else ""
            return Outcome(error.status, f"{error}{where}")
        except BackendError as error:
            return Outcome("compile_error", str(error))
        return Outcome(**answer)

    def process(self) -> psutil.Process:
        """The worker process, for its CPU time.

        Raises:
            BackendError: it is not running.
        """
        return self._worker.process()

    def row(self, task: Task, config: Config, outcome: Outcome, **more: Any) -> Trial:
        """The row of an outcome."""
        return Trial(
            task.key,
            self.device,
            compiler_software(),
            self.here.target,
            config.space,
            config.factors,
            status=outcome.status,
            error=outcome.error,
            seconds=outcome.seconds,
            reference_s=outcome.reference_s,
            run=self.run,
            **more,
        )


Attempt = Callable[[Task, Config], Outcome]
"""Tries a configuration: `Trier.attempt`, or a look-up in a measured table."""
