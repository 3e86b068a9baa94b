"""`score`: run a set of models on a device, watch it, and score it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast

from typing_extensions import TypedDict

from lydite.api.options import chosen
from lydite.api.score.combinations import combinations
from lydite.api.score.options import INPUTS, POLICIES, ScoreKeywords, ScoreOptions
from lydite.errors import InputError, unknown_name
from lydite.exhibits import Exhibit
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.hardware import Device
    from lydite.score.baseline import Baseline
    from lydite.score.journal import Amount, Measured
    from lydite.score.sets import Entry, ModelSet

JOURNAL = "score-journal.jsonl"


class ScoreDocument(TypedDict):
    """A scorecard: raw parts with their digests, and the figures and scores that follow."""

    kind: str
    status: str
    set: dict[str, Any]
    baseline: dict[str, Any] | None
    price_usd: float | None
    environment: dict[str, Any]
    rows: list[dict[str, Any]]
    figures: list[dict[str, Any]]
    scores: dict[str, Any]
    digests: dict[str, Any]


@dataclass(frozen=True, eq=False, repr=False)
class ScoreResult(Result):
    """A scorecard.

    Attributes:
        result: The document: set, baseline, environment, raw rows, figures, scores, digests.
        folder: Folder of the run with its telemetry; None for an estimate.
    """

    verb = "score"
    exhibits = (
        Exhibit(
            "Score of the device, the baseline has 1000",
            "/scores",
            {
                "": "precision",
                "device.latency.score": "score",
                "device.latency.low": "low",
                "device.latency.high": "high",
                "device.latency.is_partial": "partial",
                "device.latency.arithmetic": "arithmetic mean",
                "device.energy.score": "energy score",
            },
            beside="device.latency.score",
            label="/environment/device",
        ),
        Exhibit(
            "Scores by model",
            "/scores/equal/models",
            {
                "": "model",
                "precision": "precision",
                "latency": "score",
                "latency_low": "low",
                "latency_high": "high",
                "energy": "energy score",
                "per_watt": "per watt",
                "per_dollar": "per dollar",
            },
            beside="latency",
            label="/environment/device",
        ),
        Exhibit(
            "Figures by model",
            "/figures",
            {
                "model": "model",
                "precision": "precision",
                "batch": "batch",
                "latency_s": "time",
                "latency_p99_s": "99 %",
                "throughput_per_s": "rate",
                "energy_j": "energy",
                "mean_power_w": "power",
                "energy_source": "energy from",
            },
        ),
        Exhibit(
            "Baseline",
            "/baseline",
            {"name": "baseline", "title": "device", "set": "set", "sha256": "SHA-256"}
            | {"source": "source"},
            beside="title",
            label="/environment/device",
        ),
    )

    result: ScoreDocument
    folder: Path | None = None

    def document(self) -> ScoreDocument:
        """The whole result."""
        return self.result

    @property
    def score(self) -> float | None:
        """Device score of latency on the board of equal precision; None where it has none."""
        return self._device("latency").get("score")

    @property
    def energy_score(self) -> float | None:
        """Device score of energy; None without a sensor."""
        return self._device("energy").get("score")

    @property
    def was_interrupted(self) -> bool:
        """Whether Ctrl-C ended the run; what was measured until then is kept."""
        return bool(self.result["environment"].get("interrupted"))

    def _device(self, what: str) -> Mapping[str, Any]:
        return self.result["scores"].get("equal", {}).get("device", {}).get(what, {})

    def summary(self) -> str:
        """Table of the models and the device's scores."""
        from lydite.report.text.score import score_text

        return score_text(self.result)

    def headline(self) -> str:
        """Device, score and interval."""
        from lydite.report.text.score import headline

        return headline(self.result)

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per model, precision and batch."""
        from lydite.report.text.score import table_rows

        return table_rows(self.result)

    def write(self, folder: Path) -> list[Path]:
        """Write result.json, result.csv, the page, the picture and the benchmark's own layout.

        Raises:
            LyditeError: the folder cannot be written.
        """
        from lydite.report.scorecard import write_files

        return write_files(self.to_dict(), folder, self.folder)


def score(
    session: Session,
    *,
    on: str | None = None,
    out: Path | None = None,
    restart: bool = False,
    sensors: Mapping[str, Mapping[str, str]] | None = None,
    options: ScoreOptions | None = None,
    **given: Unpack[ScoreKeywords],
) -> ScoreResult:
    """Run a set of models on a device, watch it, and score it against a baseline of 1000.

    A run that was cut off goes on from its journal in the folder; Ctrl-C keeps what is there.

    Args:
        session: Session with the seed.
        on: Device of the catalog whose scores are estimated; None to measure here.
        out: Folder for the journal, telemetry and files; None for output/minimum_time_N.
        restart: Whether to measure anew what the journal holds.
        sensors: Options by name of sensor; None for all sensors of this machine.
        options: What is run, and for how long.
        given: Fields of `ScoreOptions`.

    Raises:
        InputError: a set, model, precision, baseline or device is unknown; the device is busy.
        BackendError: the backend cannot run here.
    """
    wanted = chosen(ScoreOptions, options, given)
    _check(wanted)
    models, baseline = _set_and_baseline(wanted)
    if on is not None and on not in ("here", "local", "cpu"):
        from lydite.api.score.estimated import estimated

        return ScoreResult(cast(ScoreDocument, estimated(session, on, wanted, models, baseline)))
    return _measured(session, wanted, models, baseline, out, restart, sensors)


def _check(wanted: ScoreOptions) -> None:
    for name, value, known in (
        ("policy", wanted.if_busy, POLICIES),
        ("place of the inputs", wanted.inputs, INPUTS),
    ):
        if value not in known:
            raise unknown_name(name, value, known)
    if wanted.inputs == "copied" and wanted.device == "cpu":
        raise InputError("inputs of a processor are not copied", hint="leave --inputs out")


def _set_and_baseline(wanted: ScoreOptions) -> tuple[ModelSet, Baseline | None]:
    from lydite.score.baseline import find_baseline
    from lydite.score.sets import find_set

    models = find_set(str(wanted.set) if wanted.set else wanted.size)
    name = wanted.baseline or models.baseline
    return models, find_baseline(name, models) if name else None


def _amount(wanted: ScoreOptions, models: ModelSet, entry: Entry) -> Amount:
    from lydite.score.journal import Amount

    many = models.iterations if wanted.iterations is None else wanted.iterations
    few = models.few_iterations if wanted.few_iterations is None else wanted.few_iterations
    least_s = models.minimum_time_s if wanted.minimum_time is None else wanted.minimum_time
    return Amount(
        least_s,
        few if entry.few else many,
        wanted.rounds,
        warm_s=min(60.0, max(2.0, least_s / 3)),
        check=wanted.check,
    )


def _measured(
    session: Session,
    wanted: ScoreOptions,
    models: ModelSet,
    baseline: Baseline | None,
    out: Path | None,
    restart: bool,
    sensors: Mapping[str, Mapping[str, str]] | None,
) -> ScoreResult:
    from lydite.api.measuring import measured_device
    from lydite.api.score.environment import environment_of
    from lydite.measure.telemetry import recording
    from lydite.score.idle import check_idle
    from lydite.score.journal import Journal
    from lydite.score.result import document_of
    from lydite.score.runner import run
    from lydite.score.watch import temperature_c

    device = measured_device(wanted.device)
    plan = _plan(session, wanted, models)
    environment = environment_of(wanted, device)
    least_s = models.minimum_time_s if wanted.minimum_time is None else wanted.minimum_time
    folder = out or Path("output") / f"minimum_time_{least_s:g}"
    digest = _digest([(item.task.to_record(), vars(item.amount)) for item, _ in plan], environment)
    if restart:
        (folder / JOURNAL).unlink(missing_ok=True)
    journal = Journal(folder / JOURNAL, digest)
    items = {item.task.key: item for item, _ in plan}
    resumed = journal.restore(items)
    if not resumed:
        for path in folder.glob("telemetry-*.jsonl"):
            path.unlink()
    environment["busy"] = check_idle(wanted.if_busy, device=wanted.device)
    environment["resumed_turns"] = resumed
    number = len(list(folder.glob("telemetry-*.jsonl"))) + 1
    interrupted = False
    with recording(
        folder / f"telemetry-{number}.jsonl",
        wanted.interval,
        sensors={name: dict(each) for name, each in sensors.items()} if sensors else None,
    ) as record:
        _watch_idle(record, wanted.device)
        try:
            with session.bar("score") as progress:
                run(
                    list(items.values()),
                    journal,
                    progress=progress,
                    seed=session.seed,
                    thermometer=lambda: temperature_c(record.trace(), wanted.device),
                )
        except KeyboardInterrupt:
            interrupted = True
    rows = _rows(plan, device, folder, wanted, environment)
    environment["interrupted"] = interrupted
    document = document_of(
        _set_document(models, wanted, least_s), environment, rows, baseline, wanted.price
    )
    if all(item.is_done for item in items.values()):
        journal.remove()
    return ScoreResult(cast(ScoreDocument, document), folder)


def _plan(
    session: Session, wanted: ScoreOptions, models: ModelSet
) -> list[tuple[Measured, tuple[Entry, bool]]]:
    from lydite.hardware import physical_cores
    from lydite.score.journal import Measured
    from lydite.score.pipeline import task_of
    from lydite.score.sets import prompt_tokens

    threads = wanted.threads or physical_cores()
    if threads > physical_cores():
        raise InputError(
            f"--threads {threads} is more than the {physical_cores()} cores of this machine"
        )
    tokens = prompt_tokens(wanted.questions)
    plan: list[tuple[Measured, tuple[Entry, bool]]] = []
    for name, entry, precision, batch, is_board in combinations(wanted, models, wanted.device):
        task = task_of(
            name,
            entry,
            precision,
            batch,
            tokens,
            backend=wanted.backend,
            device=wanted.device,
            threads=threads,
            copied=wanted.inputs == "copied",
            seed=session.seed,
        )
        plan.append((Measured(task, _amount(wanted, models, entry)), (entry, is_board)))
    return plan


def _digest(tasks: Sequence[Any], environment: Mapping[str, Any]) -> str:
    """What a journal has to agree on to be resumed: tasks, device, versions and boot."""
    kept = {key: environment[key] for key in ("device_name", "versions", "lydite", "boot_s")}
    text = json.dumps([tasks, kept], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _watch_idle(record: Any, device: str) -> None:
    """Watch the idle device for a while, where a sensor reads its power."""
    from lydite.score.watch import IDLE, IDLE_S, power_devices

    if power_devices(record.trace(), device):
        record.mark(IDLE[0])
        time.sleep(IDLE_S)
        record.mark(IDLE[1])


def _rows(
    plan: Sequence[tuple[Measured, tuple[Entry, bool]]],
    device: Device,
    folder: Path,
    wanted: ScoreOptions,
    environment: dict[str, Any],
) -> list[dict[str, Any]]:
    from lydite.score.facts import facts_of
    from lydite.score.result import row_of
    from lydite.score.watch import Watch

    rows = [
        row_of(item, facts_of(item.task, entry, device, is_board))
        for item, (entry, is_board) in plan
    ]
    watch = Watch.read(folder, wanted.device)
    watch.fill(rows)
    environment["sensors"] = watch.summary()
    return rows


def _set_document(models: ModelSet, wanted: ScoreOptions, least_s: float) -> dict[str, Any]:
    from lydite.score.sets import prompt_tokens

    return {
        "name": models.name,
        "title": models.title,
        "digest": models.digest,
        "weights": {name: entry.weight for name, entry in models.models.items()},
        "minimum_time_s": least_s,
        "iterations": wanted.iterations or models.iterations,
        "few_iterations": wanted.few_iterations or models.few_iterations,
        "rounds": wanted.rounds,
        "prompt_tokens": prompt_tokens(wanted.questions),
    }
