"""`profile`: measure every distinct operator that the backend runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from typing_extensions import TypedDict

from lydite.api.coverage import several
from lydite.api.keywords import ModelKeywords
from lydite.api.load import Model, ModelLike, resolve
from lydite.api.measuring import device_of_backend, make_measuring, recorded_run
from lydite.api.options import ModelOptions, chosen
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.measure import Profile


class FailedOperator(TypedDict):
    """An operator that could not be measured, and why."""

    op_type: str
    status: str
    error: str
    key: str


class ModelProfile(TypedDict):
    """Measurements of a model; `reused` operators were already in the database."""

    model: str
    dtype: str
    dtype_reason: str
    operators: int
    distinct: int
    measured: int
    reused: int
    failed: list[FailedOperator]
    untyped: list[str]
    notes: list[str]


class ProfileDocument(TypedDict):
    """Measurements of each model."""

    device: str
    backend: str
    models: list[ModelProfile]


@dataclass(frozen=True, eq=False, repr=False)
class ProfileResult(Result):
    """Outcome of a profile.

    Attributes:
        device: Name of the device, as in the database.
        backend: Name of the backend that ran the operators.
        models: One row per model.
    """

    verb = "profile"

    device: str
    backend: str
    models: tuple[ModelProfile, ...]

    def document(self) -> ProfileDocument:
        """All models with their failures."""
        return {"device": self.device, "backend": self.backend, "models": list(self.models)}

    def summary(self) -> str:
        """A table with one line per model."""
        from lydite.report.text.profile import profile_text

        return profile_text(self.models)

    def headline(self) -> str:
        """Number of operators measured, and the device."""
        measured = sum(row["measured"] for row in self.models)
        reused = sum(row["reused"] for row in self.models)
        return f"{measured} operators measured on {self.device}, {reused} known before"

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per model."""
        return self.models


def profile(
    session: Session,
    models: ModelLike | Sequence[ModelLike],
    *,
    backend: str = "onnxruntime",
    threads: int = 1,
    device: str = "cpu",
    cache: str = "rotated",
    clock: str = "wall",
    budget: float = 0.5,
    in_graph: bool = False,
    again: bool = False,
    timeout: float = 120.0,
    memory: str | None = None,
    options: ModelOptions | None = None,
    **given: Unpack[ModelKeywords],
) -> ProfileResult:
    """Measure operators and store them in the session's database; known ones are not repeated.

    Args:
        session: Session whose database receives the rows.
        models: One model or several; see `load`.
        backend: Backend that runs the operators.
        threads: Number of threads per operator.
        device: Device of the backend: "cpu" or "cuda".
        cache: Cache state of weights before a call: "rotated" (as in a network), "hot" or "cold".
        clock: Clock: "wall" or "process".
        budget: Seconds to spend on each operator.
        in_graph: Whether to keep the backend's own times of whole runs as well.
        again: Whether to measure known operators again.
        timeout: Longest time in seconds without an answer of the measuring process.
        memory: Maximum memory of the measuring process, such as "8 GiB".
        options: Options of the models.
        given: Fields of `ModelOptions`.

    Raises:
        InputError: a model is invalid, or an option is out of range.
        BackendError: the backend cannot run here.
    """
    from lydite.measure import profile as measure_all
    from lydite.measure import profile_in_graph

    wanted, where = chosen(ModelOptions, options, given), device_of_backend(device)
    made = [resolve(model, wanted, where) for model in several(models)]
    arguments = {
        "models": [model.label for model in made],
        "backend": backend,
        "threads": threads,
        "cache": cache,
        "batch": wanted.batch,
        "clock": clock,
    }
    rows: list[ModelProfile] = []
    with session.database() as database, recorded_run(database, "profile", arguments) as run:
        with make_measuring(
            backend,
            database,
            threads=threads,
            device=device,
            cache=cache,
            clock=clock,
            budget=budget,
            seed=session.seed,
            run=run.id,
            timeout=timeout,
            memory=memory,
        ) as measuring:
            result = ProfileResult(measuring.device, backend, ())
            for model in made:
                with session.bar(f"profile {model.name}") as progress:
                    done = measure_all(model.graph, measuring, again=again, progress=progress)
                if in_graph:
                    profile_in_graph(model.graph, measuring)
                rows.append(_row(model, done))
                result = ProfileResult(measuring.device, backend, tuple(rows))
                run.keep(result)
    return result


def _row(model: Model, done: Profile) -> ModelProfile:
    return {
        "model": model.graph.name,
        "dtype": model.dtype,
        "dtype_reason": model.dtype_reason,
        "operators": len(done.graph.ops),
        "distinct": done.distinct,
        "measured": done.measured,
        "reused": done.reused,
        "failed": [
            {
                "op_type": failure.key.qualified_type,
                "status": failure.status,
                "error": failure.error,
                "key": failure.key.text,
            }
            for failure in done.failures
        ],
        "untyped": list(done.untyped),
        "notes": list(model.notes),
    }
