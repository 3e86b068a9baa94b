"""The workload of `serve`: a trace, a log, or requests that are drawn for any rate."""

from __future__ import annotations

from dataclasses import replace

from lydite.api.serving.options import WorkloadOptions
from lydite.errors import InputError
from lydite.records import dataclass
from lydite.serving.requests import Requests
from lydite.serving.traces import Measured, read_log, read_trace
from lydite.serving.workloads import drawn

MINUTE_S, FEWEST, MOST = 60.0, 300, 20_000
ROUND_TRIP_S = 2e-3
"""From the last token of a closed loop's request to the arrival of the next at the scheduler: out
through the front end, to the client, and back through the tokenizer; assumed."""


@dataclass(frozen=True, eq=False)
class Source:
    """Where requests come from.

    Attributes:
        requests: The workload as it was asked for.
        measured: Measured times of a log, or None.
        load: Options of the workload.
        seed: Seed of the draws.
    """

    requests: Requests
    measured: Measured | None
    load: WorkloadOptions
    seed: int

    def at_rate(self, rate: float) -> Requests:
        """The workload at a rate: drawn anew, as many as arrive in a minute, or a trace scaled."""
        if rate == self.requests.rate:
            return self.requests
        if self.load.trace is not None or self.load.replay is not None:
            return self.requests.at_rate(rate)
        count = max(self.load.requests or FEWEST, min(MOST, round(rate * MINUTE_S)))
        return _drawn(self.load, self.seed, rate, count)


def workload_of(load: WorkloadOptions, seed: int, *, searching: bool) -> Source:
    """The workload that the options describe.

    Args:
        load: Options.
        seed: Seed of the draws.
        searching: Whether a rate is searched for, so that none has to be given.

    Raises:
        InputError: two workloads are given, or one is invalid.
    """
    if load.trace is not None and load.replay is not None:
        raise InputError("--trace and --replay are two workloads", hint="give one of them")
    if load.trace is None and load.replay is None:
        if load.benchmark is not None:
            raise InputError("--benchmark has no effect here", hint="add --trace or --replay")
        rate = load.rate
        if rate is None and load.concurrency is None:
            if not searching:
                raise InputError(
                    "no workload",
                    hint="--rate 10 --isl 1024 --osl 256, --concurrency 32, or --trace",
                )
            rate = 1.0
        usual = max(FEWEST, min(MOST, round((rate or 0) * 2 * MINUTE_S)))
        return Source(_drawn(load, seed, rate, load.requests or usual), None, load, seed)
    _refuse_ignored(load)
    measured = None
    if load.replay is not None:
        requests, measured = read_log(load.replay, load.benchmark)
    else:
        assert load.trace is not None
        requests = read_trace(load.trace, load.benchmark)
    if load.requests is not None:
        requests = requests.taken(load.requests)
        if measured is not None:
            first = slice(load.requests)
            measured = Measured(measured.ttft_s[first], measured.latency_s[first])
    if load.concurrency is not None:
        requests = replace(requests, concurrency=load.concurrency)
    elif load.rate is not None:
        requests = requests.at_rate(load.rate)
    return Source(requests, measured, load, seed)


_OF_DRAWS = ("isl", "osl", "arrival", "burstiness", "spread", "shared_prefix", "turns", "think")


def _refuse_ignored(load: WorkloadOptions) -> None:
    """Refuse options of drawn requests beside a file that states the requests."""
    usual = WorkloadOptions()
    ignored = [name for name in _OF_DRAWS if getattr(load, name) != getattr(usual, name)]
    if ignored:
        words = ", ".join("--" + name.replace("_", "-") for name in ignored)
        raise InputError(f"{words} has no effect: the file states the requests")
    if load.rate is not None and load.concurrency is not None:
        raise InputError("--rate and --concurrency are two ways to load it", hint="give one")


def _drawn(load: WorkloadOptions, seed: int, rate: float | None, count: int) -> Requests:
    return drawn(
        count,
        isl=load.isl,
        osl=load.osl,
        rate=rate,
        concurrency=load.concurrency or 0,
        arrival=load.arrival,
        burstiness=load.burstiness,
        spread=load.spread,
        prefix=load.shared_prefix,
        turns=load.turns,
        think_s=load.think + (ROUND_TRIP_S if load.concurrency else 0.0),
        seed=seed,
    )
