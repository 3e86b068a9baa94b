"""LoadGen itself: its settings, one run in this process, its logs.

Only the child process of a run imports the wheel. A process makes one run: LoadGen reads its
embedded file of the round on the first call alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from lydite.errors import InputError, MissingExtra
from lydite.mlperf.schedule import QUERY_BYTES, SAMPLE_BYTES
from lydite.records import dataclass

DETAIL, SUMMARY = "mlperf_log_detail.txt", "mlperf_log_summary.txt"
ACCURACY = "mlperf_log_accuracy.json"


@dataclass(frozen=True)
class Issue:
    """What LoadGen is told about a run.

    Attributes:
        scenario: Scenario.
        mode: PerformanceOnly or AccuracyOnly.
        conf_name: Name of the benchmark in mlperf.conf; "" for a benchmark of the user's own.
        total_samples: Samples of the data set.
        samples: Samples that performance runs use.
        values: Attributes of `TestSettings`.
        audit: Text of audit.config; "" for none.
    """

    scenario: str
    mode: str
    conf_name: str
    total_samples: int
    samples: int
    values: dict[str, int | float | bool] = field(default_factory=dict)
    audit: str = ""

    def to_json(self) -> str:
        """The issue as text."""
        return json.dumps(asdict(self))


def wheel() -> Any:
    """The module of the wheel.

    Raises:
        MissingExtra: it is not installed.
        InputError: there is no wheel for this Python or system.
    """
    try:
        return import_module("mlperf_loadgen")
    except ImportError:
        if sys.version_info >= (3, 14):
            raise InputError(
                f"LoadGen has no wheel for Python {sys.version_info[0]}.{sys.version_info[1]}",
                allowed="Python 3.11 to 3.13",
                hint="--virtual runs in virtual time",
            ) from None
        raise MissingExtra("mlcommons-loadgen", "mlperf") from None


def embedded_seeds() -> tuple[int, int, int]:
    """Seeds of the round that the wheel embeds: qsl, sample index, schedule."""
    settings = wheel().TestSettings()
    settings.FromConfig("", "resnet50", "Server", 0)
    return settings.qsl_rng_seed, settings.sample_index_rng_seed, settings.schedule_rng_seed


def check_memory(queries: float, most_bytes: int, scenario: str = "SingleStream") -> None:
    """Refuse a run for which LoadGen would generate more queries than fit in memory.

    Args:
        queries: Number of queries; in Offline of samples.
        most_bytes: Bytes that they may take.
        scenario: Scenario.

    Raises:
        InputError: says how much it would need.
    """
    offline = scenario == "Offline"
    needed = queries * (SAMPLE_BYTES if offline else QUERY_BYTES)
    if needed > most_bytes:
        option = {
            "Offline": "a smaller expected rate (--expected-qps), if it is too large",
            "Server": "a smaller rate (--target-qps)",
        }.get(scenario, "a larger expected latency (--expected-latency)")
        raise InputError(
            f"LoadGen would generate {queries:,.0f} {'samples' if offline else 'queries'} before "
            f"the run, {needed / 2**30:.1f} GiB",
            where=scenario,
            allowed=f"{most_bytes / 2**30:.1f} GiB, half of what is free",
            hint=f"a shorter run (--fast), or {option}",
        )


def run(issue: Issue, sut: Any, folder: Path) -> None:
    """One run; its logs lie in the folder afterwards.

    Args:
        issue: What to issue.
        sut: System with the callbacks `issue` and `flush`.
        folder: Folder of the logs.

    Raises:
        InputError: LoadGen refuses a setting.
    """
    lg = wheel()
    settings = lg.TestSettings()
    code = settings.FromConfig("", issue.conf_name or "lydite", issue.scenario, 0)
    if code:
        raise InputError(f"LoadGen's own configuration cannot be read (code {code})")
    settings.scenario = getattr(lg.TestScenario, issue.scenario)
    settings.mode = getattr(lg.TestMode, issue.mode)
    for name, value in issue.values.items():
        setattr(settings, name, value)
    folder.mkdir(parents=True, exist_ok=True)
    audit = folder / "audit.config"
    audit.unlink(missing_ok=True)
    if issue.audit:
        audit.write_text(issue.audit, "utf-8")
    output, log = lg.LogOutputSettings(), lg.LogSettings()
    output.outdir, output.copy_summary_to_stdout = str(folder), False
    log.log_output, log.enable_trace = output, False
    handle = lg.ConstructSUT(sut.issue, sut.flush)
    library = lg.ConstructQSL(issue.total_samples, issue.samples, _nothing, _nothing)
    try:
        lg.StartTestWithLogSettings(handle, library, settings, log, str(audit))
    finally:
        lg.DestroyQSL(library)
        lg.DestroySUT(handle)


def _nothing(_samples: Sequence[int]) -> None:
    """Samples are mapped into memory, so that loading them is nothing."""


def completer() -> Any:
    """The function that completes queries: ids, and their outputs along the first axis of an array.

    The addresses are counted from the first, as asking numpy for each takes longer than all else.
    """
    lg = wheel()
    respond, done = lg.QuerySampleResponse, lg.QuerySamplesComplete

    def complete(ids: Sequence[int], outputs: np.ndarray | None) -> None:
        if outputs is None:
            done([respond(number, 0, 0) for number in ids])
            return
        size = outputs.nbytes // len(ids)
        first = outputs.ctypes.data
        done([respond(number, first + size * place, size) for place, number in enumerate(ids)])

    return complete


def token_tellers() -> tuple[Any, Any]:
    """The functions that tell LoadGen the first token, and all tokens, of a query."""
    lg = wheel()
    respond = lg.QuerySampleResponse

    def first(number: int, token: np.ndarray) -> None:
        lg.FirstTokenComplete([respond(number, token.ctypes.data, token.nbytes)])

    def complete(number: int, tokens: np.ndarray) -> None:
        lg.QuerySamplesComplete([respond(number, tokens.ctypes.data, tokens.nbytes, len(tokens))])

    return first, complete


def read_detail(path: Path, most_bytes: int = 256 << 20) -> tuple[dict[str, Any], list[str]]:
    """The lines of a detail log: the first value of each key, and its errors.

    Raises:
        InputError: no such file, or one of more bytes.
    """
    if not path.is_file():
        raise InputError("is missing", where=str(path))
    if path.stat().st_size > most_bytes:
        raise InputError(
            f"has {path.stat().st_size:,} bytes", where=str(path), allowed=f"{most_bytes:,}"
        )
    values: dict[str, Any] = {}
    errors: list[str] = []
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if not line.startswith(":::MLLOG"):
                continue
            try:
                entry = json.loads(line[len(":::MLLOG") :])
            except ValueError:
                continue  # the last line of a run that was killed
            if not isinstance(entry, dict):
                continue
            key, value = entry.get("key"), entry.get("value")
            if isinstance(key, str):
                values.setdefault(key, value)
            metadata = entry.get("metadata")
            if isinstance(metadata, dict) and metadata.get("is_error"):
                errors.append(f"{key}: {value}")
    return values, errors
