"""`mlperf tune`: the settings of the system by which a scenario's figure is best."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from typing_extensions import TypedDict

from lydite.api.mlperf.benchmark import scenarios_of, settings_of, target_of
from lydite.api.mlperf.keywords import RunKeywords
from lydite.api.mlperf.options import RunOptions, TuneOptions
from lydite.api.mlperf.peak import peak
from lydite.api.mlperf.run import run
from lydite.api.options import chosen
from lydite.errors import InputError
from lydite.exhibits import Curve, Exhibit
from lydite.files import write_atomic
from lydite.mlperf.tuning import BEST, Kept, Point, Trial, best, grid
from lydite.records import dataclass
from lydite.results import Result
from lydite.units import parse_number

if TYPE_CHECKING:
    from lydite.api.session import Session

_STREAMS = ("SingleStream", "MultiStream")


class TuneKeywords(RunKeywords, total=False):
    """Fields of `TuneOptions`, and of `RunOptions`."""

    batch_sizes: str
    thread_counts: str
    worker_counts: str
    batch_delays: str


class TuneTrialDocument(TypedDict):
    """One trial; the figure is null where the run gives none."""

    batch_size: int
    threads: int
    workers: int
    batch_delay_us: float
    verdict: str
    value: float | None
    unit: str
    source: str
    best: bool


class MlperfTuneDocument(TypedDict):
    """Trials in their order; `config` is the file that `mlperf run --config` reads."""

    benchmark: str
    device: str
    scenario: str
    trials: list[TuneTrialDocument]
    tried_before: int
    engines: int
    config: str | None


@dataclass(frozen=True, eq=False, repr=False)
class MlperfTuneResult(Result):
    """Trials of settings.

    Attributes:
        benchmark: Name of the benchmark.
        device: Device.
        scenario: Scenario.
        trials: Trials in their order.
        found: The best valid one; None where none is valid.
        before: Number of trials that an earlier run had made.
        config: File of the best settings; None where none is valid.
    """

    verb = "mlperf-tune"
    exhibits = (
        Exhibit(
            "Settings that were tried",
            "/trials",
            {
                "batch_size": "batch size",
                "threads": "threads",
                "workers": "workers",
                "batch_delay_us": "delay, us",
                "verdict": "verdict",
                "value": "value",
                "unit": "unit",
                "best": "best",
            },
            {"verdict": "VALID"},
            curve=Curve("batch_size", {"value": "points"}, log="x"),
        ),
    )

    benchmark: str
    device: str
    scenario: str
    trials: tuple[Trial, ...]
    found: Trial | None
    before: int
    config: Path | None

    def document(self) -> MlperfTuneDocument:
        """All trials."""
        return {
            "benchmark": self.benchmark,
            "device": self.device,
            "scenario": self.scenario,
            "trials": [
                {
                    "batch_size": trial.point.batch_size,
                    "threads": trial.point.threads,
                    "workers": trial.point.workers,
                    "batch_delay_us": trial.point.batch_delay_us,
                    "verdict": trial.verdict,
                    "value": trial.value,
                    "unit": trial.unit,
                    "source": trial.source,
                    "best": trial is self.found,
                }
                for trial in self.trials
            ],
            "tried_before": self.before,
            "engines": len({trial.point.batch_size for trial in self.trials}),
            "config": None if self.config is None else str(self.config),
        }

    def summary(self) -> str:
        """A table of the trials, and where the best settings lie."""
        from lydite.report.text.mlperf import tune_text

        return tune_text(self.document())

    def headline(self) -> str:
        """The best settings."""
        if self.found is None:
            return f"{self.benchmark} {self.scenario}: no trial is valid"
        point = ", ".join(f"{name} {value:g}" for name, value in asdict(self.found.point).items())
        figure = f"{self.found.value:,.6g} {self.found.unit}"
        return f"{self.benchmark} {self.scenario}: {figure}, {point}"

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per trial."""
        return self.document()["trials"]


def tune(
    session: Session,
    model: str,
    *,
    scenario: str = "offline",
    what: TuneOptions | None = None,
    virtual: bool | None = None,
    on: str = "cpu",
    service: str | None = None,
    replay: Path | None = None,
    out: Path | None = None,
    options: RunOptions | None = None,
    **given: Unpack[TuneKeywords],
) -> MlperfTuneResult:
    """Try settings of the system, and keep those by which a scenario's figure is best.

    In Server each trial is a search of the greatest valid rate. Trials of one engine follow each
    other, so that each engine is built once; trials that the folder holds already are not repeated.

    Args:
        session: Session.
        model: Benchmark of the round, name of the model set, or file.
        scenario: One scenario.
        what: What is tried.
        virtual: Whether to play the trials in virtual time; None where service times are given.
        on: Device.
        service: Service times, see `mlperf_run`.
        replay: Folder of a run whose recorded batches are played.
        out: Folder of the trials and of the best settings; None for mlperf-tune/BENCHMARK-SCENARIO.
        options: Settings that all trials share.
        given: Fields of `TuneOptions` and `RunOptions`.

    Raises:
        InputError: several scenarios, lists that hold no numbers, or what `mlperf_run` refuses.
    """
    own = TuneOptions.__dataclass_fields__
    what = chosen(TuneOptions, what, {k: v for k, v in given.items() if k in own})
    wanted = chosen(RunOptions, options, {k: v for k, v in given.items() if k not in own})
    target = target_of(model, wanted)
    (name, *others) = scenarios_of(scenario)
    if others:
        raise InputError(f"{scenario} are several scenarios", allowed="one at a time here")
    is_virtual = (service is not None or replay is not None) if virtual is None else virtual
    folder = out or Path("mlperf-tune") / f"{target.name}-{name}"
    width = settings_of(target, name, wanted)["samples_per_query"]
    widths = {"SingleStream": 1, "MultiStream": width}
    points = grid(
        _numbers(what.batch_sizes, "--batch-sizes"),
        _numbers(what.thread_counts, "--thread-counts"),
        _numbers(what.worker_counts, "--worker-counts"),
        _delays_us(what.batch_delays),
        widths.get(name),
    )
    shared = {"options": asdict(wanted), "on": on, "service": service, "replay": replay}
    parts = {**shared, "model": target.name, "scenario": name, "virtual": is_virtual}
    kept = Kept(folder, json.dumps(parts, sort_keys=True, default=str))
    before = sum(point in kept.trials for point in points)
    with session.bar(f"{target.name} {name}") as show:
        for number, point in enumerate(points):
            if point in kept.trials:
                continue
            show(number, len(points), f"batch {point.batch_size}, {point.threads} threads")
            mine = replace(
                wanted,
                batch_size=point.batch_size,
                threads=point.threads,
                workers=point.workers,
                batch_delay=point.batch_delay_us,
            )
            place = folder / f"trial{number + 1}"
            times = {"on": on, "service": service, "replay": replay, "options": mine}
            trial = _tried(session, model, name, point, is_virtual, place, times)
            if trial is not None:
                kept.add(trial)
    trials = tuple(kept.trials[point] for point in points if point in kept.trials)
    found = best(trials, name in _STREAMS)
    config = None if found is None else _written(found, name, folder)
    return MlperfTuneResult(target.name, on, name, trials, found, before, config)


def _tried(
    session: Session,
    model: str,
    scenario: str,
    point: Point,
    virtual: bool,
    place: Path,
    times: Mapping[str, Any],
) -> Trial | None:
    """One trial; None for one that was interrupted, and is to be made again."""
    source = "simulated" if virtual else "measured"
    where = None if virtual else place
    if scenario in ("Server", "Interactive"):
        found = peak(session, model, scenario=scenario, virtual=virtual, out=where, **times)
        word = "INVALID" if found.peak_qps is None else "VALID"
        return Trial(point, word, found.peak_qps, "queries/s", source)
    (ran,) = run(session, model, scenario=scenario, virtual=virtual, out=where, **times).runs
    verdict = ran.verdict
    if verdict.stopped:
        return None
    value = verdict.value if verdict.value == verdict.value else None
    return Trial(point, verdict.word, value, verdict.unit, source)


def _written(trial: Trial, scenario: str, folder: Path) -> Path:
    """The best settings as a config.json that `mlperf run --config` reads."""
    fields: dict[str, float | None] = dict(asdict(trial.point))
    if scenario in ("Server", "Interactive"):
        fields["target_qps"] = trial.value
    return write_atomic(folder / BEST, json.dumps({"default": fields}, indent=1) + "\n")


def _numbers(text: str, where: str, least: int = 1) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdigit() and int(word) >= least for word in words):
        raise InputError(
            f"'{text}' is no list of numbers", where=where, allowed=f"{least} or more, as in 1,2,4"
        )
    return [int(word) for word in dict.fromkeys(words)]


def _delays_us(text: str) -> list[float]:
    given = [parse_number(word.strip(), "us", where="--batch-delays") for word in text.split(",")]
    return list(dict.fromkeys(given))
