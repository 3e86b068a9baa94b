"""`turning_point`: where more threads or a larger batch stop paying, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from typing_extensions import TypedDict

from lydite.api.keywords import ModelKeywords
from lydite.api.load import ModelLike, resolve
from lydite.api.measuring import device_of_backend, make_measuring, recorded_run
from lydite.api.options import ModelOptions, chosen
from lydite.errors import InputError, unknown_name
from lydite.exhibits import Curve, Exhibit
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.knee import TurningPoint

VARIED = ("threads", "batch")
PER = {"threads": "call", "batch": "sample"}
"""What the seconds of a sweep are for; of another sweep's, a call."""


class SweepDocument(TypedDict):
    """A sweep; seconds are per call, or per sample where the batch varies."""

    vary: str
    per: str
    values: list[float]
    seconds: list[float]
    samples_s: list[list[float]]
    turning_point: float | None
    low: float | None
    high: float | None
    beyond: bool
    curve: str
    reason: str
    residual: float | None
    weights: dict[str, float]
    fitted_s: list[float]


class TurningPointDocument(TypedDict):
    """Turning points; low and high bound the interval at the probability `confidence`."""

    model: str
    device: str
    backend: str
    gain: float
    confidence: float
    sweeps: list[SweepDocument]
    warnings: list[str]


@dataclass(frozen=True)
class Sweep:
    """Times over the values of one quantity.

    Attributes:
        vary: Quantity that was varied.
        values: Its values in ascending order.
        samples_s: Samples at each value, in seconds per call, or per sample of a batch.
        point: Turning point.
    """

    vary: str
    values: Sequence[float]
    samples_s: Sequence[Sequence[float]]
    point: TurningPoint

    def document(self) -> SweepDocument:
        """All figures and all samples."""
        point = self.point
        return {
            "vary": self.vary,
            "per": PER.get(self.vary, "call"),
            "values": [float(value) for value in self.values],
            "seconds": point.y.tolist(),
            "samples_s": [list(row) for row in self.samples_s],
            "turning_point": point.value,
            "low": point.low,
            "high": point.high,
            "beyond": point.beyond,
            "curve": point.curve,
            "reason": point.reason,
            "residual": point.residual,
            "weights": dict(point.weights),
            "fitted_s": point.fitted.tolist(),
        }


@dataclass(frozen=True, eq=False, repr=False)
class TurningPointResult(Result):
    """Where more of a resource stops paying.

    Attributes:
        model: Name of the model, or of the file of a sweep.
        device: Name of the device; "" for a file.
        backend: Name of the backend; "" for a file.
        gain: Share of the time that a step has to save to pay.
        sweeps: One sweep per varied quantity.
        warnings: Reasons to doubt the samples.
    """

    verb = "turning-point"
    exhibits = (
        Exhibit(
            "Turning points",
            "/sweeps",
            {
                "vary": "varied",
                "turning_point": "turning point",
                "low": "low",
                "high": "high",
                "beyond": "may lie beyond",
                "curve": "curve",
                "reason": "reason",
            },
            beside="turning_point",
            label="/model",
        ),
        Exhibit(
            "Seconds per {per} by {vary}",
            "/sweeps/*",
            {"values": "{vary}", "seconds": "seconds", "fitted_s": "fitted"},
            curve=Curve(
                "values",
                {"seconds": "points", "fitted_s": "line"},
                mark="turning_point",
                low="low",
                high="high",
            ),
        ),
    )

    model: str
    device: str
    backend: str
    gain: float
    sweeps: tuple[Sweep, ...]
    warnings: tuple[str, ...] = ()

    def document(self) -> TurningPointDocument:
        """All sweeps with their curves."""
        from lydite.knee import CONFIDENCE

        return {
            "model": self.model,
            "device": self.device,
            "backend": self.backend,
            "gain": self.gain,
            "confidence": CONFIDENCE,
            "sweeps": [sweep.document() for sweep in self.sweeps],
            "warnings": list(self.warnings),
        }

    def summary(self) -> str:
        """A table of each sweep, and where it turns."""
        from lydite.report.text.turning_point import turning_point_text

        return turning_point_text(self.document())

    def headline(self) -> str:
        """Each turning point."""
        return "; ".join(f"{sweep.vary}: {sweep.point.headline()}" for sweep in self.sweeps)

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per value of each sweep."""
        return [
            {"vary": sweep.vary, "value": float(value), "seconds": float(seconds)}
            for sweep in self.sweeps
            for value, seconds in zip(sweep.values, sweep.point.y, strict=True)
        ]


def turning_point(
    session: Session,
    model: ModelLike | None = None,
    *,
    vary: str | Sequence[str] = "threads",
    thread_counts: str | Sequence[int] | None = None,
    batch_sizes: str | Sequence[int] | None = None,
    sweep: Path | str | None = None,
    extent: int | None = None,
    gain: float = 0.05,
    backend: str = "onnxruntime",
    threads: int = 1,
    device: str = "cpu",
    clock: str = "wall",
    budget: float = 20.0,
    rounds: int = 15,
    options: ModelOptions | None = None,
    **given: Unpack[ModelKeywords],
) -> TurningPointResult:
    """Find where more threads or a larger batch stop paying, with an interval and the reason.

    The turning point is the last value that pays: from there no further step saves `gain` of the
    time. All values of a sweep are measured interleaved.

    Args:
        session: Session whose database receives the rows.
        model: Model to measure; see `load`. None with `sweep`.
        vary: "threads", "batch", or both, separated by commas.
        thread_counts: Numbers of threads; None for 1 to the number of cores.
        batch_sizes: Batch sizes; None for 1, 2, 4, 8, 16, 32.
        sweep: CSV file of a sweep of one's own instead of a model, with a header: the varied
            quantity, then "seconds" (per call); repeated values are samples.
        extent: Number of equal pieces of work that are dealt to threads; None where not known.
        gain: Share of the time that a step has to save to pay.
        backend: Backend that runs the model.
        threads: Number of threads per operator while the batch varies.
        device: Device of the backend: "cpu" or "cuda".
        clock: Clock: "wall" or "process".
        budget: Seconds to spend on each sweep.
        rounds: Maximum number of samples per value.
        options: Options of the model.
        given: Fields of `ModelOptions`.

    Raises:
        InputError: the model or file is invalid, or an option is out of range.
        BackendError: the backend cannot run here.
    """
    if not 0 < gain < 1:
        raise InputError(f"a gain of {gain:g}", where="--gain", allowed="above 0, below 1")
    if (model is None) == (sweep is None):
        raise InputError("a model or --sweep FILE is needed, and not both")
    if sweep is not None:
        taken = _read(Path(sweep))
        found = _turned(*taken, gain, extent, session.seed)
        return TurningPointResult(Path(sweep).name, "", "", gain, (found,))
    from lydite.measure.environment import check_memory

    wanted = chosen(ModelOptions, options, given)
    plans = {}
    for name in _names(vary):
        asked = thread_counts if name == "threads" else batch_sizes
        plans[name] = _values(name, asked)
    most = max(plans.get("threads", [threads]))
    arguments = {"model": str(model), "backend": backend, "vary": ",".join(plans)}
    with session.database() as database, recorded_run(database, "turning-point", arguments) as run:
        with make_measuring(
            backend,
            database,
            threads=max(most, threads),
            device=device,
            clock=clock,
            budget=budget,
            seed=session.seed,
            run=run.id,
            rounds=rounds,
        ) as measuring:
            sweeps, warnings, label = [], [], ""
            for name, values in plans.items():
                runs = []
                for value in values:
                    sized = replace(wanted, batch=value) if name == "batch" else wanted
                    made = resolve(model, sized, device_of_backend(device))
                    label = made.label
                    count = value if name == "threads" else threads
                    runs.append((made.graph, replace(measuring.settings, threads=count)))
                check_memory(3 * sum(graph.parameter_bytes for graph, _ in runs), label)
                samples, told = _measured(measuring, database, runs)
                if name == "batch":
                    samples = [
                        [s / value for s in row] for value, row in zip(values, samples, strict=True)
                    ]
                warnings += [f"{name}: {text}" for text in told]
                sweeps.append(_turned(name, values, samples, gain, extent, session.seed))
        result = TurningPointResult(
            label, measuring.device, backend, gain, tuple(sweeps), tuple(warnings)
        )
        run.keep(result)
    return result


def _measured(
    measuring: Any, database: Any, runs: Sequence[tuple[Any, Any]]
) -> tuple[list[list[float]], list[str]]:
    """Samples of whole models, interleaved, and the warnings; the rows are saved."""
    from lydite.measure import measure
    from lydite.measure.whole import model_row

    prepared: dict[str, Any] = {}
    try:
        for number, (graph, settings) in enumerate(runs):
            prepared[str(number)] = measuring.backend.prepare(graph, settings)
        timings = list(measure(prepared, measuring.plan).values())
    finally:
        for item in prepared.values():
            item.close()
    usual = measuring.settings
    for (graph, settings), timing in zip(runs, timings, strict=True):
        measuring.settings = settings
        database.add([model_row(graph, timing.samples_s, measuring, timing.environment)])
    measuring.settings = usual
    told = dict.fromkeys(text for timing in timings for text in timing.warnings)
    return [timing.samples_s.tolist() for timing in timings], list(told)[:3]


def _turned(
    vary: str,
    values: Sequence[float],
    samples: Sequence[Sequence[float]],
    gain: float,
    extent: int | None,
    seed: int,
) -> Sweep:
    from lydite.knee import find_turning_point

    least = min(len(row) for row in samples)
    point = find_turning_point(
        values,
        [list(row)[:least] for row in samples],
        what=vary,
        gain=gain,
        extent=extent if vary != "batch" else None,
        seed=seed,
    )
    return Sweep(vary, values, samples, point)


def _names(vary: str | Sequence[str]) -> list[str]:
    words = vary.split(",") if isinstance(vary, str) else list(vary)
    names = list(dict.fromkeys(word.strip() for word in words if word.strip()))
    for name in names:
        if name not in VARIED:
            raise unknown_name("quantity to vary", name, VARIED)
    if not names:
        raise InputError("nothing to vary", where="--vary", allowed=", ".join(VARIED))
    return names


def _values(name: str, asked: str | Sequence[int] | None) -> list[int]:
    from lydite.hardware import physical_cores

    option = "--thread-counts" if name == "threads" else "--batch-sizes"
    if asked is None:
        values = list(range(1, physical_cores() + 1)) if name == "threads" else _BATCHES
    else:
        words = asked.split(",") if isinstance(asked, str) else [str(value) for value in asked]
        if not all(word.strip().isdigit() and int(word) > 0 for word in words):
            raise InputError(f"'{asked}'", where=option, allowed="whole numbers, such as 1,2,4")
        values = sorted({int(word) for word in words})
    if len(values) < 2:
        raise InputError("a single value cannot turn", where=option, allowed="2 values or more")
    return values


_BATCHES = [1, 2, 4, 8, 16, 32]


def _read(path: Path) -> tuple[str, list[float], list[list[float]]]:
    """Quantity, values and samples of a CSV file.

    Raises:
        InputError: no such file, another header, or a cell that is not a positive number.
    """
    import csv
    import math

    try:
        lines = list(csv.reader(path.read_text().splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from None
    header = [cell.strip() for cell in lines[0]] if lines else []
    if len(header) < 2 or header[1] != "seconds":
        raise InputError(
            f"has the header '{','.join(header)[:60]}'",
            where=str(path),
            allowed="the varied quantity, then seconds, such as 'threads,seconds'",
        )
    found: dict[float, list[float]] = {}
    for number, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        try:
            value, seconds = float(cells[0]), float(cells[1])
        except (ValueError, IndexError):
            value = seconds = math.nan
        if not (0 < value < math.inf and 0 < seconds < math.inf):
            raise InputError(
                f"'{','.join(cells)[:60]}'", where=f"{path}:{number}", allowed="positive numbers"
            )
        found.setdefault(value, []).append(seconds / value if header[0] == "batch" else seconds)
    if len(found) < 2:
        raise InputError(f"holds {len(found)} values", where=str(path), allowed="2 or more")
    values = sorted(found)
    return header[0], values, [found[value] for value in values]
