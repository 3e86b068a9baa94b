"""How long a batch takes: stated, drawn from a distribution, estimated, or recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lydite.errors import InputError
from lydite.records import dataclass


@dataclass(frozen=True, eq=False)
class Service:
    """Service times by batch size, taken in turn.

    Attributes:
        times_ns: Times of each batch size from 1 on, in nanoseconds; each is used in turn.
        source: Where they come from: "estimated", "recorded", "stated" or "drawn".
        between: Batch sizes without a time of their own, which are interpolated.
        issued_ns: When a recorded run of Server issued its queries; None where that is not known.
    """

    times_ns: tuple[np.ndarray, ...]
    source: str
    between: tuple[int, ...] = ()
    issued_ns: np.ndarray | None = None

    def __post_init__(self) -> None:
        for batch, times in enumerate(self.times_ns, start=1):
            if not len(times) or int(times.min()) < 1:
                raise InputError(f"a batch of {batch} takes no time", allowed="1 ns or more")

    @property
    def largest(self) -> int:
        """Largest batch size with a time."""
        return len(self.times_ns)

    def late_ns(self, scheduled_ns: np.ndarray) -> np.ndarray:
        """How much later than scheduled each query came: int64[queries].

        It is known of a recorded run with as many queries; the most punctual one counts as in time.
        """
        if self.issued_ns is None or len(self.issued_ns) != len(scheduled_ns):
            return np.zeros(len(scheduled_ns), np.int64)
        late = self.issued_ns - scheduled_ns
        return late - late.min()

    def table(self) -> tuple[np.ndarray, np.ndarray]:
        """All times in a row, and where each batch size begins: int64[n], int64[sizes + 1]."""
        starts = np.cumsum([0, *(len(times) for times in self.times_ns)])
        return np.concatenate(self.times_ns).astype(np.int64), starts.astype(np.int64)


def of_sizes(
    measured: Mapping[int, Sequence[int] | np.ndarray], largest: int, source: str
) -> Service:
    """Service times of all batch sizes up to the largest, from those of some.

    A size in between takes the times of the next smaller one, stretched to the line between the
    medians of its neighbours; below the smallest size the smallest counts, since smaller batches
    are hardly faster than they.

    Args:
        measured: Nanoseconds by batch size.
        largest: Largest batch size that will be asked for.
        source: Where the times come from.

    Raises:
        InputError: no times, or none for sizes as large as the largest.
    """
    known = sorted(size for size, times in measured.items() if len(times))
    if not known or known[-1] < largest:
        most = known[-1] if known else 0
        raise InputError(
            f"no service time of a batch of {largest}",
            allowed=f"batches up to {most}" if known else "",
            hint=f"--batch-size {most}" if known else "",
        )
    medians = np.array([float(np.median(measured[size])) for size in known])
    table: list[np.ndarray] = []
    for size in range(1, largest + 1):
        below = max((k for k in known if k <= size), default=known[0])
        wanted = float(np.interp(size, known, medians))
        times = np.asarray(measured[below], np.float64) * wanted / float(np.median(measured[below]))
        table.append(np.maximum(np.rint(times), 1).astype(np.int64))
    between = tuple(size for size in range(1, largest + 1) if size not in known)
    return Service(tuple(table), source, between)


def drawn(median_s: Mapping[int, float], spread: float, largest: int, seed: int) -> Service:
    """Log-normal service times around the medians of some batch sizes.

    Args:
        median_s: Seconds by batch size.
        spread: Standard deviation of the logarithm; 0 for constant times.
        largest: Largest batch size that will be asked for.
        seed: Seed of the draws.
    """
    draw = np.random.default_rng(seed)
    count = 1 if spread == 0 else 4093
    factors = np.exp(spread * draw.standard_normal(count))
    times = {size: np.rint(seconds * 1e9 * factors) for size, seconds in median_s.items()}
    return of_sizes(times, largest, "stated" if spread == 0 else "drawn")
