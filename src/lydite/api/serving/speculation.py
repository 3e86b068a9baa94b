"""Options of speculation, and what it did."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from lydite.api.load import Model, ModelLike, takes_sizes
from lydite.api.serving.options import ServeOptions
from lydite.errors import InputError

if TYPE_CHECKING:
    from lydite.serving import Outcome, Speculation
    from lydite.serving.deploy import ServingRuntime


OWN_LAYER = ("mtp", "eagle")
"""Drafts of a layer of the model's shape."""
MTP_ACCEPTANCE = 0.85
"""Acceptance of DeepSeek-V3's drafted token, the least of 85 to 90 % (arXiv 2412.19437, 5.4.3)."""
_MTP_FIELDS = ("num_nextn_predict_layers", "mtp_num_hidden_layers")
_MTP_MODELS = ("deepseek-v3",)
"""Models of the set whose published config has a layer for multi-token prediction."""


class SpeculationDocument(TypedDict):
    """Tokens that were drafted ahead.

    Attributes:
        draft: Model that drafts, "ngram", "mtp" or "eagle".
        tokens: Tokens drafted for each request of a step.
        acceptance: Chance of each position, given that all before it were accepted.
        assumed: Whether the chances are assumed rather than given.
        expected: Accepted tokens of a verification that the chances say.
        drafted: Tokens that were drafted and verified.
        accepted: Of these, tokens that were accepted.
    """

    draft: str
    tokens: int
    acceptance: list[float]
    assumed: bool
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
    if options.acceptance is None and options.draft == "mtp" and options.draft_tokens in (None, 1):
        return Speculation(1, (MTP_ACCEPTANCE,), None, seed=seed)
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


def check_mtp(model: ModelLike) -> None:
    """Refuse multi-token prediction of a model whose config has no layer for it.

    Raises:
        InputError: it has none.
    """
    source = str(model.source if isinstance(model, Model) else model)
    count = int(source in _MTP_MODELS)
    if takes_sizes(source):
        path = Path(source)
        path = path / "config.json" if path.is_dir() else path
        config = json.loads(path.read_text("utf-8"))
        parts = [config, *(each for each in config.values() if isinstance(each, dict))]
        count = sum(int(each.get(name) or 0) for each in parts for name in _MTP_FIELDS)
    if not count:
        raise InputError(
            f"{source} has no layer for multi-token prediction",
            allowed=f"{', '.join(_MTP_MODELS)}, or a config with {' or '.join(_MTP_FIELDS)}",
            hint="--draft eagle, with --acceptance",
        )


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
        "assumed": options.acceptance is None,
        "expected": drafting.mean_accepted,
        "drafted": outcome.drafted,
        "accepted": outcome.accepted,
    }
