"""`mlperf build`: the engines of all scenarios, before any run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from typing_extensions import TypedDict

from lydite.api.mlperf.benchmark import Target, scenarios_of, settings_of, targets_of
from lydite.api.mlperf.engines import engine_of
from lydite.api.mlperf.keywords import RunKeywords
from lydite.api.mlperf.options import RunOptions
from lydite.api.options import chosen
from lydite.errors import InputError
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.mlperf.engine import EngineSpec


class EngineDocument(TypedDict):
    """One engine."""

    benchmark: str
    model: str
    scenario: str
    engine: str
    built: bool
    precision: str
    backend: str
    versions: dict[str, str]
    device: str
    processor: str
    batch_sizes: list[int]
    calibration: str
    folder: str
    bytes: int


class MlperfBuildDocument(TypedDict):
    """Engines of a benchmark; `built` is false for those that lay in the cache already."""

    benchmark: str
    engines: list[EngineDocument]


@dataclass(frozen=True, eq=False, repr=False)
class MlperfBuildResult(Result):
    """Engines by scenario.

    Attributes:
        engines: Benchmark, scenario, engine, and whether it was built now.
    """

    verb = "mlperf-build"

    engines: tuple[tuple[Target, str, EngineSpec, bool], ...]

    def document(self) -> MlperfBuildDocument:
        """Digest, folder and ingredients of each engine."""
        return {
            "benchmark": ", ".join(dict.fromkeys(row[0].name for row in self.engines)),
            "engines": [
                {
                    "benchmark": target.name,
                    "model": target.model,
                    "scenario": name,
                    "engine": spec.digest,
                    "built": built,
                    "precision": spec.precision,
                    "backend": spec.backend,
                    "versions": dict(spec.versions),
                    "device": spec.device,
                    "processor": spec.processor,
                    "batch_sizes": list(spec.sizes),
                    "calibration": spec.calibration,
                    "folder": str(spec.folder),
                    "bytes": sum(p.stat().st_size for p in spec.folder.iterdir() if p.is_file()),
                }
                for target, name, spec, built in self.engines
            ],
        }

    def summary(self) -> str:
        """A table of the engines, and their folders."""
        from lydite.report.text.mlperf import build_text

        return build_text(self.document())

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per engine."""
        return self.document()["engines"]


def build(
    session: Session,
    model: str,
    *,
    scenario: str = "offline",
    on: str = "cpu",
    force_calibration: bool = False,
    options: RunOptions | None = None,
    **given: Unpack[RunKeywords],
) -> MlperfBuildResult:
    """Build the engines of scenarios into the cache, where they are not in it.

    Args:
        session: Session.
        model: Benchmark of the round, name of the model set, or file; several separated by commas.
        scenario: Scenarios, separated by commas.
        on: Device of the backend: "cpu" or "cuda".
        force_calibration: Whether to calibrate int8 engines although they have a table.
        options: Settings.
        given: Fields of `RunOptions`.

    Raises:
        InputError: an unknown benchmark, scenario or precision, or int8 without a calibration.
        BackendError: the backend refuses the model.
    """
    wanted = chosen(RunOptions, options, given)
    if force_calibration:
        calibrated(session, targets_of(model, wanted), scenarios_of(scenario)[0])
    return MlperfBuildResult(
        tuple(
            (target, name, *engine_of(session, target, settings_of(target, name, own), on, own))
            for target, own in targets_of(model, wanted)
            for name in scenarios_of(scenario)
        )
    )


def calibrated(
    session: Session, targets: Sequence[tuple[Target, RunOptions]], scenario: str
) -> None:
    """Calibrate int8 engines anew, with the usual settings.

    Raises:
        InputError: an engine of another precision, which has no calibration.
    """
    from lydite.api.mlperf.calibrate import calibrate

    for target, options in targets:
        precision = settings_of(target, scenario, options)["precision"]
        if precision != "int8":
            raise InputError(
                f"an {precision} engine has no calibration",
                where=target.name,
                hint="--precision int8 with --force_calibration",
            )
    for target, options in targets:
        calibrate(session, target.model, options=options)
