"""`Session`: the verbs of Lydite with a database, a seed and a progress display.

Each verb is a function in its own file whose first argument is the session. It is a method here,
and a function of the package `lydite` with the default session; it is imported on first use.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, Any

from lydite.api.verbs import OWN_VERBS, VERBS
from lydite.results import clocked, visible

if TYPE_CHECKING:
    from lydite.api import _verbs
    from lydite.store import Database, Readings

Progress = Callable[[int, int, str], None]
"""Called with (number done, total number, name of the next item)."""
ProgressBar = Callable[[str], AbstractContextManager[Progress]]
"""Makes a bar with a label."""


def _silent(_done: int, _total: int, _next: str) -> None:
    pass


class _Verb:
    """A method that is imported on first use."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, session: Session | None, owner: object = None) -> Callable[..., Any]:
        del owner
        found = VERBS.find(self.name)
        return found if session is None else MethodType(clocked(found), session)


class Session:
    """Verbs with a database and a seed.

        with Session(db="postgresql://...", seed=7) as session:
            session.predict("resnet50", on="h100")

    Args:
        db: File or postgresql:// URL of the database; None for `$LYDITE_DB`, else the user's own.
        seed: Random seed of weights, inputs and orders.
        progress: Function that makes a progress bar from a label; True for bars on standard error;
            None for no progress.
    """

    if TYPE_CHECKING:
        aisim = _verbs.aisim
        bench = _verbs.bench
        calibrate = _verbs.calibrate
        chip = _verbs.chip
        coverage = _verbs.coverage
        db_export = _verbs.db_export
        db_import = _verbs.db_import
        db_merge = _verbs.db_merge
        db_query = _verbs.db_query
        db_stats = _verbs.db_stats
        demo = _verbs.demo
        doctor = _verbs.doctor
        farm_drain = _verbs.farm_drain
        farm_profile = _verbs.farm_profile
        farm_status = _verbs.farm_status
        farm_worker = _verbs.farm_worker
        inspect = _verbs.inspect
        learn_evaluate = _verbs.learn_evaluate
        learn_fit = _verbs.learn_fit
        load = _verbs.load
        mlperf_audit = _verbs.mlperf_audit
        mlperf_build = _verbs.mlperf_build
        mlperf_calibrate = _verbs.mlperf_calibrate
        mlperf_check = _verbs.mlperf_check
        mlperf_explain = _verbs.mlperf_explain
        mlperf_peak = _verbs.mlperf_peak
        mlperf_preprocess = _verbs.mlperf_preprocess
        mlperf_run = _verbs.mlperf_run
        mlperf_submission = _verbs.mlperf_submission
        mlperf_tune = _verbs.mlperf_tune
        models = _verbs.models
        monitor = _verbs.monitor
        ops = _verbs.ops
        predict = _verbs.predict
        profile = _verbs.profile
        profile_plan = _verbs.profile_plan
        profile_planned = _verbs.profile_planned
        record = _verbs.record
        run = _verbs.run
        runs = _verbs.runs
        scalesim = _verbs.scalesim
        score = _verbs.score
        score_board = _verbs.score_board
        score_compare = _verbs.score_compare
        score_verify = _verbs.score_verify
        search = _verbs.search
        serve = _verbs.serve
        simulate = _verbs.simulate
        collective = _verbs.collective
        smaug = _verbs.smaug
        sweep = _verbs.sweep
        tune = _verbs.tune
        tune_compare = _verbs.tune_compare
        tune_expect = _verbs.tune_expect
        tune_export = _verbs.tune_export
        tune_import = _verbs.tune_import
        tune_op = _verbs.tune_op
        turning_point = _verbs.turning_point
        corun = _verbs.corun
        place = _verbs.place
        validate = _verbs.validate
        validate_steps = _verbs.validate_steps

    def __init__(
        self,
        db: str | Path | None = None,
        *,
        seed: int = 0,
        progress: ProgressBar | bool | None = None,
    ) -> None:
        self.db = None if db is None else str(db)
        self.seed = seed
        self._progress = progress
        self._kept: Database | None = None
        self._keeps = False

    def __enter__(self) -> Session:
        self._keeps = True
        return self

    def __exit__(self, *_: object) -> None:
        self._keeps = False
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """A verb that another package adds."""
            if name.startswith("_") or name not in VERBS:
                raise AttributeError(f"Session has no verb '{name}'")
            return MethodType(clocked(VERBS.find(name)), self)

    def __repr__(self) -> str:
        return f"<Session db {self.db or 'default'}, seed {self.seed}>"

    @contextmanager
    def database(self, *, read_only: bool = False, existing: bool = False) -> Iterator[Database]:
        """The database, open within the block or until the session is closed.

        Args:
            read_only: Whether to refuse every change.
            existing: Whether a file that the user named has to be there.

        Raises:
            InputError: with `existing`, the file is not there.
            StoreError: it cannot be opened.
        """
        from lydite.errors import InputError
        from lydite.store import Database

        if existing and self.db and "://" not in self.db and not Path(self.db).exists():
            raise InputError("no such database", where=self.db, hint="lydite db stats --db FILE")
        if self._kept is not None:
            yield self._kept
        elif self._keeps and not read_only:
            self._kept = Database.open(self.db)
            yield self._kept
        else:
            with Database.open(self.db, read_only=read_only) as database:
                yield database

    @contextmanager
    def readings(self) -> Iterator[Readings]:
        """The measurements of the database, which is opened only if it may have those asked for.

        Where the usual one cannot be opened, as in a container whose home is read-only, or one that
        the user named is not there, that is said once, and there are none.

        Raises:
            StoreError: with the first question, a database that the user named cannot be opened.
        """
        from lydite.store import Unopened, usual_target
        from lydite.store.unopened import is_missing

        if self.db and is_missing(self.db):
            _say_without(f"there is no file {visible(self.db)}")
        with ExitStack() as stack:
            yield Unopened(self.db or usual_target(), lambda: self._readable(stack))

    def _readable(self, stack: ExitStack) -> Readings:
        from lydite.errors import StoreError
        from lydite.store import Table

        try:
            return stack.enter_context(self.database())
        except (StoreError, OSError) as error:
            if self.db is not None:
                raise
            _say_without(str(error))
            return Table()

    def say(self, text: str) -> None:
        """Tell people something on standard error, where progress is shown."""
        if self._progress:
            print(text, file=sys.stderr, flush=True)

    def bar(self, label: str) -> AbstractContextManager[Progress]:
        """A progress bar with a label."""
        if self._progress is True:
            from lydite.report.progress import progress_bar

            return progress_bar(label)
        return self._progress(label) if self._progress else nullcontext(_silent)


@cache
def _say_without(reason: str) -> None:
    print(
        f"goes on without the database of measurements ({reason}); --db or LYDITE_DB names another",
        file=sys.stderr,
    )


for _name in OWN_VERBS:
    setattr(Session, _name, _Verb(_name))


@cache
def default() -> Session:
    """The session behind the functions of the package `lydite`."""
    return Session()
