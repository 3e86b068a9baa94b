"""`mlperf explain`: each setting of a run, its value, and where it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from typing_extensions import TypedDict

from lydite.api.mlperf.benchmark import Target, scenarios_of, settings_of, target_of, with_data
from lydite.api.mlperf.keywords import RunKeywords
from lydite.api.mlperf.options import RunOptions
from lydite.api.options import chosen
from lydite.mlperf.settings import BY_NAME, Settings
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session


class SettingDocument(TypedDict):
    """One setting."""

    scenario: str
    setting: str
    value: Any
    origin: str
    source: str
    text: str


class FloorDocument(TypedDict):
    """Accuracy that the closed division asks for; `source` says where it stands."""

    metric: str
    least: float
    most: float | None
    source: str


class MlperfExplainDocument(TypedDict):
    """Settings of a benchmark, and what its round asks for."""

    benchmark: str
    model: str
    round: str
    official: bool
    task: str
    datacenter: list[str]
    edge: list[str]
    audits: list[str]
    floors: list[FloorDocument]
    seeds: dict[str, int]
    settings: list[SettingDocument]


@dataclass(frozen=True, eq=False, repr=False)
class MlperfExplainResult(Result):
    """Settings with their origins.

    Attributes:
        target: Benchmark.
        settings: Settings by scenario.
    """

    verb = "mlperf-explain"

    target: Target
    settings: Mapping[str, Settings]

    def document(self) -> MlperfExplainDocument:
        """Every setting, and what the round asks for."""
        row, seeds = self.target.row, self.target.chosen.seeds_of()
        floors = row.all_floors if row is not None else ()
        return {
            "benchmark": self.target.name,
            "model": self.target.model,
            "round": self.target.chosen.name,
            "official": row is not None,
            "task": row.task if row is not None else "a model of the user's own",
            "datacenter": [*row.datacenter, *row.either] if row is not None else [],
            "edge": list(row.edge) if row is not None else [],
            "audits": list(row.audits) if row is not None else [],
            "floors": [
                {"metric": f.metric, "least": f.least, "most": f.high, "source": f.source}
                for f in floors
            ],
            "seeds": {
                "qsl": seeds.qsl,
                "sample_index": seeds.sample_index,
                "schedule": seeds.schedule,
            },
            "settings": [
                {
                    "scenario": scenario,
                    "setting": s.name,
                    "value": s.value,
                    "origin": s.origin,
                    "source": s.source,
                    "text": BY_NAME[s.name].text,
                }
                for scenario, settings in self.settings.items()
                for s in settings.values.values()
            ],
        }

    def summary(self) -> str:
        """What the round asks for, and a table of settings for each scenario."""
        from lydite.report.text.mlperf import explain_text

        return explain_text(self.document())

    def headline(self) -> str:
        """The benchmark and its round."""
        return f"{self.target.name} in {self.target.chosen.name}"

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per setting, its value as text."""
        return [{**row, "value": str(row["value"])} for row in self.document()["settings"]]


def explain(
    session: Session,
    model: str = "resnet",
    *,
    scenario: str = "offline,server,singlestream,multistream",
    options: RunOptions | None = None,
    **given: Unpack[RunKeywords],
) -> MlperfExplainResult:
    """Show each setting of a run, its value, and where it came from.

    Args:
        session: Session.
        model: Benchmark of the round, name of the model set, or file.
        scenario: Scenarios, separated by commas.
        options: Settings.
        given: Fields of `RunOptions`.

    Raises:
        InputError: an unknown benchmark, scenario or setting.
    """
    del session
    wanted = chosen(RunOptions, options, given)
    target = target_of(model, wanted)
    wanted = with_data(target, wanted)
    names = scenarios_of(scenario)
    return MlperfExplainResult(target, {n: settings_of(target, n, wanted) for n in names})
