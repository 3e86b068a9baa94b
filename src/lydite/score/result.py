"""A result: raw samples, and what follows from them; written whole, read strictly, verified.

A result holds its inputs (set, baseline, environment) and its rows of raw samples, each with a
digest, and the figures and scores that follow from them. `verify` repeats all of them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lydite.errors import InputError
from lydite.records import dataclass
from lydite.results import finite
from lydite.score.baseline import Baseline
from lydite.score.figures import figures_of
from lydite.score.journal import Measured
from lydite.score.scoring import scores

_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Facts:
    """What is known of a model without running it.

    Attributes:
        title: What it is.
        unit: Unit of its latency.
        is_board: Whether it ran in the precision that its set asks for, at batch one.
        parameters: Number of parameters; None of a compiled model.
        flops: FLOPs of an iteration; None where an operator is unknown.
        bound_s: Least seconds of an iteration by the device's roofline; None where unknown.
    """

    title: str
    unit: str
    is_board: bool
    parameters: int | None
    flops: float | None
    bound_s: float | None = None


def row_of(item: Measured, facts: Facts) -> dict[str, Any]:
    """The raw row of a measured model."""
    task = item.task
    return {
        "key": task.key,
        "model": task.name,
        "title": facts.title,
        "unit": facts.unit,
        "units": task.units,
        "precision": task.precision,
        "batch": task.batch,
        "is_board": facts.is_board,
        "networks": [part.model for part in task.parts],
        "parameters": facts.parameters,
        "flops": facts.flops,
        "bound_s": facts.bound_s,
        "backend": task.backend,
        "threads": task.threads,
        "inputs": "copied" if task.copied else "resident",
        "seed": task.seed,
        "status": item.status,
        "reason": item.reason,
        "loaded_ns": [item.loaded.get("begin_ns"), item.loaded.get("end_ns")],
        "load_s": item.loaded.get("load_s"),
        "memory_bytes": item.loaded.get("memory_bytes"),
        "launch_share": item.loaded.get("launch_share"),
        "fidelity": item.loaded.get("fidelity"),
        "warm": item.warm,
        "turns": item.turns,
    }


def document_of(
    chosen: Mapping[str, Any],
    environment: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    baseline: Baseline | None,
    price_usd: float | None = None,
    kind: str = "measured",
) -> dict[str, Any]:
    """A whole result from its raw parts.

    Args:
        chosen: Set of models: name, digest, weights and amounts.
        environment: Device, versions and state of the machine.
        rows: Raw rows.
        baseline: What scores 1000; None for a result without scores.
        price_usd: Price of the device in dollars.
        kind: "measured".
    """
    document: dict[str, Any] = finite(
        {
            "kind": kind,
            "set": chosen,
            "baseline": baseline.to_document() if baseline else None,
            "price_usd": price_usd,
            "environment": environment,
            "rows": list(rows),
        }
    )
    document |= finite(derived(document))
    document["digests"] = digests_of(document)
    return document


def derived(document: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that follows from the raw parts of a result."""
    rows = document["rows"]
    figures = [figures_of(row) for row in rows]
    baseline = document["baseline"]
    boards: dict[str, Any] = {}
    if baseline is not None:
        known = Baseline.from_document(baseline)
        weights = document["set"]["weights"]
        for kind in ("equal", "best"):
            boards[kind] = scores(rows, figures, known, weights, document["price_usd"], kind)
    complete = all(row["status"] == "ok" for row in rows)
    return {
        "status": "complete" if complete else "partial",
        "figures": figures,
        "scores": boards,
    }


def digests_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """SHA-256 of each raw part, and of all of them together."""
    parts: dict[str, Any] = {
        name: _digest(document[name]) for name in ("set", "baseline", "price_usd", "environment")
    }
    parts["rows"] = {row["key"]: _digest(row) for row in document["rows"]}
    return {**parts, "all": _digest(parts)}


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Fault:
    """What is wrong in a result.

    Attributes:
        where: Path of the figure, such as "scores.equal.device.latency.score".
        stated: What the file says.
        expected: What follows from the raw samples, or the digest that was written.
        what: What it means.
    """

    where: str
    stated: str
    expected: str
    what: str


def faults_of(document: Mapping[str, Any]) -> list[Fault]:
    """Everything in a result that its raw samples or digests contradict.

    Raises:
        InputError: the raw parts are too damaged to compute anything from.
    """
    faults = list(_digest_faults(document))
    try:
        wanted = finite(derived(document))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, ZeroDivisionError) as e:
        raise InputError(
            f"the raw samples cannot be computed from: {type(e).__name__}: {e}",
            hint="the file is damaged; measure again",
        ) from None
    for key, value in wanted.items():
        faults += _differences(key, document[key], value)
    return faults


def _digest_faults(document: Mapping[str, Any]) -> Iterator[Fault]:
    stated, found = document["digests"], digests_of(document)
    for name, digest in found.items():
        if name == "rows":
            said = stated.get("rows", {}) if isinstance(stated, Mapping) else {}
            for key in sorted({*digest, *said}):
                if digest.get(key) != said.get(key):
                    where = f"rows of {key}"
                    yield _edited(where, said.get(key), digest.get(key))
        elif not isinstance(stated, Mapping) or stated.get(name) != digest:
            if name == "all":
                continue
            yield _edited(name, dict(stated).get(name) if stated else None, digest)


def _edited(where: str, stated: Any, found: Any) -> Fault:
    return Fault(
        where, str(found)[:16], str(stated)[:16], "was changed after it was written (digest)"
    )


def _differences(where: str, stated: Any, wanted: Any) -> list[Fault]:
    """Values that differ, by path."""
    if isinstance(wanted, Mapping):
        if not isinstance(stated, Mapping):
            return [_differs(where, stated, wanted)]
        faults: list[Fault] = []
        for key in {**wanted, **stated}:
            faults += _differences(f"{where}.{key}", stated.get(key), wanted.get(key))
        return faults
    if isinstance(wanted, list):
        if not isinstance(stated, list) or len(stated) != len(wanted):
            return [_differs(where, stated, wanted)]
        faults = []
        for place, (one, other) in enumerate(zip(stated, wanted, strict=True)):
            name = other.get("model") if isinstance(other, Mapping) else None
            faults += _differences(f"{where}[{name or place}]", one, other)
        return faults
    if isinstance(wanted, float) and isinstance(stated, int | float):
        if math.isclose(stated, wanted, rel_tol=_TOLERANCE):
            return []
        return [_differs(where, stated, wanted)]
    return [] if stated == wanted else [_differs(where, stated, wanted)]


def _differs(where: str, stated: Any, wanted: Any) -> Fault:
    return Fault(where, _short(stated), _short(wanted), "differs from what the raw samples give")


def _short(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
