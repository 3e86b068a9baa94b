"""Rounds of MLPerf Inference as data: seeds, floors, limits, samples, scenarios and audits.

One YAML file a round lies in `rounds/`. Where sources disagree the file holds all values with
their sources, and the stricter one rules.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lydite.errors import InputError, unknown_name
from lydite.hardware.spec_file import parse_spec
from lydite.mlperf.schedule import ScenarioName, Seeds

SCENARIOS: tuple[ScenarioName, ...] = ("SingleStream", "MultiStream", "Server", "Offline")
NEWEST = "v6.1"
Division = Literal["datacenter", "edge"]


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SeedRow(_Row):
    """Seeds, and where they stand."""

    qsl: int
    sample_index: int
    schedule: int
    source: str


class Floor(_Row):
    """Accuracy that the closed division asks for.

    Attributes:
        metric: Name of the metric.
        unit: Unit; "" for none.
        reference: Accuracy of the reference model.
        factor: Share of it that is asked for.
        low, high: Range that is asked for, instead of a reference.
        source: Where the figure stands, and its date.
    """

    metric: str
    unit: str = ""
    reference: float | None = None
    factor: float = 0.99
    low: float | None = None
    high: float | None = None
    source: str

    @property
    def least(self) -> float:
        """Least accuracy that passes."""
        if self.low is not None:
            return self.low
        assert self.reference is not None
        return self.reference * self.factor

    def passed(self, value: float) -> bool:
        """Whether an accuracy passes."""
        return value >= self.least and (self.high is None or value <= self.high)


class LatencyLimit(_Row):
    """Limits of Server or Interactive in milliseconds, at the 99th percentile.

    Attributes:
        value: Latency of a query.
        ttft: Time to the first token.
        tpot: Time per output token.
        source: Where the figures stand, and their date.
    """

    value: float | None = None
    ttft: float | None = None
    tpot: float | None = None
    source: str


class AuditBound(_Row):
    """What an audit's figure has to meet.

    Attributes:
        least, most: Bounds; None for none.
        source: Where they stand, and their date.
    """

    least: float | None = None
    most: float | None = None
    source: str


class Benchmark(_Row):
    """One benchmark of a round.

    Attributes:
        task: What is computed, and on which data.
        conf_name: Name in mlperf.conf; "" where it is the checker's.
        aliases: Other names.
        samples: Samples that performance runs use.
        samples_interactive: The same for Interactive; 0 where it does not differ.
        total: Samples of the data set.
        min_samples: Minimum number of samples in Offline.
        percentile: Percentile of the latency by scenario, where it is not the round's.
        equal_issue: Whether each sample is issued equally often.
        tokens: Whether the output is counted in tokens.
        floors: Floors of accuracy, all of which have to be met.
        datacenter, edge: Scenarios that a submission has to hold.
        either: Scenarios of which a datacenter submission has to hold one.
        audits: Audit tests.
        audit_bounds: What the figure of an audit has to meet, by test.
        min_duration_ms: Minimum duration; None for the round's.
    """

    task: str
    conf_name: str = ""
    aliases: tuple[str, ...] = ()
    samples: int
    samples_interactive: int = 0
    total: int
    min_samples: int = 1
    percentile: dict[str, float] = {}
    equal_issue: bool = False
    tokens: bool = False
    floor: Floor | None = None
    floor_others: tuple[Floor, ...] = ()
    floors: tuple[Floor, ...] = ()
    datacenter: tuple[str, ...] = ()
    edge: tuple[str, ...] = ()
    either: tuple[str, ...] = ()
    server_ms: LatencyLimit | None = None
    server_ms_others: tuple[LatencyLimit, ...] = ()
    interactive_ms: LatencyLimit | None = None
    interactive_ms_others: tuple[LatencyLimit, ...] = ()
    audits: tuple[str, ...] = ()
    audit_bounds: dict[str, AuditBound] = {}
    min_duration_ms: int | None = None

    @property
    def all_floors(self) -> tuple[Floor, ...]:
        """The floors that rule: of several for one metric the highest."""
        rows = (*((self.floor,) if self.floor else ()), *self.floor_others, *self.floors)
        strictest: dict[str, Floor] = {}
        for row in rows:
            known = strictest.get(row.metric)
            if known is None or row.least > known.least:
                strictest[row.metric] = row
        return tuple(strictest.values())

    def latency_limit(self, scenario: str) -> LatencyLimit | None:
        """The limit that rules in Server or Interactive: of several the lowest."""
        if scenario == "Interactive":
            rows = (self.interactive_ms, *self.interactive_ms_others)
        else:
            rows = (self.server_ms, *self.server_ms_others)
        known = [row for row in rows if row is not None]
        return min(
            known, key=lambda row: (row.value or 0, row.ttft or 0, row.tpot or 0), default=None
        )

    @property
    def scenarios(self) -> tuple[str, ...]:
        """All scenarios that a submission may hold."""
        return tuple(dict.fromkeys((*self.datacenter, *self.either, *self.edge)))


class Round(_Row):
    """One round.

    Attributes:
        name: Name, such as "v6.1".
        loadgen: Version of LoadGen whose wheels hold these seeds; "" where none is known.
        seeds: Seeds of LoadGen.
        min_duration_ms: Minimum duration of a run in milliseconds.
        percentile: Percentile of the latency that counts, by scenario.
        min_queries: Minimum number of queries, by scenario.
        benchmarks: Benchmarks by the checker's name.
        layout: "results" where measurements and audits lie beside the results, "apart" where they
            have folders of their own, as until v5.1.
        gone: Benchmarks of earlier rounds, by the round since which they are gone.
    """

    name: str
    loadgen: str
    seeds: SeedRow
    min_duration_ms: int
    percentile: dict[str, float]
    min_queries: dict[str, int | str]
    benchmarks: dict[str, Benchmark] = Field(min_length=1)
    layout: Literal["results", "apart"] = "results"
    gone: dict[str, tuple[str, ...]] = {}

    def seeds_of(self) -> Seeds:
        """The seeds as a schedule takes them."""
        return Seeds(self.seeds.qsl, self.seeds.sample_index, self.seeds.schedule)

    @property
    def all_names(self) -> frozenset[str]:
        """All names of benchmarks, aliases and those that are gone among them."""
        rows = self.benchmarks.items()
        present = (word for key, row in rows for word in (key, row.conf_name, *row.aliases))
        return frozenset((*present, *(word for gone in self.gone.values() for word in gone))) - {""}

    def named(self, name: str) -> tuple[str, Benchmark]:
        """A benchmark by the checker's name, mlperf.conf's, or an alias.

        Raises:
            InputError: no such benchmark in this round (says since when it is gone).
        """
        wanted = name.lower()
        for key, row in self.benchmarks.items():
            if wanted in (key, *row.aliases):
                return key, row
        for key, row in self.benchmarks.items():
            if wanted == row.conf_name:
                return key, row
        for since, names in self.gone.items():
            if wanted in names:
                raise InputError(f"the benchmark '{name}' is gone since {since}", where=self.name)
        known = [alias for key, row in self.benchmarks.items() for alias in (key, *row.aliases)]
        raise unknown_name("benchmark", name, sorted(known))


def round_names() -> list[str]:
    """Names of all rounds."""
    folder = files("lydite.mlperf") / "rounds"
    return sorted(
        p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml")
    )


@cache
def find_round(name: str = NEWEST) -> Round:
    """A round by name, with or without the "v".

    Raises:
        InputError: no such round.
    """
    full = name if name.startswith("v") else f"v{name}"
    if full not in round_names():
        raise unknown_name("round", name, round_names())
    text = (files("lydite.mlperf") / "rounds" / f"{full}.yaml").read_text("utf-8")
    return parse_spec(text, f"{full}.yaml", "a round").validated(Round, "a round")
