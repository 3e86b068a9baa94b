"""`bench`: measure the latency of a whole model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from typing_extensions import TypedDict

from lydite.api.keywords import ModelKeywords
from lydite.api.load import Model, ModelLike, resolve
from lydite.api.measuring import device_of_backend, make_measuring, recorded_run
from lydite.api.options import ModelOptions, chosen
from lydite.exhibits import Exhibit
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.measure import Bench


class BenchDocument(TypedDict):
    """Latency of whole calls; `seconds` is the median, low_s and high_s hold the middle 90 %."""

    model: str
    device: str
    backend: str
    threads: int
    dtype: str
    dtype_reason: str
    notes: list[str]
    batch: int
    seconds: float
    low_s: float
    high_s: float
    source: str
    latency_p50_s: float
    latency_p90_s: float
    latency_p99_s: float
    latency_min_s: float
    latency_max_s: float
    latency_iqr_s: float
    throughput_per_s: float
    load_s: float
    memory_bytes: int
    samples: int
    warmup_calls: int
    warnings: list[str]
    environment: dict[str, Any]
    samples_s: list[float]


@dataclass(frozen=True, eq=False, repr=False)
class BenchResult(Result):
    """Latency of a whole model.

    Attributes:
        model: Model that was measured.
        bench: Samples, loading time and memory.
        device: Name of the device, as in the database.
        backend: Name of the backend that ran it.
        threads: Number of threads per operator.
    """

    verb = "bench"
    deprecated: ClassVar[Mapping[str, str]] = {"latency_median_s": "seconds"}
    exhibits = (
        Exhibit(
            "Latency on {device} with {backend}",
            "",
            {
                "model": "model",
                "batch": "batch",
                "threads": "threads",
                "seconds": "median",
                "low_s": "low",
                "high_s": "high",
                "latency_p99_s": "99 %",
                "throughput_per_s": "samples",
                "memory_bytes": "memory",
                "load_s": "loaded in",
            },
            beside="seconds",
            label="/device",
        ),
    )

    model: Model
    bench: Bench
    device: str
    backend: str
    threads: int

    @property
    def seconds(self) -> float:
        """Median latency in seconds."""
        return self.bench.timing.median_s

    @property
    def low_s(self) -> float:
        """5th percentile of the latency in seconds."""
        return self.bench.percentile(5)

    @property
    def high_s(self) -> float:
        """95th percentile of the latency in seconds."""
        return self.bench.percentile(95)

    @property
    def throughput_per_s(self) -> float:
        """Samples per second at the median latency."""
        return self.bench.batch / self.seconds

    def document(self) -> BenchDocument:
        """All figures and all samples."""
        bench, timing = self.bench, self.bench.timing
        return {
            "model": bench.model,
            "device": self.device,
            "backend": self.backend,
            "threads": self.threads,
            "dtype": self.model.dtype,
            "dtype_reason": self.model.dtype_reason,
            "notes": list(self.model.notes),
            "batch": bench.batch,
            "seconds": self.seconds,
            "low_s": self.low_s,
            "high_s": self.high_s,
            "source": "measured",
            "latency_p50_s": bench.percentile(50),
            "latency_p90_s": bench.percentile(90),
            "latency_p99_s": bench.percentile(99),
            "latency_min_s": float(timing.samples_s.min()),
            "latency_max_s": float(timing.samples_s.max()),
            "latency_iqr_s": bench.percentile(75) - bench.percentile(25),
            "throughput_per_s": self.throughput_per_s,
            "load_s": bench.load_s,
            "memory_bytes": bench.memory_bytes,
            "samples": len(timing.samples_s),
            "warmup_calls": timing.warmup_calls,
            "warnings": list(timing.warnings),
            "environment": dict(timing.environment),
            "samples_s": timing.samples_s.tolist(),
        }

    def summary(self) -> str:
        """Percentiles, throughput, loading time and memory."""
        from lydite.report.text.bench import bench_text

        return self.model.noted(bench_text(self.document()))

    def headline(self) -> str:
        """Median latency and its spread."""
        from lydite.units import format_seconds

        low, high = format_seconds(self.low_s), format_seconds(self.high_s)
        return (
            f"{self.bench.model} on {self.device}: {format_seconds(self.seconds)} "
            f"({low} to {high}, {len(self.bench.timing.samples_s)} samples), measured"
        )

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per sample."""
        samples = self.bench.timing.samples_s.tolist()
        return [{"sample": at, "seconds": seconds} for at, seconds in enumerate(samples)]


def bench(
    session: Session,
    model: ModelLike,
    *,
    backend: str = "onnxruntime",
    threads: int = 1,
    device: str = "cpu",
    clock: str = "wall",
    budget: float = 10.0,
    rounds: int = 1000,
    options: ModelOptions | None = None,
    **given: Unpack[ModelKeywords],
) -> BenchResult:
    """Measure a model as it is used: latency distribution, throughput, memory.

    Args:
        session: Session whose database receives the row.
        model: Model to measure; see `load`.
        backend: Backend that runs the model.
        threads: Number of threads per operator.
        device: Device of the backend: "cpu" or "cuda".
        clock: Clock: "wall" or "process".
        budget: Seconds to spend.
        rounds: Maximum number of samples.
        options: Options of the model.
        given: Fields of `ModelOptions`.

    Raises:
        InputError: the model is invalid, or an option is out of range.
        BackendError: the backend cannot run here.
        LyditeError: the model does not fit in memory.
    """
    from lydite.measure import bench as measure_whole
    from lydite.measure.environment import check_memory
    from lydite.measure.whole import model_row

    wanted = chosen(ModelOptions, options, given)
    made = resolve(model, wanted, device_of_backend(device))
    graph = made.graph
    check_memory(3 * graph.parameter_bytes, graph.name)
    arguments = {"model": made.label, "backend": backend, "threads": threads, "batch": wanted.batch}
    with session.database() as database, recorded_run(database, "bench", arguments) as run:
        with make_measuring(
            backend,
            database,
            threads=threads,
            device=device,
            clock=clock,
            budget=budget,
            seed=session.seed,
            run=run.id,
            rounds=rounds,
        ) as measuring:
            done = measure_whole(graph, measuring.backend, measuring.settings, measuring.plan)
            timing = done.timing
            database.add([model_row(graph, timing.samples_s, measuring, timing.environment)])
        result = BenchResult(made, done, measuring.device, backend, threads)
        run.keep(result, without="samples_s")
    return result
