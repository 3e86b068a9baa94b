"""Writes the submission tree of a round from the folders of runs."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from lydite.errors import InputError, unknown_name
from lydite.files import write_atomic
from lydite.mlperf import tree
from lydite.mlperf.loadgen import ACCURACY, DETAIL, SUMMARY
from lydite.records import dataclass

SIMULATED = "simulated.jsonl"
VERDICT = "verdict.json"
"""What a run says of itself, beside its logs."""
_MOST_VERDICT_BYTES = 1 << 24

_USER_CONF = {
    "min_duration_ms": ("min_duration", 1),
    "min_query_count": ("min_query_count", 1),
    "performance_sample_count_override": ("performance_sample_count_override", 1),
    "sample_concatenate_permutation": ("sample_concatenate_permutation", 1),
    "server_target_qps": ("target_qps", 1),
    "offline_expected_qps": ("target_qps", 1),
    "server_target_latency_ns": ("target_latency", 1e-6),
    "single_stream_expected_latency_ns": ("target_latency", 1e-6),
    "multi_stream_expected_latency_ns": ("target_latency", 1e-6),
    "use_token_latencies": ("use_token_latencies", 1),
    "ttft_latency": ("ttft_latency", 1),
    "tpot_latency": ("tpot_latency", 1),
}
"""Keys of user.conf, and how many of their unit one is, by LoadGen's attribute."""

_WEIGHTS = {
    "fp32": "none",
    "fp16": "cast to fp16",
    "bf16": "cast to bf16",
    "int8": "quantised after training, see the calibration document",
}
"""What happened to the weights, by the engine's precision."""


@dataclass(frozen=True)
class Submission:
    """Who submits what.

    Attributes:
        submitter: Name of the organisation.
        division: closed, open or network.
        system: Fields of the system's JSON; `system_name` names the folder.
        measurements: Fields of measurements.json; those of the weights are the run's own.
        calibration: Text of the calibration document; "" for none.
        user_conf: Text of user.conf; "" for what LoadGen was told in the run.
        mapping: Benchmark of each model of the submitter's own, by its name (open division).
    """

    submitter: str
    division: str
    system: Mapping[str, Any]
    measurements: Mapping[str, Any]
    calibration: str
    user_conf: str = ""
    mapping: Mapping[str, str] = field(default_factory=dict)


def write(submission: Submission, runs: Path, out: Path, force: bool = False) -> list[Path]:
    """Write the tree.

    Args:
        submission: Who submits what.
        runs: Folder of runs: BENCHMARK/SCENARIO with performance/run_1, accuracy and audits.
        out: Folder to write; it must not exist unless forced.
        force: Whether to write over an older tree.

    Returns:
        Folders of the scenarios.

    Raises:
        InputError: no runs, simulated ones, a folder that exists, or a mapping of a model that was
            not run.
    """
    found = sorted(
        path.parent.parent.parent for path in runs.glob(f"*/*/performance/run_1/{DETAIL}")
    )
    if next(runs.rglob(SIMULATED), None) is not None:
        raise InputError(
            "holds simulated results, which are no submission", where=str(runs), hint="run for real"
        )
    if not found:
        raise InputError("holds no run", where=str(runs), hint="lydite mlperf run --out")
    if out.exists() and not force:
        raise InputError("exists", where=str(out), hint="another folder, or --force")
    models = {path.parent.name for path in found}
    for model in submission.mapping:
        if model not in models:
            raise unknown_name("model", model, sorted(models))
    name = _folder_name(str(submission.system.get("system_name", "")) or "system")
    root = out / submission.division / _folder_name(submission.submitter)
    text = json.dumps(dict(submission.system), indent=1) + "\n"
    write_atomic(root / "systems" / f"{name}.json", text)
    readme = "Written by Lydite; the engines and settings of each run stand beside its logs.\n"
    write_atomic(root / "src" / "README.md", readme)
    if submission.calibration:
        write_atomic(root / "src" / "calibration.md", submission.calibration)
    if submission.mapping:
        text = json.dumps(dict(submission.mapping), indent=1) + "\n"
        write_atomic(root / tree.MAPPING, text)
    folders: list[Path] = []
    for scenario in found:
        folder = root / "results" / name / scenario.parent.name / scenario.name
        _scenario(scenario, folder, submission)
        folders.append(folder)
    return folders


def _folder_name(name: str) -> str:
    kept = "".join(c if c.isalnum() or c in "-_.+" else "_" for c in name).strip(".")
    if not kept:
        raise InputError(f"'{name}' names no folder", allowed="letters, digits, - and _")
    return kept


def _scenario(source: Path, folder: Path, submission: Submission) -> None:
    told = _told(source / tree.PERFORMANCE / VERDICT)
    write_atomic(folder / "user.conf", submission.user_conf or user_conf(source.name, told))
    write_atomic(folder / "README.md", "Run by `lydite mlperf run`; see src/README.md.\n")
    fields = {**submission.measurements, **_weights(told)}
    write_atomic(folder / "measurements.json", json.dumps(fields, indent=1) + "\n")
    _logs(source / tree.PERFORMANCE, folder / tree.PERFORMANCE)
    if (source / tree.ACCURACY / DETAIL).is_file():
        _logs(source / tree.ACCURACY, folder / tree.ACCURACY)
        _accuracy(source / tree.ACCURACY, folder / tree.ACCURACY)
    for test, names in tree.AUDIT_FILES.items():
        if (source / test).is_dir():
            for name in names:
                if (source / test / name).is_file():
                    _copy(source / test / name, folder / test / name)
            if (source / test / tree.PERFORMANCE / DETAIL).is_file():
                _logs(source / test / tree.PERFORMANCE, folder / test / tree.PERFORMANCE)


def _told(path: Path) -> Mapping[str, Any]:
    """What a run says of itself; nothing where it says nothing that can be read."""
    if not path.is_file() or path.stat().st_size > _MOST_VERDICT_BYTES:
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def user_conf(scenario: str, told: Mapping[str, Any]) -> str:
    """The user.conf that tells LoadGen what a run told it."""
    base = "Server" if scenario == "Interactive" else scenario
    values = told.get("loadgen")
    lines = ["# what LoadGen was told beyond the round's mlperf.conf"]
    for name, value in values.items() if isinstance(values, dict) else ():
        if name in _USER_CONF and isinstance(value, (int, float)):
            key, unit = _USER_CONF[name]
            lines.append(f"*.{base}.{key} = {value * unit:.12g}")
    return "\n".join(lines) + "\n"


def _weights(told: Mapping[str, Any]) -> dict[str, str]:
    """Fields of measurements.json that follow from the engine's precision."""
    engine = told.get("engine")
    precision = str(engine.get("precision", "")) if isinstance(engine, dict) else ""
    if precision not in _WEIGHTS:
        return {}
    return {"weight_data_types": precision, "weight_transformations": _WEIGHTS[precision]}


def _logs(source: Path, folder: Path) -> None:
    for name in (SUMMARY, DETAIL):
        if (source / name).is_file():
            _copy(source / name, folder / name)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _accuracy(source: Path, folder: Path) -> None:
    """The accuracy log cut to its two ends, and the hash of the whole beside the accuracy."""
    log = source / ACCURACY
    stated = source / "accuracy.txt"
    text = stated.read_text("utf-8") if stated.is_file() else ""
    if not log.is_file():
        return
    content = log.read_text("utf-8")
    digest = hashlib.sha256(content.encode()).hexdigest()
    write_atomic(folder / ACCURACY, truncated(content))
    lines = [line for line in text.splitlines() if not line.startswith("hash=")]
    write_atomic(folder / "accuracy.txt", "\n".join([*lines, f"hash={digest}"]) + "\n")


def truncated(content: str) -> str:
    """The first and the last characters of a log, as the official script keeps them."""
    if len(content.encode()) < tree.MOST_ACCURACY_BYTES:
        return content
    return f"{content[: tree.KEPT_CHARACTERS]}\n\n...\n\n{content[-tree.KEPT_CHARACTERS :]}"
