"""`profile`: measure every distinct operator that the backend really runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from typing_extensions import TypedDict

from lydite.api.coverage import several
from lydite.api.keywords import ModelKeywords
from lydite.api.load import Model, ModelLike, resolve
from lydite.api.measuring import device_of_backend, make_measuring, recorded_run
from lydite.api.options import ModelOptions, chosen
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
    """What was measured of a model; `reused` operators were in the database already."""

    model: str
    dtype: str
    dtype_reason: str
    operators: int
    distinct: int
    measured: int
    reused: int
    failed: list[FailedOperator]
    untyped: list[str]


class ProfileDocument(TypedDict):
    """What was measured of each model."""

    device: str
    backend: str
    models: list[ModelProfile]


@dataclass(frozen=True, eq=False, repr=False)
class ProfileResult(Result):
    """What was measured.

    Attributes:
        device: where, as the rows of the database name it.
        backend: who ran the operators.
        models: one row per model.
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
        """How many operators were measured, where."""
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
    """Measure operators into the session's database; what is known is not measured again.

    Args:
        session: its database takes the rows.
        models: one model or several; see `load`.
        backend: who runs the operators.
        threads: threads inside an operator.
        device: where the backend runs: "cpu" or "cuda".
        cache: weights before a call: "rotated" (as in a net), "hot" or "cold".
        clock: "wall" or "process".
        budget: seconds to spend on each operator.
        in_graph: whether the backend's own times of whole runs are kept as well.
        again: whether known operators are measured again.
        timeout: longest silence of one operator, in seconds.
        memory: most memory of the measuring process, such as "8 GiB".
        options: how the models are built.
        given: fields of `ModelOptions`.

    Raises:
        InputError: a bad model, or an option out of range.
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
            for model in made:
                with session.bar(f"profile {model.name}") as progress:
                    done = measure_all(model.graph, measuring, again=again, progress=progress)
                if in_graph:
                    profile_in_graph(model.graph, measuring)
                rows.append(_row(model, done))
                run.result = ProfileResult(measuring.device, backend, tuple(rows)).to_dict()
    return ProfileResult(measuring.device, backend, tuple(rows))


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
    }
