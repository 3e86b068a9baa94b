"""`search`: find the fastest plans of a training step on a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from typing_extensions import TypedDict

from lydite.api.devices import chain_for
from lydite.api.keywords import StepKeywords
from lydite.api.load import Model, ModelLike, resolve, unwrapped
from lydite.api.options import ModelOptions
from lydite.api.plan_options import PlanOptions
from lydite.api.simulate import (
    StepDocument,
    grouped,
    rank_options,
    step_document,
    trained_length,
)
from lydite.api.step_options import ClusterOptions
from lydite.exhibits import Curve, Exhibit
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.cluster.search import RankedPlans
    from lydite.graph import Graph


class SearchDocument(TypedDict):
    """Numbers of possible plans and of those that fit in memory, and the fastest of these."""

    considered: int
    fitting: int
    samples: int
    context_degrees: list[int]
    best: list[StepDocument]


@dataclass(frozen=True, eq=False, repr=False)
class SearchResult(Result):
    """The fastest plans of a training step.

    Attributes:
        found: Outcome of the search.
        model: Model of a rank of the last plan.
        samples: Number of samples per step, over all replicas.
    """

    verb = "search"
    exhibits = (
        Exhibit(
            "Plans, the fastest first",
            "/best",
            {
                "plan.dp": "data",
                "plan.tp": "tensor",
                "plan.pp": "pipeline",
                "plan.cp": "context",
                "plan.ep": "expert",
                "plan.micro_batch": "micro-batch",
                "plan.schedule": "schedule",
                "plan.zero": "ZeRO",
                "plan.recompute": "recompute",
                "seconds": "step",
                "low_s": "low",
                "high_s": "high",
                "samples_per_s": "samples",
                "mfu": "MFU",
                "peak_memory_bytes": "memory",
                "cost_usd": "cost, USD",
            },
            curve=Curve("peak_memory_bytes", {"seconds": "points"}, front="min-min"),
        ),
    )
    deprecated: ClassVar[Mapping[str, str]] = {
        "best[].step_s": "best[].seconds",
        "best[].kind": "best[].source",
    }

    found: RankedPlans
    model: Model
    samples: int

    def document(self) -> SearchDocument:
        """The best plans with their steps."""
        steps = [step_document(step, self.model, None) for step in self.found.best]
        return {
            "considered": self.found.considered,
            "fitting": self.found.fitting,
            "samples": self.samples,
            "context_degrees": list(self.found.contexts),
            "best": steps,
        }

    def summary(self) -> str:
        """A table with one line per plan."""
        from lydite.report.text.step import search_text

        return search_text(self.found)

    def headline(self) -> str:
        """Time of the best plan, and number of plans."""
        from lydite.units import format_seconds

        best = self.found.best[0]
        return (
            f"{best.model} on {best.cluster.name}: {format_seconds(best.seconds)} per step at "
            f"best; {self.found.considered} plans, {self.found.fitting} of them fit in memory"
        )

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per plan."""
        return [
            {
                "seconds": step.seconds,
                "mfu": step.mfu,
                "peak_memory_bytes": step.peak_memory_bytes,
                **step_document(step, self.model, None)["plan"],
            }
            for step in self.found.best
        ]


def search(
    session: Session,
    model: ModelLike,
    *,
    options: ModelOptions | None = None,
    cluster: ClusterOptions | None = None,
    plan: PlanOptions | None = None,
    ray: str | None = None,
    **given: Unpack[StepKeywords],
) -> SearchResult:
    """Search for the fastest plan of a training step among all that divide the ranks evenly.

    Args:
        session: Session whose database holds measurements of operators and collectives.
        model: Model to train; see `load`.
        options, cluster, plan: Groups of options.
        ray: Ray cluster that computes; see `lydite.pool.open_pool`.
        given: Fields of `ModelOptions` and `ClusterOptions`, and of `PlanOptions` two: `batch`,
            number of samples per step over all replicas (two per device by default), and `cp`, the
            largest degree of context parallelism to consider (by default the largest that leaves a
            rank 8,192 tokens).

    Raises:
        InputError: the model or cluster is unknown, `cp` does not divide the tokens, no plan
            fits, or the Ray cluster cannot be used.
    """
    from lydite.cluster.constants import with_curves
    from lydite.cluster.search import search as search_plans
    from lydite.estimate import Rows
    from lydite.pool import open_pool

    net, where, degrees, _ = grouped(given, options, cluster, plan, None)
    source, net, example = unwrapped(model, net)
    found_cluster, constants = where.cluster(), where.known_constants()
    degrees.refuse_for_search()
    constants = degrees.with_arithmetic(constants, found_cluster.device)
    batch = degrees.batch or 2 * found_cluster.ranks
    training = replace(net, train=True)
    built: list[Model] = []
    tokens = net.sequence or trained_length(source)
    rank_options(training, source, 1, degrees.cp)  # refuses a degree that does not divide

    def build(micro_batch: int, cp: int, tp: int) -> Graph:
        shape = rank_options(training, source, micro_batch, cp, tp)
        built[:] = [resolve(source, shape, found_cluster.device, example=example)]
        return built[0].graph

    rows = Rows("torch", 1, "wall")
    with (
        open_pool(ray, jobs=1) as pool,
        session.readings() as database,
        session.bar("search") as progress,
    ):
        estimator, _ = chain_for([database], found_cluster.device, rows, constants.achieved)
        found = search_plans(
            build,
            found_cluster,
            batch,
            estimator,
            loss=net.loss,
            optimizer=net.optimizer or "adam",
            constants=with_curves(constants, database, found_cluster),
            contexts=_contexts(tokens, degrees.cp),
            pool=pool,
            progress=progress,
        )
    return SearchResult(found, built[0], batch)


LONG = 8192
"""Tokens of a sequence that a rank has at least, where context parallelism is not asked for."""


def _contexts(tokens: int | None, asked: int) -> list[int]:
    """Degrees of context parallelism to consider: powers of two up to the largest, and that."""
    if tokens is None:
        return [1]
    most = asked if asked > 1 else max(1, tokens // LONG)
    powers = {2**n for n in range(most.bit_length())} | {most if asked > 1 else 1}
    return sorted(degree for degree in powers if tokens % degree == 0)
