"""`mlperf build`: the engines of all scenarios, before any run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from typing_extensions import TypedDict

from lydite.api.mlperf.benchmark import Target, scenarios_of, settings_of, target_of, with_data
from lydite.api.mlperf.engines import engine_of
from lydite.api.mlperf.keywords import RunKeywords
from lydite.api.mlperf.options import RunOptions
from lydite.api.options import chosen
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.mlperf.engine import EngineSpec


class EngineDocument(TypedDict):
    """One engine."""

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
    model: str
    engines: list[EngineDocument]


@dataclass(frozen=True, eq=False, repr=False)
class MlperfBuildResult(Result):
    """Engines by scenario.

    Attributes:
        target: What they run.
        engines: Scenario, engine, and whether it was built now.
    """

    verb = "mlperf-build"

    target: Target
    engines: tuple[tuple[str, EngineSpec, bool], ...]

    def document(self) -> MlperfBuildDocument:
        """Digest, folder and ingredients of each engine."""
        return {
            "benchmark": self.target.name,
            "model": self.target.model,
            "engines": [
                {
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
                for name, spec, built in self.engines
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
    options: RunOptions | None = None,
    **given: Unpack[RunKeywords],
) -> MlperfBuildResult:
    """Build the engines of scenarios into the cache, where they are not in it.

    Args:
        session: Session.
        model: Benchmark of the round, name of the model set, or file.
        scenario: Scenarios, separated by commas.
        on: Device of the backend: "cpu" or "cuda".
        options: Settings.
        given: Fields of `RunOptions`.

    Raises:
        InputError: an unknown benchmark, scenario or precision, or int8 without a calibration.
        BackendError: the backend refuses the model.
    """
    wanted = chosen(RunOptions, options, given)
    target = target_of(model, wanted)
    wanted = with_data(target, wanted)
    engines: list[tuple[str, EngineSpec, bool]] = []
    for name in scenarios_of(scenario):
        settings = settings_of(target, name, wanted)
        engines.append((name, *engine_of(session, target, settings, on, wanted)))
    return MlperfBuildResult(target, tuple(engines))
