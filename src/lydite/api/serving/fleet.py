"""Options of replicas that fail, start and stop, and what happened to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from lydite.api.serving.options import ServeOptions
from lydite.errors import InputError

if TYPE_CHECKING:
    from lydite.serving import Fleet, Outcome, Replica


class FleetDocument(TypedDict):
    """Replicas that failed, were started and were stopped.

    Attributes:
        failures, starts, stops: How often that happened to a replica.
        retried: Requests that were sent again since their replica failed, each time counted.
        mean_replicas: Replicas that ran or started in the mean, to the last token.
    """

    failures: int
    starts: int
    stops: int
    retried: int
    mean_replicas: float


def most_replicas(options: ServeOptions) -> int:
    """Replicas that the options ask for at most.

    Raises:
        InputError: --autoscale cannot be read, or replicas are said twice.
    """
    from lydite.serving.fleet import read_scale

    if options.autoscale is None:
        return options.replicas
    if options.replicas > 1 or options.layout or options.prefill or options.decode:
        raise InputError(
            "--autoscale and the layout both say how many replicas there are",
            hint="--tp, --pp and --ep say what each of them is",
        )
    return read_scale(options.autoscale)[1]


def fleet_of(options: ServeOptions, replicas: Sequence[Replica], *, is_alone: bool) -> Fleet | None:
    """What changes which replicas run; None for nothing.

    Args:
        options: Options of the deployment.
        replicas: Replicas, of which --fail names some.
        is_alone: Whether one deployment is asked for, rather than searched or compared.

    Raises:
        InputError: an option cannot be read or has no effect, or is not modelled in searches.
    """
    from lydite.serving.fleet import Fleet, read_failures, read_scale

    if options.fail is None and options.autoscale is None:
        if options.cold_start:
            raise InputError("--cold-start has no effect here", hint="add --fail or --autoscale")
        return None
    if not is_alone:
        raise InputError("--fail and --autoscale are not modelled with --find or --compare")
    failures = read_failures(options.fail, len(replicas)) if options.fail else ()
    scale = read_scale(options.autoscale)[0] if options.autoscale else None
    return Fleet(failures, scale, options.cold_start)


def fleet_document(options: ServeOptions, outcome: Outcome) -> FleetDocument | None:
    """What happened to the replicas; None where all ran all the time."""
    if options.fail is None and options.autoscale is None:
        return None
    return {
        "failures": outcome.failures,
        "starts": outcome.starts,
        "stops": outcome.stops,
        "retried": int(outcome.retried.sum()),
        "mean_replicas": float(outcome.on_s.sum() / max(outcome.end_s, 1e-12)),
    }
