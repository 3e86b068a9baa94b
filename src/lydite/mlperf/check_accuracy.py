"""Rules of accuracy runs: the logs, the accuracy that is stated, and the hash of the full log."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from lydite.errors import InputError
from lydite.mlperf import tree
from lydite.mlperf.fault import Fault
from lydite.mlperf.loadgen import ACCURACY, DETAIL, SUMMARY, read_detail
from lydite.mlperf.log_rules import HARMLESS, RERUN, number
from lydite.mlperf.round import Benchmark

_ACCURACY_TEXT = {
    "acc": r"^(?:accuracy=|\{[\"']accuracy[\"']:\s*)([\d.]+)",
    "mAP": r"(?:^mAP=|[\"']Total[\"']:\s*)([\d.]+)",
    "mAP_3D": r"(?:^mAP=|[\"']Total[\"']:\s*)([\d.]+)",
    "F1": r"[\"']f1[\"']:\s*([\d.]+)",
    "F1_HIERARCHICAL": r"[\"']f1[\"']:\s*([\d.]+)",
    "DICE": r"mean\s*=\s*([\d.]+)",
    "AUC": r"(?:^AUC=|lifetime_gauc/rating:\s*)([\d.]+)",
    "NE": r"(?:^NE=|lifetime_ne/rating:\s*)([\d.]+)",
    "ROUGE1": r"[\"']rouge1[\"']:\s*[\"']?([\d.]+)",
    "ROUGE2": r"[\"']rouge2[\"']:\s*[\"']?([\d.]+)",
    "ROUGEL": r"[\"']rougeL[\"']:\s*[\"']?([\d.]+)",
    "ROUGELSUM": r"[\"']rougeLsum[\"']:\s*[\"']?([\d.]+)",
    "GEN_LEN": r"[\"']gen_len[\"']:\s*([\d.]+)",
    "TOKENS_PER_SAMPLE": r"[\"']tokens_per_sample[\"']:\s*([\d.]+)",
    "gsm8k": r"[\"']gsm8k[\"']:\s*([\d.]+)",
    "mbxp": r"[\"']mbxp[\"']:\s*([\d.]+)",
    "exact_match": r"exact_match[\"']?\s*[:=]\s*([\d.]+)",
    "accuracy": r"accuracy=([\d.]+)",
    "vbench": r"[\"']vbench_score[\"']:\s*([\d.]+)",
    "recall": r"recall[\"']?\s*[:=]\s*([\d.]+)",
    "CLIP": r"[\"']?CLIP_SCORE[\"']?:\s*[\"']?([\d.]+)",
    "FID": r"[\"']?FID_SCORE[\"']?:\s*[\"']?([\d.]+)",
}
"""How accuracy.txt states each metric."""


def check_accuracy(folder: Path, row: Benchmark, division: str) -> Iterator[Fault]:
    """An accuracy run: its logs, the accuracy that it states, and the hash of the full log."""
    detail = folder / DETAIL
    try:
        values, errors = read_detail(detail)
    except InputError as error:
        yield Fault(detail, error.what, "the log of an accuracy run", RERUN)
    else:
        mode = str(values.get("effective_test_mode", "")) or "nothing"
        if mode != "AccuracyOnly":
            yield Fault(detail, f"test mode {mode}", "AccuracyOnly", RERUN)
        for error in errors:
            if not any(harmless in error for harmless in HARMLESS):
                yield Fault(detail, f"LoadGen's error: {error[:200]}", "none", RERUN)
        total = values.get(
            "effective_accuracy_sample_count", values.get("qsl_reported_total_count")
        )
        if isinstance(total, int) and total != row.total:  # the open division has the same data
            yield Fault(
                detail, f"{total:,} samples", f"all {row.total:,}", "use the whole data set"
            )
    if not (folder / SUMMARY).is_file():
        yield Fault(folder / SUMMARY, "missing", "LoadGen's summary", RERUN)
    log = folder / ACCURACY
    if not log.is_file() or not log.stat().st_size:
        yield Fault(log, "missing or empty", "the accuracy log", RERUN)
    elif log.stat().st_size > tree.MOST_ACCURACY_BYTES:
        size = f"{log.stat().st_size:,} bytes"
        yield Fault(log, size, "at most 10,240", "lydite mlperf submission truncates it")
    yield from _stated(folder / "accuracy.txt", log, row, division)


def _stated(path: Path, log: Path, row: Benchmark, division: str) -> Iterator[Fault]:
    if not path.is_file():
        yield Fault(path, "missing", "the accuracy", "lydite mlperf run --mode accuracy")
        return
    text = path.read_text("utf-8", errors="replace")[: 1 << 20]
    for floor in row.all_floors if division != "open" else ():
        pattern = _ACCURACY_TEXT.get(floor.metric)
        match = re.search(pattern, text, re.MULTILINE) if pattern else None
        if match is None:
            yield Fault(path, f"no {floor.metric}", f"{floor.metric} of the run", RERUN)
            continue
        value = number(match[1])
        if value is None or not floor.passed(value):
            most = "" if floor.high is None else f" and at most {floor.high:g}"
            yield Fault(
                path,
                f"{floor.metric} {match[1]}",
                f"at least {floor.least:g}{most} ({floor.source})",
                "a more exact engine: lydite mlperf calibrate",
            )
    match = re.search(r"hash=([0-9a-f]{64})", text)
    if match is None:
        yield Fault(path, "no hash", "the SHA-256 of the full log", "lydite mlperf submission")
    elif log.is_file() and log.stat().st_size < tree.MOST_ACCURACY_BYTES:
        content = log.read_bytes()
        whole = hashlib.sha256(content).hexdigest()
        if not _shortened(content) and whole != match[1]:
            yield Fault(path, "the hash of another file", whole, "use the hash of this log")


def _shortened(content: bytes) -> bool:
    """Whether a log holds only its beginning and its end."""
    return not content.strip().endswith(b"]") or b"..." in content or not _is_list(content)


def _is_list(content: bytes) -> bool:
    try:
        return isinstance(json.loads(content), list)
    except (ValueError, RecursionError):
        return False
