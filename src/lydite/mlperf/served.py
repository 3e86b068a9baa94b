"""Token scenarios played by the serving loop: requests share replicas, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from lydite.errors import InputError
from lydite.mlperf.record import Record, Tokens
from lydite.mlperf.schedule import Plan, schedule
from lydite.records import dataclass

if TYPE_CHECKING:
    from lydite.serving import Outcome, Replica

LENGTHS = {
    "llama2-70b": (294.45, 294.45),
    "llama3.1-8b": (778.0, 73.0),
}
"""Mean tokens of prompts and answers of data sets, by the benchmark's name up to its accuracy:
OpenOrca as `mlcommons/inference` filters it (294.45 generated tokens, prompts about as long),
CNN/DailyMail."""
SPREAD = 0.6
"""Standard deviation over the mean of the lengths that are drawn; assumed."""
_PILOT = 4
"""Requests of the pilot for each that runs at once."""


@dataclass(frozen=True, eq=False)
class ServedTokens:
    """A system that serves a language model in virtual time.

    Attributes:
        replicas: Where the requests run.
        prompt, output: Tokens of each sample of the data set: int64[samples].
        source: Where step times and lengths come from.
    """

    replicas: Sequence[Replica]
    prompt: np.ndarray
    output: np.ndarray
    source: str

    def play(self, plan: Plan) -> Record:
        """Play a performance run.

        Raises:
            InputError: the scenario issues several samples a query, one query after another.
        """
        queries = schedule(plan)
        if plan.scenario == "MultiStream":
            raise InputError("MultiStream has no rules for tokens", allowed="other scenarios")
        samples = queries.samples.ravel()
        if plan.scenario == "SingleStream":
            return self._one_by_one(plan, samples)
        issued = queries.scheduled_ns
        arrivals = issued if plan.scenario == "Server" else np.zeros(len(samples), np.int64)
        outcome = self._served(samples, arrivals * 1e-9)
        done = arrivals + _ns(outcome.latency_s)
        tokens = self._tokens(outcome, samples)
        shaped = done.reshape(queries.samples.shape)
        return Record(
            plan.scenario, issued, issued, shaped, generated=len(queries.samples), tokens=tokens
        )

    @cached_property
    def offline_qps(self) -> float:
        """Requests a second, as far as they come, of a pilot."""
        most = sum(replica.scheduler.max_num_seqs for replica in self.replicas)
        samples = np.arange(_PILOT * min(most, 4096)) % len(self.prompt)
        outcome = self._served(samples, np.zeros(len(samples)))
        return len(samples) / outcome.end_s

    @cached_property
    def alone_qps(self) -> float:
        """Requests a second, one after another: the fast end of a few."""
        few = np.arange(min(64, len(self.prompt)))
        outcome = self._served(few, np.zeros(len(few)), concurrency=1)
        return 1 / float(np.percentile(outcome.latency_s, 10))

    def _one_by_one(self, plan: Plan, samples: np.ndarray) -> Record:
        """Each query is issued when the one before is done."""
        outcome = self._served(samples, np.zeros(len(samples)), concurrency=1)
        issued, until = _ns(outcome.arrived_s), plan.min_duration_ms * 1_000_000
        numbers = np.arange(1, len(issued) + 1)
        enough = np.flatnonzero((numbers >= plan.min_queries) & (issued >= until))
        count = int(enough[0]) + 1 if len(enough) else len(issued)
        errors = ("the generated queries ran out before the run was long enough",)
        done = issued + _ns(outcome.latency_s)
        tokens = self._tokens(outcome, samples, count)
        return Record(
            plan.scenario,
            issued[:count],
            issued[:count],
            done[:count, None],
            generated=len(samples),
            tokens=tokens,
            errors=() if len(enough) else errors,
        )

    def _tokens(self, outcome: Outcome, samples: np.ndarray, count: int | None = None) -> Tokens:
        """Times of the tokens of the first samples."""
        further = np.nan_to_num(outcome.tpot_s)
        made = self.output[samples % len(self.output)].astype(np.int64)
        return Tokens(_ns(outcome.ttft_s)[:count], _ns(further)[:count], made[:count])

    def _served(self, samples: np.ndarray, at_s: np.ndarray, concurrency: int = 0) -> Outcome:
        from lydite.serving import made, simulate_serving

        rows = samples % len(self.prompt)
        requests = made(at_s, self.prompt[rows], self.output[rows], concurrency=concurrency)
        return simulate_serving(requests, self.replicas)


def lengths_of(name: str, samples: int, seed: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Tokens of prompts and answers of a benchmark's samples, and how they are known.

    They are drawn around the means of its data set; the data set itself is not here.

    Raises:
        InputError: the means are not known.
    """
    from lydite.serving.workloads import drawn

    known = next((means for start, means in LENGTHS.items() if name.startswith(start)), None)
    if known is None:
        raise InputError(
            f"the lengths of {name}'s prompts and answers are not known",
            allowed=", ".join(LENGTHS),
            hint="--service ttft=300ms,tpot=20ms,tokens=250 states times of tokens",
        )
    requests = drawn(samples, isl=known[0], osl=known[1], rate=1.0, spread=SPREAD, seed=seed)
    told = f"lengths drawn around {known[0]:g} + {known[1]:g} tokens, their spread assumed"
    return requests.prompt.astype(np.int64), requests.output.astype(np.int64), told


def _ns(seconds: np.ndarray) -> np.ndarray:
    return np.round(seconds * 1e9).astype(np.int64)
