"""Fields that do not matter to the graph: training, generation, book-keeping, scalar factors."""

from __future__ import annotations

from importlib.resources import files

IGNORED = frozenset(files("lydite.models.huggingface").joinpath("ignored.txt").read_text().split())
"""Fields of any config that do not change which operators run, or only by a scalar factor."""

IGNORED_ENDINGS = (
    "_token_id",
    "_token_ids",
    "_token_index",
    "_dropout",
    "_pdrop",
    "_drop",
    "dropout_rate",
    "_dropout_prob",
    "_init_std",
    "dropout",
    "layerdrop",
    "_loss_coef",
)
