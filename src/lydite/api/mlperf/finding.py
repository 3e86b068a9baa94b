"""`mlperf run --mode find-peak`: the runs at the greatest valid rates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lydite.api.mlperf.benchmark import benchmarks_of, scenarios_of
from lydite.api.mlperf.options import RunOptions
from lydite.api.mlperf.peak import MlperfPeakResult, peak
from lydite.api.mlperf.ran import MlperfRunResult
from lydite.api.mlperf.scenario import ScenarioRun
from lydite.errors import InputError

if TYPE_CHECKING:
    from lydite.api.session import Session


def find_peaks(
    session: Session,
    model: str,
    scenario: str,
    options: RunOptions,
    virtual: bool,
    on: str,
    service: str | None,
    replay: Path | None,
    out: Path | None,
) -> MlperfRunResult:
    """The run at the greatest valid rate of each benchmark and scenario.

    Where no rate is valid it is the run at the lowest rate that was tried.

    Raises:
        InputError: a scenario that has no rate.
    """
    names = scenarios_of(scenario)
    without = [name for name in names if name not in ("Server", "Interactive")]
    if without:
        raise InputError(
            f"{', '.join(without)} has no rate to find",
            where="--mode find-peak",
            allowed="--scenario server, interactive",
        )
    found = [
        peak(
            session,
            benchmark,
            scenario=name,
            virtual=virtual,
            on=on,
            service=service,
            replay=replay,
            out=None if out is None else out / benchmark / name,
            options=options,
        )
        for benchmark in benchmarks_of(model)
        for name in names
    ]
    targets = tuple({result.target.name: result.target for result in found}.values())
    is_simulated = all(result.simulated for result in found)
    return MlperfRunResult(targets, found[0].device, is_simulated, tuple(map(_best, found)))


def _best(result: MlperfPeakResult) -> ScenarioRun:
    """The run at the peak, a measured one where there is one."""
    if result.peak_qps is None:
        return result.points[0][1]
    at_peak = [run for rate, run in result.points if rate == result.peak_qps]
    return max(at_peak, key=lambda run: bool(run.engine))
