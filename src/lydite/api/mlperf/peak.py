"""`mlperf peak`: the greatest rate that is valid, and the curve of latency against it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from typing_extensions import TypedDict

from lydite.api.mlperf.benchmark import Target, scenarios_of, settings_of, target_of, with_data
from lydite.api.mlperf.keywords import RunKeywords
from lydite.api.mlperf.options import RunOptions
from lydite.api.mlperf.scenario import Job, ScenarioRun
from lydite.api.options import chosen
from lydite.errors import InputError
from lydite.exhibits import Curve, Exhibit
from lydite.mlperf.served import ServedTokens
from lydite.mlperf.service import Service
from lydite.mlperf.settings import Setting, Settings
from lydite.mlperf.tokens import TokenService
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session

_SHARES = (0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Rates of the curve, as shares of the greatest valid one."""
_RESOLUTION = 0.002
_MOST_STEPS = 40
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
        peak_qps: Greatest valid rate; None where none is.
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
    """Find the greatest rate of Server that is valid.

    The rate is bracketed and halved in virtual time, where a run takes milliseconds; on a device
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

    def valid(rate: float) -> bool:
        tried[rate] = play_with(target, at_rate(settings, rate), times)
        return tried[rate].verdict.word == "VALID"

    most = capacity_qps(settings, times)
    found = greatest(valid, most)
    if found is not None:
        for share in _SHARES:
            valid(round(found * share, 9))
    is_virtual = virtual or service is not None or replay is not None
    real: list[tuple[float, ScenarioRun]] = []
    notes: list[str] = []
    if found is not None and not is_virtual:
        found, real, notes = _confirmed(session, target, name, settings, wanted, on, found, out)
    kept = _curve(tried, found)
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


def greatest(valid: Callable[[float], bool], most: float) -> float | None:
    """The greatest valid rate up to `most`, by halving; None where even small ones are not.

    Verdicts are not strictly monotone in the rate, since each has its own schedule; what is
    returned was itself found valid.
    """
    low, high = None, most * 1.02
    rate = most
    for _ in range(_MOST_STEPS):
        if valid(rate):
            low = rate
            if high - low <= _RESOLUTION * low:
                break
            rate = (low + high) / 2
        else:
            high = rate
            if low is None:
                rate /= 2
                if rate < most * 1e-6:
                    return None
            else:
                if high - low <= _RESOLUTION * low:
                    break
                rate = (low + high) / 2
    return low


def _curve(
    tried: Mapping[float, ScenarioRun], found: float | None
) -> list[tuple[float, ScenarioRun]]:
    """The points to show: shares of the peak, and the nearest that is not valid."""
    if found is None:
        lowest = min(tried)
        return [(lowest, tried[lowest])]
    wanted = {round(found * share, 9) for share in _SHARES}
    beyond = [rate for rate, run in tried.items() if rate > found and run.verdict.word != "VALID"]
    wanted |= {min(beyond)} if beyond else set()
    return [(rate, run) for rate, run in sorted(tried.items()) if rate in wanted]


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
