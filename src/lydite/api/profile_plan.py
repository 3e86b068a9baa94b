"""`profile_plan` and `profile_planned`: which operators to measure on a device, and doing so."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from typing_extensions import TypedDict

from lydite.api.keywords import ModelKeywords
from lydite.api.load import ModelLike
from lydite.api.measuring import make_measuring, measured_device, recorded_run
from lydite.api.options import ModelOptions, chosen
from lydite.api.predict import predict
from lydite.api.profile import FailedOperator, ProfileResult
from lydite.errors import BackendError, InputError, LyditeError, placed
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.predict import PredictResult
    from lydite.api.session import Session
    from lydite.estimate.gain import Candidate, Choice
    from lydite.graph import OpKey
    from lydite.hardware import Device

_SCALES = (0.5, 2.0, 0.25, 4.0, 0.125, 8.0)
"""Other sizes of the model whose operators are planned where its own do not suffice."""
_MOST_BYTES = 64 << 20
_MOST = 100_000


class PlannedOperator(TypedDict):
    """An operator to measure.

    `share` is its share of the model's predicted time, `gain` the part of the model's relative
    uncertainty that measuring it removes; both are of the model at another size where `size` is not
    1. Seconds are None where there is no estimate.
    """

    operator: str
    output: str
    count: int
    size: float
    seconds: float | None
    low_s: float | None
    high_s: float | None
    source: str
    share: float
    gain: float
    span_bytes: int
    key: str


class PlanDocument(TypedDict):
    """A plan; widths are relative half-widths of the 90 % interval of the sum of all operators."""

    model: str
    dtype: str
    device: str
    backend: str
    threads: int
    here: bool
    width_before: float
    width_expected: float
    operators: list[PlannedOperator]


@dataclass(frozen=True, eq=False, repr=False)
class PlanResult(Result):
    """Operators to measure for a model on a device, in order of expected gain.

    Attributes:
        model: Name of the model.
        dtype: Its data type.
        device: Name of the device.
        backend: Backend that is to run the operators.
        threads: Number of threads per operator.
        here: Whether this machine has the device.
        width_before: Relative half-width of the 90 % interval of the sum of all operators.
        width_expected: The same as expected once the operators are measured.
        operators: One row per operator.
    """

    verb = "profile-plan"

    model: str
    dtype: str
    device: str
    backend: str
    threads: int
    here: bool
    width_before: float
    width_expected: float
    operators: tuple[PlannedOperator, ...]

    def document(self) -> PlanDocument:
        """The plan, which `read_plan` reads back."""
        return {
            "model": self.model,
            "dtype": self.dtype,
            "device": self.device,
            "backend": self.backend,
            "threads": self.threads,
            "here": self.here,
            "width_before": self.width_before,
            "width_expected": self.width_expected,
            "operators": list(self.operators),
        }

    def summary(self) -> str:
        """A table with one line per operator."""
        from lydite.report.text.profile import plan_text

        return plan_text(self.document())

    def headline(self) -> str:
        """Number of operators, model and device."""
        return f"{len(self.operators)} operators of {self.model} to measure on {self.device}"

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per operator."""
        return self.operators

    def write(self, path: Path | str) -> Path:
        """Write the plan to a .json or .csv file, to be carried to the device.

        Raises:
            InputError: another suffix.
            LyditeError: the file cannot be written.
        """
        from lydite.files import write_atomic

        target = Path(path)
        if target.suffix == ".json":
            return write_atomic(target, self.to_json() + "\n")
        if target.suffix != ".csv":
            raise InputError(f"'{target.name}' is no plan file", allowed=".json or .csv")
        text = StringIO()
        about = {"model": self.model, "device": self.device, "threads": self.threads}
        columns = [*about, *PlannedOperator.__annotations__]
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**about, **row} for row in self.operators)
        return write_atomic(target, text.getvalue())


def profile_plan(
    session: Session,
    model: ModelLike,
    *,
    operators: int,
    on: str | Device = "cpu",
    backend: str = "onnxruntime",
    threads: int = 1,
    clock: str = "wall",
    options: ModelOptions | None = None,
    **given: Unpack[ModelKeywords],
) -> PlanResult:
    """Choose the operators whose measurement narrows the interval of a model's prediction most.

    Where the model has fewer operators that are worth measuring, those of the model at half, twice,
    a quarter ... of its tokens or samples follow: they serve interpolation.

    Args:
        session: Session whose database holds what is known.
        model: Model of interest; see `load`.
        operators: Number of operators to choose.
        on: Device to measure on, as for `predict`.
        backend, threads, clock: As for `predict`.
        options: Options of the model.
        given: Fields of `ModelOptions`.

    Raises:
        InputError: as for `predict`, or the number of operators is below 1.
    """
    from lydite.estimate.gain import choose, relative_width

    if operators < 1:
        raise InputError(f"{operators} operators", allowed="1 or more")
    wanted = chosen(ModelOptions, options, given)

    def predicted(at: ModelOptions) -> PredictResult:
        return predict(
            session, model, on=on, backend=backend, threads=threads, clock=clock, options=at
        )

    first = predicted(wanted)
    own = _candidates(first, 1.0)
    sizes = dict.fromkeys((each.key for each in own), 1.0)
    spans: dict[OpKey, int] = {}
    if first.device.kind == "cpu":
        spans |= _spans(session, first, backend, threads)
    every = list(own)
    for scale in _SCALES:
        if sum(each.uncertainty > 0 or each.estimate is None for each in every) >= operators:
            break
        at = _scaled(wanted, first, scale)
        if at is None:
            continue
        try:
            other = predicted(at)
        except LyditeError:  # some sizes do not suit a model
            continue
        weight = min(scale, 1 / scale)
        new = [each for each in _candidates(other, weight) if each.key not in sizes]
        sizes |= dict.fromkeys((each.key for each in new), scale)
        if first.device.kind == "cpu":
            spans |= _spans(session, other, backend, threads)
        every += new
    choices, covered = choose(every, operators)
    return PlanResult(
        first.prediction.model,
        first.model.dtype,
        first.device.name,
        backend,
        threads,
        _is_here(first.device.name, backend),
        relative_width(own),
        relative_width(own, covered[: len(own)]),
        tuple(_row(choice, sizes, spans) for choice in choices),
    )


def _candidates(result: PredictResult, weight: float) -> list[Candidate]:
    """The distinct operators of a prediction."""
    from lydite.estimate.gain import Candidate

    total = result.seconds or 1.0
    found: dict[OpKey, Candidate] = {}
    for node in result.prediction.nodes:
        if node.key is None:
            continue
        seconds = node.estimate.seconds if node.estimate else 0.0
        known = found.get(node.key)
        if known is None:
            known = Candidate(node.key, node.estimate, 0, 0.0, weight)
        found[node.key] = replace(known, count=known.count + 1, share=known.share + seconds / total)
    return list(found.values())


def _spans(session: Session, result: PredictResult, backend: str, threads: int) -> dict[OpKey, int]:
    """Bytes between two uses of what operators read, which decide what their caches hold."""
    from lydite.backends import Settings, find_backend
    from lydite.backends.lowered import lowered
    from lydite.graph import spans_of

    settings = Settings(threads=threads, seed=session.seed)
    return dict(spans_of(lowered(find_backend(backend), result.model.graph, settings)))


def _scaled(options: ModelOptions, result: PredictResult, scale: float) -> ModelOptions | None:
    """The model with another number of tokens, or of samples; None where that is below 1."""
    from lydite.api.load import takes_phase

    prompt = takes_phase(result.model) and options.phase != "decode"
    if prompt:
        tokens = _tokens(result)
        return replace(options, sequence=int(tokens * scale)) if tokens * scale >= 1 else None
    samples = (options.batch or 1) * scale
    return replace(options, batch=int(samples)) if samples >= 1 else None


def _tokens(result: PredictResult) -> int:
    """Number of tokens per sample of a language model."""
    graph = result.model.graph
    shape = graph.type_of(next(iter(graph.inputs))).shape or (1, 1)
    return int(shape[1]) if len(shape) > 1 and isinstance(shape[1], int) else 1


def _row(
    choice: Choice, sizes: Mapping[OpKey, float], spans: Mapping[OpKey, int]
) -> PlannedOperator:
    each = choice.candidate
    estimate, key = each.estimate, each.key
    return {
        "operator": key.qualified_type,
        "output": str(key.outputs[0]) if key.outputs else "",
        "count": each.count,
        "size": sizes[key],
        "seconds": estimate.seconds if estimate else None,
        "low_s": estimate.low if estimate else None,
        "high_s": estimate.high if estimate else None,
        "source": estimate.source if estimate else "unknown",
        "share": each.share,
        "gain": choice.gain,
        "span_bytes": spans.get(key, 0),
        "key": key.text,
    }


def _is_here(device: str, backend: str) -> bool:
    return _place(device, backend) is not None


def _place(device: str, backend: str) -> str | None:
    """The backend's name for a device of this machine; None where it is elsewhere."""
    from lydite.backends import find_backend

    for place in find_backend(backend).capabilities().devices:
        try:
            if measured_device(place).name == device:
                return place
        except BackendError:
            continue
    return None


@dataclass(frozen=True)
class Plan:
    """What a plan file says: operators and where they are to be measured."""

    model: str
    dtype: str
    device: str
    threads: int
    keys: tuple[OpKey, ...]
    spans: Mapping[OpKey, int]


def read_plan(path: Path | str) -> Plan:
    """Read a plan that `PlanResult.write` wrote.

    Raises:
        InputError: the file cannot be read, is no plan, or is of no or too many operators.
    """
    from lydite.graph import OpKey
    from lydite.hardware.capped import read_capped

    where = str(path)
    text = read_capped(path, "a plan", _MOST_BYTES)
    try:
        if Path(path).suffix == ".csv":
            rows: list[Mapping[str, Any]] = list(csv.DictReader(StringIO(text)))
            about: Mapping[str, Any] = rows[0] if rows else {}
        else:
            about = json.loads(text)
            rows = about["operators"]
        keys = [OpKey.parse(row["key"]) for row in rows]
        spans = {key: int(row["span_bytes"]) for key, row in zip(keys, rows, strict=True)}
        plan = Plan(
            str(about.get("model", "")),
            str(about.get("dtype", "")),
            str(about["device"]),
            int(about.get("threads", 1)),
            tuple(dict.fromkeys(keys)),
            spans,
        )
    except InputError as error:
        raise placed(error, where) from None
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error, RecursionError) as error:
        raise InputError(
            f"is no plan: {str(error)[:120]}", where=where, hint="lydite profile --plan-for"
        ) from None
    if not 0 < len(plan.keys) <= _MOST:
        raise InputError(f"{len(plan.keys)} operators", where=where, allowed=f"1 to {_MOST}")
    return plan


def profile_planned(
    session: Session,
    plan: Path | str | PlanResult,
    *,
    backend: str = "onnxruntime",
    cache: str = "rotated",
    clock: str = "wall",
    budget: float = 0.5,
    again: bool = False,
    timeout: float = 120.0,
    memory: str | None = None,
) -> ProfileResult:
    """Measure the operators of a plan on this machine; known ones are not repeated.

    Every operator is stored before the next, so that calling it again goes on where it stopped.

    Args:
        session: Session whose database receives the rows.
        plan: Result of `profile_plan`, or a file that it wrote.
        backend: Backend that runs the operators.
        cache, clock, budget, again, timeout, memory: As for `profile`.

    Raises:
        InputError: the file is no plan, or the plan is for a device that is not here.
        BackendError: the backend cannot run here.
    """
    from lydite.measure import profile_keys

    wanted = plan if isinstance(plan, Path | str) else None
    made = read_plan(wanted) if wanted is not None else _plan_of(plan)
    place = _place(made.device, backend)
    if place is None:
        raise InputError(
            f"is a plan for {made.device}, which {backend} does not find here",
            where=str(wanted or "plan"),
            hint="lydite doctor lists what is here",
        )
    arguments = {"plan": made.model, "backend": backend, "operators": len(made.keys)}
    with session.database() as database, recorded_run(database, "profile", arguments) as run:
        with (
            make_measuring(
                backend,
                database,
                threads=made.threads,
                device=place,
                cache=cache,
                clock=clock,
                budget=budget,
                seed=session.seed,
                run=run.id,
                timeout=timeout,
                memory=memory,
            ) as measuring,
            session.bar(f"profile {made.model}") as progress,
        ):
            done = profile_keys(made.keys, measuring, made.spans, again=again, progress=progress)
        failed: list[FailedOperator] = [
            {
                "op_type": failure.key.qualified_type,
                "status": failure.status,
                "error": failure.error,
                "key": failure.key.text,
            }
            for failure in done.failures
        ]
        result = ProfileResult(
            measuring.device,
            backend,
            (
                {
                    "model": made.model,
                    "dtype": made.dtype,
                    "dtype_reason": "as planned",
                    "operators": len(made.keys),
                    "distinct": len(made.keys),
                    "measured": done.measured,
                    "reused": done.reused,
                    "failed": failed,
                    "untyped": [],
                    "notes": [],
                },
            ),
        )
        run.keep(result)
    return result


def _plan_of(plan: Any) -> Plan:
    from lydite.graph import OpKey

    if not isinstance(plan, PlanResult):
        raise InputError(f"{type(plan).__name__} is no plan", allowed="a PlanResult or a file")
    keys = [OpKey.parse(row["key"]) for row in plan.operators]
    spans = {k: row["span_bytes"] for k, row in zip(keys, plan.operators, strict=True)}
    return Plan(plan.model, plan.dtype, plan.device, plan.threads, tuple(keys), spans)
