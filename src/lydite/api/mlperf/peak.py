"""`mlperf peak`: the greatest rate that is valid, and the curve of latency against it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from typing_extensions import TypedDict

from lydite.api.mlperf.benchmark import Target, scenarios_of, settings_of, target_of, with_data
from lydite.api.mlperf.keywords import RunKeywords
from lydite.api.mlperf.options import RunOptions
from lydite.api.mlperf.rates import Greatest, greatest, shares_of
from lydite.api.mlperf.scenario import Job, ScenarioRun
from lydite.api.options import chosen
from lydite.errors import InputError
from lydite.exhibits import Curve, Exhibit
from lydite.mlperf.served import ServedTokens
from lydite.mlperf.service import Service
from lydite.mlperf.settings import Setting, Settings
from lydite.mlperf.tokens import TokenService
from lydite.mlperf.verdict import Verdict
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session

_MOST_REAL = 3
_BACK_OFF = 0.95


class PointDocument(TypedDict):
    """One rate that was tried."""

    target_qps: float
    completed_per_s: float
    latency_s: dict[str, float]
    verdict: str
    source: str


class MlperfPeakDocument(TypedDict):
    """The greatest valid rate, and the curve; null where no rate is valid."""

    benchmark: str
    device: str
    scenario: str
    simulated: bool
    peak_qps: float | None
    curve: list[PointDocument]
    notes: list[str]


@dataclass(frozen=True, eq=False, repr=False)
class MlperfPeakResult(Result):
    """The greatest valid rate.

    Attributes:
        target: What was run.
        device: Device.
        scenario: Server or Interactive.
        peak_qps: Greatest valid rate with none below it that fails; None where none is.
        points: Rates that were tried, with their runs, ascending.
        simulated: Whether no real run confirmed it.
        notes: What the reader should know.
    """

    verb = "mlperf-peak"
    exhibits = (
        Exhibit(
            "Rates that were tried",
            "/curve",
            {
                "target_qps": "queries per second",
                "completed_per_s": "completed",
                "latency_s.p50": "latency at 50 %",
                "latency_s.p99": "latency at 99 %",
                "verdict": "verdict",
                "source": "source",
            },
            {"verdict": "VALID"},
            curve=Curve("target_qps", {"latency_s.p99": "line"}, log="y", mark="peak_qps"),
        ),
    )

    target: Target
    device: str
    scenario: str
    peak_qps: float | None
    points: tuple[tuple[float, ScenarioRun], ...]
    simulated: bool
    notes: tuple[str, ...]

    def document(self) -> MlperfPeakDocument:
        """The rate and the curve."""
        return {
            "benchmark": self.target.name,
            "device": self.device,
            "scenario": self.scenario,
            "simulated": self.simulated,
            "peak_qps": self.peak_qps,
            "curve": [
                {
                    "target_qps": rate,
                    "completed_per_s": run.verdict.value,
                    "latency_s": {
                        f"p{s * 100:g}": ns * 1e-9 for s, ns in run.verdict.latency_ns.items()
                    },
                    "verdict": run.verdict.word,
                    "source": "measured" if run.engine else "simulated",
                }
                for rate, run in self.points
            ],
            "notes": list(self.notes),
        }

    def summary(self) -> str:
        """The rate and the curve."""
        from lydite.report.text.mlperf import peak_text

        return peak_text(self.document())

    def headline(self) -> str:
        """The rate."""
        mark = "SIMULATED: " if self.simulated else ""
        peak = "no rate is valid" if self.peak_qps is None else f"{self.peak_qps:,.6g} queries/s"
        return f"{mark}{self.target.name} {self.scenario} on {self.device}: {peak}"

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per rate."""
        return self.document()["curve"]


def peak(
    session: Session,
    model: str,
    *,
    scenario: str = "server",
    virtual: bool = False,
    on: str = "cpu",
    service: str | None = None,
    replay: Path | None = None,
    out: Path | None = None,
    options: RunOptions | None = None,
    **given: Unpack[RunKeywords],
) -> MlperfPeakResult:
    """Find the greatest rate of Server that is valid, with no lower one that fails.

    The rate is bracketed and halved in virtual time, where a run takes milliseconds, and rates
    below it are played too; a valid rate above one that fails is told in a note. On a device
    that is here, at most three real runs then confirm it, each at a lower rate than the one before.

    Args:
        session: Session.
        model: Benchmark of the round, name of the model set, or file.
        scenario: "server" or "interactive".
        virtual: Whether to leave out the real runs.
        on: Device.
        service: Service times, see `mlperf_run`.
        replay: Folder of a run whose recorded batches are played.
        out: Folder for the logs of real runs.
        options: Settings.
        given: Fields of `RunOptions`.

    Raises:
        InputError: a scenario without a rate, or what `mlperf_run` refuses.
    """
    from lydite.api.mlperf.service import service_of
    from lydite.api.mlperf.virtual import play_with

    wanted = chosen(RunOptions, options, given)
    target = target_of(model, wanted)
    wanted = with_data(target, wanted)
    (name, *others) = scenarios_of(scenario)
    if others or name not in ("Server", "Interactive"):
        raise InputError(f"{scenario} has no rate to find", allowed="server, interactive")
    settings = settings_of(target, name, wanted)
    times = service_of(session, target, settings, on=on, stated=service, replay=replay)
    tried: dict[float, ScenarioRun] = {}

    def judged(rate: float) -> Verdict:
        tried[rate] = play_with(target, at_rate(settings, rate), times)
        return tried[rate].verdict

    said = greatest(judged, capacity_qps(settings, times))
    found = said.rate
    kept, notes = _curve(tried, said), _notes(tried, said)
    is_virtual = virtual or service is not None or replay is not None
    real: list[tuple[float, ScenarioRun]] = []
    if found is not None and not is_virtual:
        found, real, more = _confirmed(session, target, name, settings, wanted, on, found, out)
        notes += more
    points = tuple(sorted([*kept, *real], key=lambda point: (point[0], point[1].engine)))
    return MlperfPeakResult(
        target, on, name, found, points, is_virtual or found is None, tuple(notes)
    )


def at_rate(settings: Settings, rate: float) -> Settings:
    """The settings with another rate."""
    chosen_rate = Setting("target_qps", rate, "search")
    return replace(settings, values={**settings.values, "target_qps": chosen_rate})


def capacity_qps(settings: Settings, times: Service | TokenService | ServedTokens) -> float:
    """Rate at which all workers are busy with the batches that suit them best."""
    if isinstance(times, ServedTokens):
        return times.offline_qps
    if isinstance(times, TokenService):
        return settings["workers"] / (float(times.whole_ns.mean()) * 1e-9)
    best = max(
        size / (float(row.mean()) * 1e-9) for size, row in enumerate(times.times_ns, start=1)
    )
    return best * settings["workers"]


def _curve(tried: Mapping[float, ScenarioRun], said: Greatest) -> list[tuple[float, ScenarioRun]]:
    """The points to show: shares of the peak, and what bounds or contradicts it."""
    if said.rate is None:
        wanted = {min(tried), said.short, said.failed}
    else:
        wanted = {*shares_of(said.rate).values(), said.failed, said.beyond}
    return [(rate, run) for rate, run in sorted(tried.items()) if rate in wanted]


def _notes(tried: Mapping[float, ScenarioRun], said: Greatest) -> list[str]:
    """What the reader should know of runs that contradict each other, or are too short."""
    if said.short is not None:
        headline = tried[said.short].verdict.headline()
        return [f"too short to be valid at {said.short:,.6g} queries/s: {headline}"]
    if said.beyond is None or said.failed is None:
        return []
    return [
        f"{said.beyond:,.6g} queries/s was VALID, but {said.failed:,.6g} below it "
        f"{tried[said.failed].verdict.headline()}; the greatest rate with none INVALID below it "
        "counts, and a longer --min-duration decides more sharply"
    ]


def _confirmed(
    session: Session,
    target: Target,
    scenario: str,
    settings: Settings,
    options: RunOptions,
    on: str,
    rate: float,
    out: Path | None,
) -> tuple[float | None, list[tuple[float, ScenarioRun]], list[str]]:
    """Real runs at falling rates until one is valid; the rate, the runs, and what to know."""
    from lydite.api.mlperf.real import run_all

    folder = out or Path("mlperf-runs") / time.strftime("%Y%m%d-%H%M%S")
    real: list[tuple[float, ScenarioRun]] = []
    simulated = rate
    for attempt in range(_MOST_REAL):
        one = at_rate(settings, rate)
        where = folder / f"attempt{attempt + 1}"
        job = Job(target, scenario, one, options)
        _, (run,) = run_all(session, [job], on, where)
        real.append((rate, run))
        if run.verdict.word == "VALID":
            note = f"simulated {simulated:,.6g}, confirmed at {rate:,.6g} in real run {attempt + 1}"
            return rate, real, [note]
        rate *= _BACK_OFF if run.verdict.word == "INVALID" else 1.0
    return None, real, [f"no real run from {simulated:,.6g} queries/s down was valid"]
