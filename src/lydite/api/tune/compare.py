"""`tune_compare`: tuners on one measured table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from lydite.api.tune.shared import check_tuning
from lydite.errors import InputError, unknown_name
from lydite.exhibits import Exhibit
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.store import Database
    from lydite.tune import Problem, Trier


class RaceRow(TypedDict):
    """One tuner; trials are medians over the seeds, None where most never came there."""

    tuner: str
    trials_to_5_percent: float | None
    trials_to_2_percent: float | None
    best_over_table: float


class CompareDocument(TypedDict):
    """The race; shares are those of the table's configurations that lie so near its best."""

    operator: str
    device: str
    target: str
    configurations: int
    table: int
    measured: int
    failed: int
    best_s: float
    best_space: str
    best_factors: dict[str, Any]
    share_within_5_percent: float
    share_within_2_percent: float
    seeds: int
    tuners: list[RaceRow]


@dataclass(frozen=True, eq=False, repr=False)
class CompareResult(Result):
    """A race of tuners.

    Attributes:
        facts: The document.
    """

    verb = "tune-compare"
    exhibits = (
        Exhibit(
            "Tuners",
            "/tuners",
            {
                "tuner": "tuner",
                "trials_to_5_percent": "trials to within 5 %",
                "trials_to_2_percent": "trials to within 2 %",
                "best_over_table": "best over the table's",
            },
        ),
    )

    facts: CompareDocument

    def document(self) -> CompareDocument:
        """All figures."""
        return self.facts

    def summary(self) -> str:
        """A table of tuners."""
        from lydite.report.text.tune import compare_text

        return compare_text(dict(self.facts))

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per tuner."""
        return self.facts["tuners"]


def tune_compare(
    session: Session,
    operator: str,
    *,
    shape: str | Sequence[int],
    filters: int = 0,
    kernel: int = 3,
    stride: int = 1,
    tuners: str = "own,xgb,xgb-rank,ga,random,gridsearch",
    seeds: int = 5,
    table: int = 200,
    trials: int = 100,
) -> CompareResult:
    """Race tuners on a table of measured configurations, so that all see the same times.

    Args:
        session: Session whose database holds and receives the table.
        operator, shape, filters, kernel, stride: As for `tune_op`.
        tuners: Names, separated by commas.
        seeds: Number of searches by each tuner.
        table: Number of configurations of the table, drawn at random and measured where they are
            not known; trials that are kept count.
        trials: Most trials of a search.

    Raises:
        InputError: as for `tune_op`, or fewer than two configurations could be measured.
        MissingExtra: TVM or a tuner's package is not installed.
    """
    from lydite.hardware import local_device
    from lydite.tune import (
        TUNERS,
        WITHIN,
        Sizes,
        Trier,
        good_share,
        parse_shape,
        problem_for,
        race,
        task_of_operator,
    )

    names = [name.strip() for name in tuners.split(",") if name.strip()]
    for name in names:
        if name not in TUNERS:
            raise unknown_name("tuner", name, TUNERS.names())
    if seeds < 1 or table < 2:
        raise InputError(f"seeds {seeds}, table {table}", allowed="seeds from 1, a table from 2")
    dims = parse_shape(shape) if isinstance(shape, str) else tuple(shape)
    here = check_tuning("own", trials)
    task = task_of_operator(operator, Sizes(dims, filters, kernel, stride))
    problem, device = problem_for(task, here), local_device().name
    with (
        session.database() as database,
        Trier(here, device, seed=session.seed) as trier,
        session.bar("measure the table") as progress,
    ):
        measured, prior = fill_table(problem, trier, database, table, session.seed, progress)
    narrowed = problem_on(problem, list(measured), prior)
    seconds = list(measured.values())
    known = [s for s in seconds if s is not None]
    if len(known) < 2:
        raise InputError(f"{len(known)} of {len(seconds)} configurations ran", where=operator)
    with session.bar("race") as progress:
        rows: list[RaceRow] = []
        for number, name in enumerate(names):
            progress(number, len(names), name)
            (done,) = race(narrowed, seconds, [name], seeds, min(trials, len(seconds)))
            rows.append(
                {
                    "tuner": name,
                    "trials_to_5_percent": done.trials[0],
                    "trials_to_2_percent": done.trials[1],
                    "best_over_table": done.best,
                }
            )
    best = narrowed.configs[seconds.index(min(known))]
    facts: CompareDocument = {
        "operator": operator,
        "device": device,
        "target": here.target,
        "configurations": len(problem.configs),
        "table": len(seconds),
        "measured": len(known),
        "failed": len(seconds) - len(known),
        "best_s": min(known),
        "best_space": best.space,
        "best_factors": best.factors,
        "share_within_5_percent": good_share(seconds, WITHIN[0]),
        "share_within_2_percent": good_share(seconds, WITHIN[1]),
        "seeds": seeds,
        "tuners": rows,
    }
    return CompareResult(facts)


def fill_table(
    problem: Problem, trier: Trier, database: Database, size: int, seed: int, progress: Any
) -> tuple[dict[int, float | None], list[Any]]:
    """Seconds by number of the configuration, and rows of other shapes."""
    import numpy as np

    from lydite.tune.tuning import known_outcomes, usable_trials

    rows = usable_trials(database, trier, op_type=problem.task.key.op_type)
    known = known_outcomes(problem, [row for row in rows if row.key == problem.task.key])
    measured = {number: outcome.seconds for number, outcome in known.items()}
    order = np.random.default_rng(seed).permutation(len(problem.configs)).tolist()
    for number in order:
        if len(measured) >= size:
            break
        if number not in measured:
            config = problem.configs[number]
            progress(len(measured), size, str(config))
            outcome = trier.attempt(problem.task, config)
            database.load([trier.row(problem.task, config, outcome)])
            measured[number] = outcome.seconds
    return measured, [row for row in rows if row.key != problem.task.key]


def problem_on(problem: Problem, numbers: Sequence[int], prior: Sequence[Any]) -> Problem:
    """The problem with these configurations alone."""
    from lydite.tune import Problem

    configs = [problem.configs[number] for number in numbers]
    return Problem(problem.task, problem.here, configs, tuple(prior))
