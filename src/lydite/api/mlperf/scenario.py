"""One scenario's run, measured or played."""

from __future__ import annotations

from pathlib import Path

from lydite.api.mlperf.benchmark import Target
from lydite.api.mlperf.options import RunOptions
from lydite.mlperf.accuracy import Quality
from lydite.mlperf.settings import Settings
from lydite.mlperf.verdict import Verdict
from lydite.records import dataclass


@dataclass(frozen=True)
class Job:
    """A run that is to be made.

    Attributes:
        target: What is run.
        scenario: Name of the scenario, "Interactive" among them.
        settings: Settings.
        options: Options, with the benchmark's own data.
        mode: "performance", "accuracy" or "audit".
    """

    target: Target
    scenario: str
    settings: Settings
    options: RunOptions
    mode: str = "performance"


@dataclass(frozen=True)
class ScenarioRun:
    """One scenario's run.

    Attributes:
        target: What was run.
        settings: Settings.
        verdict: Verdict.
        queries, samples: Numbers that were issued.
        duration_s: Duration that the rules ask for, in seconds.
        service: Where the service times come from; "measured" under LoadGen.
        engine: Digest of the engine; "" in virtual time.
        data: Name and digest of the data set.
        accuracy: Accuracy verdict of the same engine, or that there is none.
        folder: Folder of the logs; None where nothing was written.
        quality: What is known of the engine's accuracy on this data; None where nothing is.
        mode: "performance", "accuracy" or "audit".
    """

    target: Target
    settings: Settings
    verdict: Verdict
    queries: int
    samples: int
    duration_s: float
    service: str
    engine: str
    data: str
    accuracy: str
    folder: Path | None
    quality: Quality | None = None
    mode: str = "performance"

    @property
    def name(self) -> str:
        """Name of the scenario."""
        return "Interactive" if self.settings.interactive else self.settings.scenario
