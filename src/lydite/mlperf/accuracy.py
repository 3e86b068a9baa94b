"""Accuracy of an engine on a data set, its verdict, and fidelity where there are no labels.

An accuracy is only ever said of labelled samples. Without labels the engine is compared with the
fp32 engine of the same model on the same samples, and what comes out is called fidelity.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, field
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path

from lydite.errors import InputError
from lydite.files import write_atomic
from lydite.mlperf.dataset import checksum
from lydite.mlperf.loadgen import ACCURACY
from lydite.records import dataclass

FIDELITY = "fidelity"
TEXT, RECORD = "accuracy.txt", "accuracy.json"
FACTORS = (0.99, 0.999)
"""Shares of the reference's accuracy that MLPerf asks for."""


@dataclass(frozen=True)
class Asked:
    """What is asked of a further figure.

    Attributes:
        least: Least value that passes.
        most: Greatest value that passes; None for any.
        reference: The reference's value; None where none is known.
    """

    least: float
    most: float | None = None
    reference: float | None = None

    def passed(self, value: float) -> bool:
        """Whether a value passes."""
        return value >= self.least - 1e-12 and (self.most is None or value <= self.most)


@dataclass(frozen=True)
class Quality:
    """What is known of an engine's answers on a data set.

    Attributes:
        kind: "accuracy", or "fidelity" to the fp32 engine where there are no labels.
        metric: Name of the metric; of a fidelity, "agreement" of the largest elements.
        value: Share between 0 and 1.
        samples: Number of samples.
        reference: The reference's share; None where none is known, and for a fidelity.
        source: Where the reference comes from.
        floor: Least share that passes; None where nothing is asked for.
        factor: Share of the reference that the floor is; 0 where it is stated by itself.
        others: Further figures by name.
        asked: What is asked of those of them that are judged as well.
        engine: Digest of the engine.
        data: Digest of the data set.
    """

    kind: str
    metric: str
    value: float
    samples: int
    reference: float | None = None
    source: str = ""
    floor: float | None = None
    factor: float = 0.0
    others: Mapping[str, float] = field(default_factory=dict)
    asked: Mapping[str, Asked] = field(default_factory=dict)
    engine: str = ""
    data: str = ""

    @property
    def share(self) -> float:
        """Value as a share of the reference; NaN without one."""
        if not self.reference:
            return float("nan")
        return self.value / self.reference

    @property
    def passed(self) -> bool | None:
        """Whether all figures meet what is asked of them; None where nothing is."""
        if self.floor is None:
            return None
        further = (asked.passed(self.others[name]) for name, asked in self.asked.items())
        return self.value >= self.floor - 1e-12 and all(further)

    def meets(self, factor: float) -> bool | None:
        """Whether each figure is at least a share of its reference; None without a reference."""
        if self.reference is None:
            return None
        pairs = [(self.value, self.reference)]
        for name, asked in self.asked.items():
            if asked.reference is not None:
                pairs.append((self.others[name], asked.reference))
        return all(value >= factor * reference - 1e-12 for value, reference in pairs)

    @property
    def text(self) -> str:
        """The verdict in a line."""
        more = "".join(f", {name} {value:.6g}" for name, value in self.others.items())
        failed = [name for name, asked in self.asked.items() if not asked.passed(self.others[name])]
        if self.kind == FIDELITY:
            return (
                f"none: no labels; fidelity to {self.source}: {self.metric} "
                f"{self.value:.2%} of {self.samples:,} samples{more}"
            )
        said = f"{self.metric} {self.value:.3%} of {self.samples:,} samples{more}"
        if self.reference is not None:
            words = [
                f"{'passes' if self.meets(factor) else 'FAILS'} {factor * 100:g} %"
                for factor in FACTORS
            ]
            said += (
                f"; {self.share:.3%} of the reference's {self.reference:.3%} ({self.source}): "
                f"{', '.join(words)}"
            )
        elif self.floor is not None:
            word = "passes" if self.passed else "FAILS"
            said += f": {word} {self.floor:.3%} ({self.source})"
        return said + (f"; FAILS in {', '.join(failed)}" if failed else "")


def read_log(
    path: Path, count: int, dtype: np.dtype, shape: Sequence[int] = ()
) -> list[np.ndarray]:
    """Outputs of an accuracy run, by sample.

    Args:
        path: `mlperf_log_accuracy.json`.
        count: Number of samples of the data set, each of which has to be there.
        dtype: Element type of the output.
        shape: Shape of a sample's output; outputs of another size are flat.

    Raises:
        InputError: the file is missing or damaged, or samples are.
    """
    if not path.is_file():
        raise InputError("is missing", where=str(path), hint="lydite mlperf run --mode accuracy")
    outputs: dict[int, np.ndarray] = {}
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            text = line.strip().strip(",")
            if text in ("[", "]", "", "[]"):
                continue
            try:
                entry = json.loads(text.removeprefix("[").removesuffix("]"))
                flat = np.frombuffer(bytes.fromhex(entry["data"]), dtype)
                index = int(entry["qsl_idx"])
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise InputError(
                    f"is no log of accuracy: {error}", where=f"{path}:{number}"
                ) from None
            fits = flat.size == math.prod(shape)
            outputs[index] = flat.reshape(tuple(shape)) if fits else flat
    missing = [index for index in range(count) if index not in outputs]
    if missing:
        raise InputError(
            f"holds {count - len(missing):,} of {count:,} samples; the first that is missing is "
            f"{missing[0]}",
            where=str(path),
            hint="the run did not end; run it again",
        )
    return [outputs[index] for index in range(count)]


def fidelity_of(
    outputs: Sequence[np.ndarray], references: Sequence[np.ndarray]
) -> tuple[float, dict[str, float]]:
    """Agreement of the largest elements, and cosines with the reference's outputs.

    A sample agrees if the largest element along the last axis is the same everywhere.

    Returns:
        Share of the samples that agree, and the mean and the least cosine.
    """
    agreed: list[bool] = []
    cosines: list[float] = []
    for output, reference in zip(outputs, references, strict=True):
        one, other = np.atleast_1d(output), np.atleast_1d(reference)
        agreed.append(bool(np.array_equal(one.argmax(axis=-1), other.argmax(axis=-1))))
        cosines.append(cosine(one, other))
    return float(np.mean(agreed)), {
        "cosine": float(np.mean(cosines)),
        "least_cosine": float(np.min(cosines)),
    }


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Cosine of two arrays; 1 of two zeros, 0 of one zero or of what is not finite."""
    first, second = one.ravel().astype(np.float64), other.ravel().astype(np.float64)
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    if norm == 0:
        return float(not first.any() and not second.any())
    found = float(first @ second) / norm
    return found if math.isfinite(found) else 0.0


# what is known, by engine and data set


def _path(engine: str, data: str) -> Path:
    name = hashlib.sha256(f"{engine} {data}".encode()).hexdigest()[:24]
    return user_cache_path("lydite") / "accuracy" / f"{name}.json"


def keep(quality: Quality) -> None:
    """Remember a verdict for later runs of the same engine on the same data."""
    write_atomic(_path(quality.engine, quality.data), json.dumps(asdict(quality), indent=1) + "\n")


def known(engine: str, data: str) -> Quality | None:
    """The verdict on an engine on a data set, if there was one."""
    try:
        told = json.loads(_path(engine, data).read_text("utf-8"))
        asked = {name: Asked(**fields) for name, fields in told.pop("asked", {}).items()}
        quality = Quality(**told, asked=asked)
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return quality if (quality.engine, quality.data) == (engine, data) else None


def write_text(folder: Path, quality: Quality) -> None:
    """Write accuracy.txt as the checker reads it, and all figures as accuracy.json.

    The last line is the checksum of the whole log, which a submission shortens.
    """
    hash_line = f"hash={checksum(folder / ACCURACY)}"
    first = _FORMS.get(quality.metric, _plain)(quality)
    if quality.kind == FIDELITY:
        first = f"fidelity={quality.value:.3%}, samples={quality.samples}"
    write_atomic(folder / TEXT, f"{first}\n{hash_line}\n")
    write_atomic(folder / RECORD, json.dumps(asdict(quality), indent=1) + "\n")


def _plain(quality: Quality) -> str:
    good = round(quality.value * quality.samples)
    return f"accuracy={quality.value:.3%}, good={good}, total={quality.samples}"


def _squad(quality: Quality) -> str:
    scores = {"exact_match": quality.others["exact_match"] * 100, "f1": quality.value * 100}
    return json.dumps(scores)


def _rouge(quality: Quality) -> str:
    """As Python writes a table, because the checker looks for single quotes."""
    figures = {quality.metric: quality.value, **quality.others}
    shares = {k: round(v * 100, 4) for k, v in figures.items() if k.startswith("rouge")}
    counts = {k: round(v, 1) for k, v in figures.items() if k not in shares}
    return str({**shares, **counts, "gen_num": quality.samples})


_FORMS: dict[str, Callable[[Quality], str]] = {
    "f1": _squad,
    "mAP": lambda quality: f"mAP={quality.value:.3%}",
    "rouge1": _rouge,
}
"""How accuracy.txt states a metric, as the reference scripts of MLPerf print it."""
