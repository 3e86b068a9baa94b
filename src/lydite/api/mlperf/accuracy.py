"""The accuracy of a run: which metric, against which reference, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from typing_extensions import TypedDict

from lydite.api.mlperf.benchmark import Target
from lydite.api.mlperf.engines import engine_of, in_precision
from lydite.api.mlperf.options import RunOptions
from lydite.errors import InputError
from lydite.graph import TensorType
from lydite.graph.dtypes import numpy_dtype
from lydite.mlperf.accuracy import (
    FACTORS,
    FIDELITY,
    Asked,
    Quality,
    fidelity_of,
    keep,
    known,
    read_log,
    write_text,
)
from lydite.mlperf.dataset import DataSet
from lydite.mlperf.engine import EngineSpec, answers, output_type
from lydite.mlperf.loadgen import ACCURACY
from lydite.mlperf.metrics import (
    ROUND_METRICS,
    Metric,
    metric_named,
    metric_of_floors,
    metric_of_labels,
)
from lydite.mlperf.settings import Settings
from lydite.mlperf.verdict import Rule, Verdict

if TYPE_CHECKING:
    from lydite.api.session import Session

UNKNOWN = "none: not measured with this engine on this data"


class QualityDocument(TypedDict):
    """Accuracy, or fidelity to the fp32 engine; shares between 0 and 1."""

    kind: str
    metric: str
    value: float
    samples: int
    reference: float | None
    reference_source: str
    floor: float | None
    passed: bool | None
    passed_99: bool | None
    passed_999: bool | None
    others: dict[str, float]


def document_of(quality: Quality | None) -> QualityDocument | None:
    """What is known, as part of a result."""
    if quality is None:
        return None
    return {
        "kind": quality.kind,
        "metric": quality.metric,
        "value": quality.value,
        "samples": quality.samples,
        "reference": quality.reference,
        "reference_source": quality.source,
        "floor": quality.floor,
        "passed": quality.passed,
        "passed_99": quality.meets(0.99),
        "passed_999": quality.meets(0.999),
        "others": dict(quality.others),
    }


def metric_of(target: Target, data: DataSet) -> Metric | None:
    """The metric by which labels are scored; None without labels.

    Raises:
        InputError: a benchmark whose metric is not computed here, or labels of an unknown form.
    """
    if data.labels is None:
        return None
    adapter = target.adapter
    if adapter is not None and adapter.score is not None:
        score = adapter.score

        def scored(outputs: Sequence[np.ndarray], labels: np.ndarray) -> dict[str, float]:
            return {"score": float(score(outputs, list(labels)))}

        return Metric("score", f"score of {adapter.name}", "first", scored)
    if data.metric:
        return metric_named(data.metric)
    if target.row is not None and target.row.all_floors:
        return metric_of_floors([floor.metric for floor in target.row.all_floors], target.name)
    return metric_of_labels(data.labels)


def answer_of(metric: Metric | None, type_: TensorType) -> str:
    """What of the output the log holds: the largest element's index where that is enough."""
    size = int(np.prod([int(dim) for dim in (type_.shape or ())[1:]]))
    is_said = type_.dtype.startswith(("int", "uint", "bool")) or size == 1
    return "first" if metric is None or is_said else metric.answer


def quality_of(
    session: Session,
    target: Target,
    settings: Settings,
    spec: EngineSpec,
    options: RunOptions,
    device: str,
    data: DataSet,
    logs: Path,
) -> Quality:
    """Accuracy or fidelity of an accuracy run, from its log; kept for later runs of the engine.

    Raises:
        InputError: the log is short or damaged.
    """
    metric, type_ = metric_of(target, data), output_type(spec)
    outputs = read_log(logs / ACCURACY, data.samples, *_element(type_, answer_of(metric, type_)))
    base = spec
    if spec.precision != "fp32" and (metric is None or _needs_reference(target)):
        base, _ = engine_of(session, target, in_precision(settings, "fp32"), device, options)
    if metric is None:
        found = _fidelity(outputs, base, data, settings["threads"])
    else:
        found = _scored(metric, outputs, data)
        found = _judged(found, metric, target, options, spec, base, data, settings["threads"])
    found = replace(found, engine=spec.digest, data=data.digest)
    keep(found)
    write_text(logs, found)
    return found


def quality_of_tokens(
    target: Target, engine: str, data: DataSet, logs: Path, dtype: str
) -> Quality:
    """Accuracy of what an adapter said in tokens; kept for later runs on the same data.

    Raises:
        InputError: the log is short or damaged, or there are no labels.
    """
    metric = metric_of(target, data)
    if metric is None:
        raise InputError("tokens without labels cannot be judged", where=target.name)
    logged = read_log(logs / ACCURACY, data.samples, np.dtype(dtype))
    found = _scored(metric, _said(target, metric, logged), data)
    if metric.name == "rouge":
        tokens = {"tokens_per_sample": float(np.mean([each.size for each in logged]))}
        found = replace(found, others={**found.others, **tokens})
    if target.row is not None and metric.name != "score":
        found = by_floors(found, target)
    else:
        floor = None if target.adapter is None else target.adapter.target
        found = replace(found, floor=floor, source="the adapter's target")
    found = replace(found, engine=engine, data=data.digest)
    keep(found)
    write_text(logs, found)
    return found


def _said(target: Target, metric: Metric, logged: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What an adapter's tokens say: the bytes of their text where it has one.

    Raises:
        InputError: the metric is one of texts, and the adapter tells none.
    """
    text = None if target.adapter is None else target.adapter.text
    if text is not None:
        texts = (text(np.atleast_1d(tokens).tolist()) for tokens in logged)
        return [np.frombuffer(each.encode(), np.uint8) for each in texts]
    if metric.name in ("rouge", "squad"):
        raise InputError(
            f"{metric.name} compares texts, and the system says tokens",
            where=target.name,
            allowed="an adapter whose text turns tokens into a text",
        )
    return [np.atleast_1d(tokens) for tokens in logged]


def _element(type_: TensorType, answer: str) -> tuple[np.dtype, tuple[int, ...]]:
    """Element type and shape of what the log holds for a sample."""
    if answer == "largest":
        return np.dtype(np.int64), (1,)
    dtype = numpy_dtype(type_.dtype)
    plain = dtype if dtype.kind in "iub" else np.dtype(np.float32)
    return plain, tuple(int(dim) for dim in (type_.shape or ())[1:])


def _needs_reference(target: Target) -> bool:
    """Whether the fp32 engine is what the accuracy is compared with."""
    has_target = target.adapter is not None and target.adapter.target is not None
    return target.row is None and not has_target


def _fidelity(
    outputs: Sequence[np.ndarray], base: EngineSpec, data: DataSet, threads: int
) -> Quality:
    agreed, others = fidelity_of(outputs, answers(base, data.inputs, threads))
    source = f"the fp32 engine {base.digest}"
    return Quality(FIDELITY, "agreement", agreed, data.samples, source=source, others=others)


def _scored(metric: Metric, outputs: Sequence[np.ndarray], data: DataSet) -> Quality:
    assert data.labels is not None
    (name, value), *more = metric.score(outputs, data.labels).items()
    return Quality("accuracy", name, value, data.samples, others=dict(more))


def _judged(
    found: Quality,
    metric: Metric,
    target: Target,
    options: RunOptions,
    spec: EngineSpec,
    base: EngineSpec,
    data: DataSet,
    threads: int,
) -> Quality:
    """The accuracy with its reference: the round's, the adapter's, or the fp32 engine's own."""
    if target.row is not None:
        return by_floors(found, target)
    if target.adapter is not None and target.adapter.target is not None:
        return replace(found, floor=target.adapter.target, source="the adapter's target")
    factor = FACTORS[1 if "high_accuracy" in options.config_ver.split(",") else 0]
    if base.digest == spec.digest:
        reference, source = found.value, "this fp32 engine itself"
    else:
        reference = _own_accuracy(found, metric, base, data, threads)
        source = f"the fp32 engine {base.digest} on the same data"
    return replace(
        found, reference=reference, source=source, floor=factor * reference, factor=factor
    )


def by_floors(found: Quality, target: Target) -> Quality:
    """The accuracy with what the round asks of each of its figures.

    Raises:
        InputError: a figure that is asked for is not known.
    """
    assert target.row is not None
    figures = {found.metric: found.value, **found.others}
    asked: dict[str, Asked] = {}
    source, factor = "", 0.0
    for floor in target.row.all_floors:
        name = ROUND_METRICS[floor.metric][1]
        if name not in figures:
            raise InputError(
                f"{floor.metric} is not known: {', '.join(figures)} are",
                where=target.name,
                hint=_ABSENT.get(name, "score it in an adapter (--adapter)"),
            )
        scale = 100 if floor.unit == "%" else 1
        most = None if floor.high is None else floor.high / scale
        reference = None if floor.reference is None else floor.reference / scale
        asked[name] = Asked(floor.least / scale, most, reference)
        source, factor = source or floor.source, factor or floor.factor
    own = asked.pop(found.metric, None)
    if own is None:
        return replace(found, source=f"{target.chosen.name} asks for nothing")
    return replace(
        found,
        reference=own.reference,
        source=f"{target.chosen.name}, {source}",
        floor=own.least,
        factor=factor,
        asked=asked,
    )


_ABSENT = {
    "rougeLsum": "sentences are found by nltk: type: python -m nltk.downloader punkt_tab",
    "tokens_per_sample": "an adapter whose generate says tokens, and whose text decodes them",
}
"""What to do about a figure that is not known."""


def _own_accuracy(
    found: Quality, metric: Metric, base: EngineSpec, data: DataSet, threads: int
) -> float:
    """Accuracy of the fp32 engine on the same data, measured once and kept."""
    own = known(base.digest, data.digest)
    if own is None or own.metric != found.metric or metric.name == "score":
        said = answers(base, data.inputs, threads, answer_of(metric, output_type(base)))
        own = _scored(metric, said, data)
        own = replace(
            own,
            reference=own.value,
            source="this fp32 engine itself",
            floor=FACTORS[0] * own.value,
            factor=FACTORS[0],
            engine=base.digest,
            data=data.digest,
        )
        keep(own)
    return own.value


def verdict_of(quality: Quality, target: Target) -> Verdict:
    """The verdict on an accuracy run; a fidelity has no limit."""
    rules = [Rule("samples answered", True, f"{quality.samples:,}", f"{quality.samples:,}")]
    if quality.floor is not None:
        step = (
            f"lydite mlperf calibrate {target.model} proposes nodes to keep in fp32; or a higher "
            "--precision"
        )
        limit = f"{quality.floor:.3%}"
        if quality.factor:
            limit += f" ({quality.factor * 100:g} % of the reference)"
        rules.append(
            Rule(
                "accuracy",
                bool(quality.passed),
                f"{quality.value:.3%}",
                limit,
                "" if quality.passed else step,
            )
        )
    for name, asked in quality.asked.items():
        most = "" if asked.most is None else f" and at most {_figure(name, asked.most)}"
        value, limit = quality.others[name], f"{_figure(name, asked.least)}{most}"
        rules.append(Rule(name, asked.passed(value), _figure(name, value), limit))
    name = quality.metric if quality.kind != FIDELITY else "fidelity (agreement)"
    return Verdict(tuple(rules), name, quality.value * 100, "%", {})


def _figure(name: str, value: float) -> str:
    """A figure as it is shown: a share in per cent, a count as it is."""
    return f"{value:,.1f}" if name in ("gen_len", "tokens_per_sample") else f"{value:.3%}"
