"""Options of speculation, and what it did."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from lydite.api.serving.options import ServeOptions
from lydite.errors import InputError

if TYPE_CHECKING:
    from lydite.serving import Outcome, Speculation
    from lydite.serving.deploy import ServingRuntime


class SpeculationDocument(TypedDict):
    """Tokens that were drafted ahead.

    Attributes:
        draft: Model that drafts, or "ngram".
        tokens: Tokens drafted for each request of a step.
        acceptance: Chance of each position, given that all before it were accepted.
        expected: Accepted tokens of a verification that the chances say.
        drafted: Tokens that were drafted and verified.
        accepted: Of these, tokens that were accepted.
    """

    draft: str
    tokens: int
    acceptance: list[float]
    expected: float
    drafted: int
    accepted: int


def drafting_of(options: ServeOptions, runtime: ServingRuntime, seed: int) -> Speculation | None:
    """How tokens are drafted ahead, without times; None if they are not.

    Raises:
        InputError: the runtime's speculation is not modelled, chances are missing, no numbers from
            0 to 1, or not as many as tokens.
    """
    from lydite.serving import Speculation

    if options.draft is None:
        for name, value in (
            ("--draft-tokens", options.draft_tokens),
            ("--acceptance", options.acceptance),
        ):
            if value is not None:
                raise InputError(f"{name} has no effect here", hint="add --draft")
        return None
    if runtime.name != "vllm":
        raise InputError(f"--draft is not modelled for {runtime.name}", allowed="vllm")
    if options.acceptance is None:
        raise InputError(
            "--draft needs the chance that its tokens are accepted",
            hint="--acceptance 0.8,0.6,0.4 by position, or one for all with --draft-tokens",
        )
    chances = _chances(options.acceptance)
    tokens = options.draft_tokens or len(chances)
    if len(chances) == 1:
        chances *= tokens
    if len(chances) != tokens:
        raise InputError(
            f"--acceptance has {len(chances)} chances for {tokens} draft tokens",
            allowed=f"1 or {tokens}",
        )
    return Speculation(tokens, tuple(chances), None, options.draft != "ngram", seed)


def _chances(text: str) -> list[float]:
    chances = []
    for part in text.split(","):
        try:
            chance = float(part)
        except ValueError:
            chance = math.nan
        if not 0 <= chance <= 1:
            raise InputError(f"--acceptance: '{part.strip()}'", allowed="0 to 1, such as 0.8,0.6")
        chances.append(chance)
    return chances


def speculation_document(
    options: ServeOptions, drafting: Speculation | None, outcome: Outcome
) -> SpeculationDocument | None:
    """What speculation did; None without it."""
    if drafting is None:
        return None
    return {
        "draft": str(options.draft),
        "tokens": drafting.tokens,
        "acceptance": list(drafting.acceptance),
        "expected": drafting.mean_accepted,
        "drafted": outcome.drafted,
        "accepted": outcome.accepted,
    }
