"""What a scorecard runs: each model of a set in each precision and batch size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lydite.api.score.options import ScoreOptions
from lydite.errors import InputError, unknown_name

if TYPE_CHECKING:
    from lydite.score.sets import Entry, ModelSet


def model_names(wanted: ScoreOptions) -> list[str]:
    """Models of the set that the options choose.

    Raises:
        InputError: there is no such set.
    """
    from lydite.score.sets import find_set

    return list(find_set(str(wanted.set) if wanted.set else wanted.size).models)


def combinations(
    wanted: ScoreOptions, models: ModelSet, kind: str
) -> list[tuple[str, Entry, str, int, bool]]:
    """Model, its row, precision, batch size, and whether that is the set's own, of what to run.

    Args:
        wanted: What was asked for.
        models: Set of models.
        kind: "cpu" for a processor.

    Raises:
        InputError: a model or precision is unknown, or a batch size is no number.
    """
    from lydite.score.sets import PRECISIONS

    names = tuple(word.strip() for word in wanted.models.split(",") if word.strip())
    precisions = [word.strip() for word in wanted.precision.split(",") if word.strip()]
    for word in precisions:
        if word not in PRECISIONS:
            raise unknown_name("precision", word, PRECISIONS)
    made: list[tuple[str, Entry, str, int, bool]] = []
    for name, entry in models.chosen(names).items():
        own = _runnable(entry.precision, kind)
        for precision in precisions or [own]:
            for batch in _batches(wanted.batch):
                made.append((name, entry, precision, batch, precision == own and batch == 1))
    return made


def _runnable(precision: str, kind: str) -> str:
    """The set's precision, or fp32 where a processor has no kernels for 16 bits."""
    return "fp32" if kind == "cpu" and precision in ("fp16", "bf16", "tf32") else precision


def _batches(text: str) -> list[int]:
    sizes: list[int] = []
    for word in text.split(","):
        if not word.strip().isdecimal() or not 0 < int(word) <= 65536:
            raise InputError(
                f"'{word.strip()}' is no batch size", where="--batch", allowed="such as 1,8"
            )
        sizes.append(int(word))
    return list(dict.fromkeys(sizes))
