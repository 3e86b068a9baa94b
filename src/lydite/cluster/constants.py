"""What a step takes that no operator has: one place, each figure with where it comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Constants:
    """Figures of the host and the framework.

    Attributes:
        dispatch_s: what launching an operator takes on the host's processor.
        step_s: what a training step takes once, besides operators and messages: reading the
            batch, scaling and clipping, synchronisation.
        source: where they come from.
    """

    dispatch_s: float = 4e-6
    step_s: float = 0.0
    source: str = "assumed"


ASSUMED = Constants()
