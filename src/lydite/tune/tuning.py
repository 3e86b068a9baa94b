"""Tune one operator: trials until the tuner stops, then the paired run that decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lydite.backends.tuned.space import Config, config_from
from lydite.backends.tuned.task import Task, task_of
from lydite.errors import InputError
from lydite.records import dataclass
from lydite.results import OneLine
from lydite.store import Database, Trial
from lydite.tune.problem import Problem, problem_for
from lydite.tune.rig import Outcome, Rig
from lydite.tune.trials import Attempt, Trier, compiler_software
from lydite.tune.tuners import TUNERS, Tuner

Progress = Callable[[int, int, str], None]
_RESAMPLES = 2000


@dataclass(frozen=True, repr=False)
class Tuned(OneLine):
    """What tuning of one operator came to.

    Attributes:
        task: Operator.
        size: Number of configurations in all spaces.
        trials: Number of configurations tried in this run.
        known: Number of trials that earlier runs had kept.
        failed: Number of failures by status, earlier ones included.
        best: Fastest configuration that was tried; None if all failed.
        best_s: Its time in a trial in seconds.
        decision: Row of the paired run; None if there was none.
        tried: Configurations with their outcomes, in order; those of earlier runs first.
    """

    task: Task
    size: int
    trials: int
    known: int
    failed: dict[str, int]
    best: Config | None
    best_s: float | None
    decision: Trial | None
    tried: Sequence[tuple[Config, Outcome]] = ()

    @property
    def accepted(self) -> bool:
        """Whether the tuned schedule replaces ONNX Runtime's."""
        return self.decision is not None and self.decision.accepted

    def headline(self) -> str:
        """Operator and decision."""
        kept = "shown to be faster" if self.accepted else "keeps ONNX Runtime's"
        return f"{self.task.key.qualified_type}: {self.trials} trials, {kept}"


def tune_task(
    task: Task,
    trier: Trier,
    database: Database,
    *,
    tuner: str = "own",
    trials: int = 60,
    seed: int = 0,
    progress: Progress = lambda _done, _total, _next: None,
) -> Tuned:
    """Tune an operator; every trial is a row at once, so that an interrupted run resumes.

    Args:
        task: Operator.
        trier: Runs the trials.
        database: Receives the rows, and holds those of earlier runs.
        tuner: Name of the tuner.
        trials: Most trials, those of earlier runs included.
        seed: Random seed of the tuner.
        progress: Called before each trial.

    Raises:
        InputError: no space is for the operator, or the tuner is unknown.
        MissingExtra: the tuner's package is not installed.
    """
    rows = usable_trials(database, trier, op_type=task.key.op_type)
    own = [row for row in rows if row.key == task.key]
    problem = problem_for(task, trier.here, [row for row in rows if row.key != task.key])
    search = TUNERS.find(tuner)(problem, seed)
    outcomes = known_outcomes(problem, own)
    for number, outcome in outcomes.items():
        search.observe(number, outcome.seconds)
    known = len(outcomes)

    def keep(config: Config, outcome: Outcome) -> None:
        database.load([trier.row(task, config, outcome)])

    for number in _imported(problem, database, trier)[: max(0, trials - known)]:
        if number not in outcomes:
            config = problem.configs[number]
            progress(len(outcomes) - known, trials, f"imported {config}")
            outcomes[number] = trier.attempt(task, config)
            keep(config, outcomes[number])
            search.observe(number, outcomes[number].seconds)
    left = max(0, trials - len(outcomes))
    outcomes |= run_search(problem, search, trier.attempt, left, keep=keep, progress=progress)
    failed: dict[str, int] = {}
    for outcome in outcomes.values():
        if outcome.status != "ok":
            failed[outcome.status] = failed.get(outcome.status, 0) + 1
    timed = {n: o.seconds for n, o in outcomes.items() if o.seconds is not None}
    best = min(timed, key=lambda n: timed[n], default=None)
    decision = None
    if best is not None:
        progress(trials, trials, "paired run")
        decision = decide(task, problem.configs[best], trier)
        database.load([decision])
    return Tuned(
        task,
        len(problem.configs),
        len(outcomes) - known,
        known,
        failed,
        None if best is None else problem.configs[best],
        None if best is None else timed[best],
        decision,
        [(problem.configs[number], outcome) for number, outcome in outcomes.items()],
    )


def usable_trials(database: Database, trier: Trier, op_type: str) -> list[Trial]:
    """Trials on this device with this compiler and target."""
    software = compiler_software()
    rows = database.trials(
        device=trier.device, op_type=op_type, target=trier.here.target, role="trial"
    )
    return [row for row in rows if row.software == software]


def _imported(problem: Problem, database: Database, trier: Trier) -> list[int]:
    """Configurations that logs name for an operator of the same sizes, whatever follows the sum."""
    task = problem.task
    rows = database.trials(device=trier.device, op_type=task.key.op_type, role="imported")
    numbers: dict[int, None] = {}
    for row in rows:
        other = task_of(row.key)
        if other is None or (other.kind, other.dims) != (task.kind, task.dims):
            continue
        try:
            config = config_from(row.space, row.factors, task, problem.here)
        except InputError:
            continue
        numbers[problem.number[config]] = None
    return list(numbers)


def run_search(
    problem: Problem,
    search: Tuner,
    attempt: Attempt,
    trials: int,
    *,
    keep: Callable[[Config, Outcome], object] = lambda _config, _outcome: None,
    progress: Progress = lambda _done, _total, _next: None,
) -> dict[int, Outcome]:
    """Let a tuner propose until it stops or the trials are spent; outcome by configuration."""
    outcomes: dict[int, Outcome] = {}
    for done in range(trials):
        number = search.propose()
        if number is None:
            break
        config = problem.configs[number]
        progress(done, trials, str(config))
        outcomes[number] = outcome = attempt(problem.task, config)
        keep(config, outcome)
        search.observe(number, outcome.seconds)
    return outcomes


def decide(task: Task, config: Config, trier: Trier, rounds: int = 15) -> Trial:
    """The row of a paired run of a configuration against ONNX Runtime's kernel, as in a net."""
    rig = Rig(task.key, trier.here, trier.seed)
    try:
        ours, theirs = rig.paired(config, rounds)
    finally:
        rig.close()
    good = (ours > 0) & (theirs > 0)
    if good.sum() < 5:
        outcome = Outcome("crash", "the paired run gave no slope: the operator is too short")
        return trier.row(task, config, outcome, role="paired")
    ratios = ours[good] / theirs[good]
    low, high = interval(np.log(ratios), trier.seed)
    theirs_s = float(np.median(theirs[good]))
    # The ratio is taken round by round, so that a change of the machine's pace meets both alike.
    outcome = Outcome("ok", "", theirs_s * float(np.median(ratios)), theirs_s)
    return trier.row(task, config, outcome, role="paired", ratio_low=low, ratio_high=high)


def interval(logs: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the median ratio, by the bootstrap over rounds."""
    random = np.random.default_rng(seed)
    picks = random.integers(len(logs), size=(_RESAMPLES, len(logs)))
    low, high = np.percentile(np.median(logs[picks], axis=1), [2.5, 97.5])
    return float(np.exp(low)), float(np.exp(high))


def known_outcomes(problem: Problem, rows: Sequence[Trial]) -> dict[int, Outcome]:
    """Outcomes of kept rows by number of the configuration."""
    known: dict[int, Outcome] = {}
    for row in rows:
        try:
            config = config_from(row.space, row.factors, problem.task, problem.here)
        except InputError:
            continue  # the space has changed since
        number = problem.number[config]
        known[number] = Outcome(row.status, row.error, row.seconds, row.reference_s)
    return known
