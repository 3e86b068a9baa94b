"""What happened to the requests of a workload."""

from __future__ import annotations

import numpy as np

from lydite.records import dataclass
from lydite.serving.requests import Requests
from lydite.serving.tiers import TierUse


@dataclass(frozen=True, eq=False)
class Outcome:
    """What happened to each request, and how often what was done.

    Times are in seconds after the first arrival; NaN where it did not happen: float64 [requests].

    Attributes:
        requests: The workload.
        arrived_s, started_s, first_s, last_s: Arrival, first step, first and last token.
        hits: Prompt tokens that were found in the cache: int32.
        preempted: How often each was preempted: int32.
        replica: Where each ended: int32.
        end_s: End of the last step.
        steps: Number of steps.
        tokens: Number of tokens that were computed, with those computed again.
        drafted, accepted: Number of tokens that were drafted and verified, and of those accepted.
        gap_s, gap_count: Times between two tokens of a request (geometric middle of each bin), and
            how often; tokens that come together, as with speculation, have none between them.
        gap_start: Where the gaps of each of the first requests begin in `gap_ns`, with the end:
            int64 [followed requests + 1].
        gap_ns: Time before each token after the first, -1 where it came with the one before it or
            not at all: int64.
        busy_s: Time that each replica computed.
        peak_tokens: Most tokens in the KV cache of each replica.
        retried: How often each was sent again since its replica failed: int32 [requests].
        on_s: Time that each replica ran or started, up to `end_s`.
        failures, starts, stops: How often replicas failed, were started and were stopped.
        tiers: What went to and from tiers of the KV cache; None without.
        trace: The first steps, columns `STEP_COLUMNS`: int64.
        decisions: (step, request, tokens) of each request in these steps: int64.
    """

    requests: Requests
    arrived_s: np.ndarray
    started_s: np.ndarray
    first_s: np.ndarray
    last_s: np.ndarray
    hits: np.ndarray
    preempted: np.ndarray
    replica: np.ndarray
    end_s: float
    steps: int
    tokens: int
    drafted: int
    accepted: int
    gap_s: np.ndarray
    gap_count: np.ndarray
    gap_start: np.ndarray
    gap_ns: np.ndarray
    busy_s: np.ndarray
    peak_tokens: np.ndarray
    retried: np.ndarray
    on_s: np.ndarray
    failures: int
    starts: int
    stops: int
    tiers: TierUse | None
    trace: np.ndarray
    decisions: np.ndarray

    @property
    def ttft_s(self) -> np.ndarray:
        """Time to the first token, from the arrival."""
        return self.first_s - self.arrived_s

    @property
    def latency_s(self) -> np.ndarray:
        """Time to the last token, from the arrival."""
        return self.last_s - self.arrived_s

    @property
    def tpot_s(self) -> np.ndarray:
        """Time per output token after the first; NaN for outputs of one token."""
        more = self.requests.output - 1
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(more > 0, (self.last_s - self.first_s) / more, np.nan)

    @property
    def tpot_with_first_s(self) -> np.ndarray:
        """Latency per output token, the first included."""
        return self.latency_s / self.requests.output

    def itls_s(self, request: int) -> np.ndarray | None:
        """Gaps between the tokens of a request in seconds, in order; None where they aren't kept.

        Tokens that come together, as with speculation, have no gap between them.
        """
        if request >= len(self.gap_start) - 1:
            return None
        gaps = self.gap_ns[self.gap_start[request] : self.gap_start[request + 1]]
        return gaps[gaps >= 0] * 1e-9
