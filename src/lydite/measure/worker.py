"""The measuring process, which confines crashes, hangs and memory growth.

It reads one JSON request per line from standard input and answers with JSON lines: `{"at": name}`
before each item, then `{"results": [...]}`. `lydite.measure.client` starts it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, field, replace
from typing import Any

import numpy as np

from lydite.backends import Backend, Prepared, Settings, find_backend
from lydite.errors import LyditeError
from lydite.graph import OpKey, read_onnx
from lydite.measure.isolation import CallCosts, Layout, call_costs, corrected, layout_for
from lydite.measure.network import excess_s
from lydite.measure.timing import Timing, TimingPlan, measure
from lydite.opkey import CALL_KEY, DISPATCH_KEY
from lydite.records import dataclass

MODEL = "model"
PACE = "pace"


@dataclass(frozen=True)
class Request:
    """A request to measure items, interleaved with each other.

    Attributes:
        backend: Name of the backend.
        settings: Settings of the backend.
        plan: Amount of measurement.
        keys: Canonical texts of the operators.
        cache: Cache state of the weights: "hot", "rotated" or "cold".
        model: Path of a model to run whole beside the operators; "" for none. Without a model, a
            small matrix product runs beside them to track the machine's pace.
        spans: Bytes between two uses of each operator's weights; empty for the usual ones.
        costs: Seconds of call, dispatch and tap; None to measure them in the worker.
    """

    backend: str
    settings: Settings = field(default_factory=Settings)
    plan: TimingPlan = field(default_factory=TimingPlan)
    keys: tuple[str, ...] = ()
    cache: str = "rotated"
    model: str = ""
    spans: tuple[int, ...] = ()
    costs: tuple[float, ...] | None = None

    def to_json(self) -> str:
        """The request as one line of JSON."""
        record = asdict(self)
        return json.dumps(record)

    @staticmethod
    def from_json(text: str) -> Request:
        """The inverse of `to_json`."""
        record = json.loads(text)
        costs = record["costs"]
        return Request(
            **{k: record[k] for k in ("backend", "cache", "model")},
            settings=Settings(**record["settings"]),
            plan=TimingPlan(**record["plan"]),
            keys=tuple(record["keys"]),
            spans=tuple(record["spans"]),
            costs=tuple(costs) if costs else None,
        )


Tell = Callable[[dict[str, Any]], None]


def serve(request: Request, backend: Backend, tell: Tell) -> list[dict[str, Any]]:
    """Measure the requested items; one result per item, failures included."""
    results: list[dict[str, Any]] = []
    items: dict[str, Prepared] = {}
    layouts: dict[str, Layout] = {}
    plan = replace(request.plan, flush=_flusher()) if request.cache == "cold" else request.plan
    try:
        costs = _costs(request, backend, results)
        if request.model:
            tell({"at": MODEL})
            items[MODEL] = backend.prepare(read_onnx(request.model), request.settings)
        else:
            items[PACE] = backend.prepare_op(backend.pace_key, request.settings, 1)
        for index, text in enumerate(request.keys):
            tell({"at": text})
            key = OpKey.parse(text)
            span = request.spans[index] if request.spans else 0
            layout = layouts[text] = layout_for(key, request.cache, span)
            try:
                prepared = backend.prepare_op(key, request.settings, layout.copies, layout.turns)
                prepared.run()
            except LyditeError as error:
                results.append({"key": text, "status": "error", "error": str(error)})
                continue
            items[text] = prepared
        tell({"at": request.keys[0] if len(request.keys) == 1 else ""})
        timings = measure(items, plan)
        pace = MODEL if request.model else PACE
        beside = {"pace_of": pace, "pace_s": timings[pace].samples_s.tolist()}
        for name, timing in timings.items():
            results.append(_result(name, timing, layouts.get(name), costs, beside))
    finally:
        for item in items.values():
            item.close()
    return results


def _costs(request: Request, backend: Backend, results: list[dict[str, Any]]) -> CallCosts:
    if request.costs is not None:
        return CallCosts(*(np.array([seconds]) for seconds in request.costs))
    costs = call_costs(
        backend, request.settings, replace(request.plan, rounds=25, budget_s=1.5, flush=None)
    )
    samples_s = {CALL_KEY: costs.call_s, DISPATCH_KEY: costs.dispatch_s}
    samples_s |= excess_s(backend, request.settings, request.plan, costs)
    for key, samples in samples_s.items():
        results.append(
            {
                "key": key.text,
                "status": "ok",
                "samples_s": samples.tolist(),
                "environment": {"clock": request.plan.clock, "tap_s": costs.medians()[2]},
            }
        )
    return costs


def _result(
    name: str, timing: Timing, layout: Layout | None, costs: CallCosts, beside: dict[str, Any]
) -> dict[str, Any]:
    environment = {
        **timing.environment,
        "calls_per_sample": timing.calls,
        "warmup_calls": timing.warmup_calls,
    }
    if timing.warnings:
        environment["warnings"] = list(timing.warnings)
    samples = timing.samples_s
    if layout is not None:
        samples = corrected(timing, layout.copies, costs)
        environment |= beside
        environment |= {"copies": layout.copies, "span_bytes": layout.span_bytes}
        environment |= dict(zip(("call_s", "dispatch_s", "tap_s"), costs.medians(), strict=True))
    return {"key": name, "status": "ok", "samples_s": samples.tolist(), "environment": environment}


def _flusher(size_bytes: int = 64 << 20) -> Callable[[], None]:
    block = np.zeros(size_bytes // 8)

    def flush() -> None:
        np.add(block, 1.0, out=block)

    return flush


def serve_lines(answer: Callable[[str, Tell], Any]) -> None:
    """Answer each line of standard input until it ends.

    Args:
        answer: Called with a line and a function that says what is worked on; returns the results.
            A `LyditeError` refuses the line.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # output of libraries must not mix with the answers

    def tell(record: dict[str, Any]) -> None:
        answers.write(json.dumps(record) + "\n")

    for line in sys.stdin:
        tell({"at": ""})
        try:
            tell({"results": answer(line, tell)})
        except LyditeError as error:
            tell({"failed": str(error)})


def main() -> None:
    """Serve requests until standard input ends."""
    backends: dict[str, Backend] = {}

    def answer(line: str, tell: Tell) -> list[dict[str, Any]]:
        request = Request.from_json(line)
        if request.backend not in backends:
            backends[request.backend] = find_backend(request.backend)
        return serve(request, backends[request.backend], tell)

    serve_lines(answer)


if __name__ == "__main__":
    main()
