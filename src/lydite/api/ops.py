"""`ops`: the operators that matter in a model's lowered graph, and what bounds each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from typing_extensions import TypedDict

from lydite.api.keywords import ModelKeywords
from lydite.api.load import ModelLike
from lydite.api.options import ModelOptions
from lydite.api.predict import PredictResult, predict
from lydite.errors import BackendError, InputError
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.backends.tuned import Machine
    from lydite.hardware import Device
    from lydite.opkey import OpKey

LAUNCH_S = {"cpu": 1e-6, "gpu": 4e-6, "npu": 4e-6}
"""Seconds that starting one operator takes at least (assumed); what is below them is launch."""


class OperatorRow(TypedDict):
    """One distinct operator.

    `time_share` is of the sum over all operators with a time; `configurations` is 0 where there is
    no schedule space, and None where the device is not this machine's processor.
    """

    op_type: str
    inputs: list[str]
    parameters: list[str]
    outputs: list[str]
    attributes: dict[str, Any]
    count: int
    seconds_each: float | None
    source: str
    time_share: float | None
    flops: float | None
    bytes: float | None
    intensity: float | None
    bound: str
    spaces: list[str]
    configurations: int | None
    digest: str


class OpsDocument(TypedDict):
    """The operators, by time; `shown` of `distinct` are listed."""

    model: str
    device: str
    threads: int
    backend: str
    operators: int
    distinct: int
    shown: int
    seconds: float
    share_shown: float
    without_time: int
    ops: list[OperatorRow]


@dataclass(frozen=True, eq=False, repr=False)
class OpsResult(Result):
    """Operators of a model, those that take longest first.

    Attributes:
        facts: The document.
        keys: Keys of the listed operators.
    """

    verb = "ops"

    facts: OpsDocument
    keys: tuple[OpKey, ...]

    def document(self) -> OpsDocument:
        """All figures."""
        return self.facts

    def summary(self) -> str:
        """A table of the operators."""
        from lydite.report.text.ops import ops_text

        return ops_text(dict(self.facts))

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per distinct operator."""
        return self.facts["ops"]

    def write_spaces(self, path: Path | str) -> Path:
        """Write the factors of each schedule space with their values, one operator a line.

        Raises:
            BackendError: this machine has no processor that spaces are for.
        """
        from lydite.backends.tuned import processor, spaces_for, task_of
        from lydite.files import write_atomic

        here = processor()
        lines: list[str] = []
        for key in self.keys:
            task = task_of(key)
            for space in spaces_for(task, here) if task else ():
                assert task is not None
                factors = {name: list(v) for name, v in space.factors(task, here).items()}
                size = len(space.configs(task, here))
                record = {"key": json.loads(key.text), "space": space.name, "size": size}
                lines.append(json.dumps({**record, "factors": factors}))
        return write_atomic(Path(path), "".join(f"{line}\n" for line in lines))


def ops(
    session: Session,
    model: ModelLike,
    *,
    top: int = 10,
    on: str | Device = "cpu",
    backend: str = "onnxruntime",
    threads: int = 1,
    clock: str = "wall",
    options: ModelOptions | None = None,
    **given: Unpack[ModelKeywords],
) -> OpsResult:
    """List the operators that matter in a model's lowered graph.

    Args:
        session: Session whose database holds the measurements.
        model: Model; see `load`.
        top: Number of distinct operators to list; 0 for all.
        on, backend, threads, clock: As for `predict`.
        options: Options of the model.
        given: Fields of `ModelOptions`, such as `batch`.

    Raises:
        InputError: as for `predict`, or `top` is negative.
    """
    if top < 0:
        raise InputError(f"top is {top}", allowed="1 and more, or 0 for all")
    made = predict(
        session,
        model,
        on=on,
        backend=backend,
        threads=threads,
        clock=clock,
        options=options,
        **given,
    )
    return operators_of(made, backend, top)


def operators_of(made: PredictResult, backend: str, top: int) -> OpsResult:
    """The operators of a prediction, those that take longest first."""
    here = _processor(made.device)
    counts: dict[OpKey, int] = {}
    estimates: dict[OpKey, Any] = {}
    for node in made.prediction.nodes:
        if node.key is not None:
            counts[node.key] = counts.get(node.key, 0) + 1
            estimates[node.key] = node.estimate
    times = {k: e.seconds * counts[k] if (e := estimates[k]) else None for k in counts}
    known_s = sum(time for time in times.values() if time)
    ordered = sorted(counts, key=lambda key: -(times[key] or 0.0))
    listed = ordered[: top or None]
    rows = [
        _row(key, counts[key], estimates[key], times[key], known_s, made.device, made.threads, here)
        for key in listed
    ]
    shown_s = sum(times[key] or 0.0 for key in listed)
    facts: OpsDocument = {
        "model": made.prediction.model,
        "device": made.device.name,
        "threads": made.threads,
        "backend": backend,
        "operators": len(made.prediction.nodes),
        "distinct": len(counts),
        "shown": len(listed),
        "seconds": known_s,
        "share_shown": shown_s / known_s if known_s else 0.0,
        "without_time": sum(counts[key] for key in counts if times[key] is None),
        "ops": rows,
    }
    return OpsResult(facts, tuple(listed))


def _processor(device: Device) -> Machine | None:
    """This machine's processor if it is the device; None for another, or one without spaces."""
    from lydite.backends.tuned import processor
    from lydite.hardware import local_device

    if device.kind != "cpu" or device.name != local_device().name:
        return None
    try:
        return processor()
    except BackendError:
        return None


def _row(
    key: OpKey,
    count: int,
    estimate: Any,
    time: float | None,
    known_s: float,
    device: Device,
    threads: int,
    here: Machine | None,
) -> OperatorRow:
    from lydite.backends.tuned import spaces_for, task_of
    from lydite.graph import work_of_key

    work, task = work_of_key(key), task_of(key)
    spaces = spaces_for(task, here) if task is not None and here is not None else []
    size = None
    if here is not None:
        size = sum(len(space.configs(task, here)) for space in spaces) if task else 0
    types = [(t, o.const) for t, o in zip(key.operand_types(), key.inputs, strict=True) if t]
    return {
        "op_type": key.qualified_type,
        "inputs": [str(t) for t, const in types if not const],
        "parameters": [str(t) for t, const in types if const],
        "outputs": [str(t) for t in key.outputs],
        "attributes": dict(key.attrs),
        "count": count,
        "seconds_each": estimate.seconds if estimate else None,
        "source": estimate.source if estimate else "unknown",
        "time_share": time / known_s if time is not None and known_s else None,
        "flops": work.flops if work else None,
        "bytes": work.bytes_moved if work else None,
        "intensity": work.arithmetic_intensity if work else None,
        "bound": bound_of(key, device, threads),
        "spaces": [space.name for space in spaces],
        "configurations": size,
        "digest": key.digest,
    }


def bound_of(key: OpKey, device: Device, threads: int) -> str:
    """What bounds an operator: "compute", "bandwidth" or "launch"; "unknown" without its work.

    The longest of arithmetic at the peak, traffic at the bandwidth of memory, and starting it.
    """
    from lydite.estimate.roofline import key_dtype
    from lydite.graph import work_of_key

    work = work_of_key(key)
    if work is None:
        return "unknown"
    cores = min(threads, device.units) if device.kind == "cpu" else device.units
    parts = {
        "compute": work.flops / device.peak(key_dtype(key), threads),
        "bandwidth": work.bytes_moved * device.units / cores / device.memory_bandwidth,
        "launch": LAUNCH_S.get(device.kind, 1e-6),
    }
    return max(parts, key=lambda name: parts[name])
