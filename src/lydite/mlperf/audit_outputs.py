"""Outputs that audits look at: those of TEST01 and TEST08 beside the accuracy run's.

Sources: mlcommons/inference, compliance/TEST06 to TEST09, run_verification.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lydite.errors import InputError
from lydite.mlperf.audit import AuditVerdict
from lydite.mlperf.round import AuditBound

EOS = 2
"""Token that ends an answer of the Llama models, on which TEST06 looks."""
_TOLERANCE = 1e-3
_EPSILON = 1e-7
_MOST_LOG_BYTES = 2 << 30


def compare_outputs(accuracy_log: Path, sampled_log: Path) -> AuditVerdict:
    """Compare the outputs that TEST01 sampled with those of the accuracy run.

    Raises:
        InputError: a log that is missing or no list of outputs.
    """
    reference = {entry["qsl_idx"]: entry["data"] for entry in read_outputs(accuracy_log)}
    sampled = read_outputs(sampled_log)
    missing = sum(entry["qsl_idx"] not in reference for entry in sampled)
    unequal = sum(
        entry["qsl_idx"] in reference and reference[entry["qsl_idx"]] != entry["data"]
        for entry in sampled
    )
    lines = (
        f"sampled outputs = {len(sampled)}",
        f"unequal = {unequal}",
        f"without a counterpart = {missing}",
    )
    return AuditVerdict("TEST01", bool(sampled) and not missing and not unequal, lines)


def read_outputs(path: Path) -> list[dict[str, Any]]:
    """Entries of a mlperf_log_accuracy.json: qsl_idx, seq_id and data as hexadecimal text.

    Raises:
        InputError: no such file, too large a one, or no list of outputs.
    """
    if not path.is_file():
        raise InputError("is missing", where=str(path), hint="lydite mlperf run --mode accuracy")
    if path.stat().st_size > _MOST_LOG_BYTES:
        raise InputError(f"has {path.stat().st_size:,} bytes", where=str(path))
    try:
        entries = json.loads(path.read_text("utf-8") or "[]")
        if not all({"qsl_idx", "data"} <= set(entry) for entry in entries):
            raise ValueError("an entry without qsl_idx and data")
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"is no accuracy log: {error}", where=str(path)) from None
    return entries


def check_tokens(log: Path, scenario: str, dtype: str = "int64") -> AuditVerdict:
    """TEST06: the first token was the answer's first, one end at most, and as many as counted.

    Args:
        log: `mlperf_log_accuracy.json` of the audit.
        scenario: Scenario; Offline tells no first tokens.
        dtype: Element type of the tokens.

    Raises:
        InputError: a log that is missing or no list of outputs.
    """
    entries = read_outputs(log)
    answers = [_numbers(entry, "data", dtype) for entry in entries]
    firsts = [_numbers(entry, "token_data", dtype) for entry in entries]
    is_told = scenario != "Offline"
    first = all(
        0 < len(one) <= len(whole) and np.array_equal(one, whole[: len(one)])
        for one, whole in zip(firsts, answers, strict=True)
    )
    ends = all(not (len(tokens) > 1 and (tokens[-2:] == EOS).all()) for tokens in answers)
    counted = all(
        len(tokens) > 0 and len(tokens) == entry.get("token_count")
        for tokens, entry in zip(answers, entries, strict=True)
    )
    passed = bool(entries) and ends and counted and (first or not is_told)
    lines = (
        f"First token check pass: {first if is_told else 'Skipped'}",
        f"EOS check pass: {ends}",
        f"Sample length check pass: {counted}",
        f"sampled outputs = {len(entries)}",
        f"TEST06 verification {'complete' if passed else 'failed'}",
    )
    return AuditVerdict("TEST06", passed, lines)


def check_lengths(log: Path, bound: AuditBound, samples: int, dtype: str) -> AuditVerdict:
    """TEST09: the mean number of output tokens is within the bounds, over all samples.

    Raises:
        InputError: a log that is missing or no list of outputs.
    """
    entries = read_outputs(log)
    lengths = [len(_numbers(entry, "data", dtype)) for entry in entries]
    mean = float(np.mean(lengths)) if lengths else 0.0
    covered = len({entry["qsl_idx"] for entry in entries})
    least, most = bound.least or 0.0, bound.most or float("inf")
    passed = least <= mean <= most and covered >= samples
    lines = (
        f"Total samples: {len(entries)}",
        f"different samples: {covered}, {samples} asked for",
        f"Mean output tokens: {mean:.2f}",
        f"Min threshold: {least}",
        f"Max threshold: {most}",
        f"Min check pass: {mean >= least}",
        f"Max check pass: {mean <= most}",
    )
    return AuditVerdict("TEST09", passed, lines)


def check_score(score: float, samples: int, wanted: int, bound: AuditBound) -> AuditVerdict:
    """TEST07: the accuracy of performance mode reaches the threshold, over all samples."""
    least = bound.least or 0.0
    lines = (
        f"different samples: {samples}, {wanted} asked for",
        f"Accuracy score: {score}",
        f"Accuracy threshold: {least}",
        f"Accuracy check pass: {score >= least}",
    )
    return AuditVerdict("TEST07", score >= least and samples >= wanted, lines)


def compare_entropies(accuracy_log: Path, sampled_log: Path) -> AuditVerdict:
    """TEST08: predictions of performance mode have the accuracy run's normalised entropy.

    A sample of the accuracy run holds a time step, a query, then as many predictions, labels and
    weights as its last number says; one of the performance run a time step, a query, predictions.

    Raises:
        InputError: a log that is missing or no list of such outputs.
    """
    known: dict[tuple[int, int], tuple[float, np.ndarray, np.ndarray]] = {}
    for entry in read_outputs(accuracy_log):
        data = _numbers(entry, "data", "float32")
        count = int(data[-1]) if len(data) else 0
        if not len(data) or len(data) != 3 + 3 * count:
            raise InputError("holds no predictions with labels", where=str(accuracy_log))
        said, labels, weights = data[2:-1].reshape(3, count)
        known[int(data[0]), int(data[1])] = (_entropy(said, labels, weights), labels, weights)
    sampled = [_numbers(entry, "data", "float32") for entry in read_outputs(sampled_log)]
    keys = [(int(data[0]), int(data[1])) if len(data) > 2 else (-1, -1) for data in sampled]
    matched = [(key, data) for key, data in zip(keys, sampled, strict=True) if key in known]
    unequal = 0
    for key, data in matched:
        reference, labels, weights = known[key]
        fits = len(data) - 2 == len(labels)
        found = _entropy(data[2:], labels, weights) if fits else float("nan")
        unequal += not abs(found - reference) <= _TOLERANCE * abs(reference)
    lines = (
        f"num_acc_log_entries = {len(known)}",
        f"num_perf_log_entries = {len(sampled)}",
        f"num_matched = {len(matched)}",
        f"num_unmatched = {len(sampled) - len(matched)}",
        f"num_ne_mismatch = {unequal}",
        f"tolerance = {_TOLERANCE:.2%}",
    )
    passed = bool(matched) and len(matched) == len(sampled) and not unequal
    return AuditVerdict("TEST08", passed, lines)


def _entropy(said: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Cross entropy over the entropy of always saying the mean label; 0 without weight."""
    said, labels = (np.clip(a.astype(np.float64), _EPSILON, 1 - _EPSILON) for a in (said, labels))
    total = float(np.sum(weights))
    if total == 0:
        return 0.0
    cross = -np.sum(weights * (labels * np.log(said) + (1 - labels) * np.log(1 - said)))
    mean = float(np.clip(np.sum(weights * labels) / total, _EPSILON, 1 - _EPSILON))
    usual = -mean * np.log(mean) - (1 - mean) * np.log(1 - mean)
    return float(cross / (usual * total))


def _numbers(entry: dict[str, Any], key: str, dtype: str) -> np.ndarray:
    """Numbers of a field that is hexadecimal text; none where it is absent or of another size."""
    try:
        return np.frombuffer(bytes.fromhex(entry.get(key, "")), dtype)
    except (TypeError, ValueError):
        return np.zeros(0, dtype)


def outputs_of(entries: Sequence[dict[str, Any]], dtype: str) -> dict[int, np.ndarray]:
    """Numbers of each sample's last output, by its index."""
    return {int(entry["qsl_idx"]): _numbers(entry, "data", dtype) for entry in entries}
