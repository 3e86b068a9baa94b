"""Texts: F1 of words as SQuAD has it, and ROUGE by rouge-score.

Outputs are texts in UTF-8, as arrays of their bytes; labels are the right texts.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from lydite.errors import MissingExtra

ROUGES = ("rouge1", "rouge2", "rougeL", "rougeLsum")


def text_of(output: np.ndarray) -> str:
    """The text of an output; bytes that are no UTF-8 become replacement characters."""
    return bytes(output.tobytes()).rstrip(b"\0").decode("utf-8", "replace")


def squad(outputs: Sequence[np.ndarray], labels: np.ndarray) -> dict[str, float]:
    """F1 and exact match of texts in UTF-8, as the SQuAD 1.1 evaluation script has them.

    A label is one text, or several right ones separated by tabs, of which the best counts.
    """
    said = [text_of(output) for output in outputs]
    answers = [str(label).split("\t") for label in labels]
    pairs = list(zip(said, answers, strict=True))
    return {
        "f1": float(np.mean([max(f1(text, one) for one in right) for text, right in pairs])),
        "exact_match": float(
            np.mean([any(plain(text) == plain(one) for one in right) for text, right in pairs])
        ),
    }


def plain(text: str) -> str:
    """Lower case, without punctuation, articles and extra spaces (SQuAD's normalisation)."""
    lowered = "".join(char for char in text.lower() if char not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", lowered).split())


def f1(said: str, right: str) -> float:
    """Harmonic mean of precision and recall of words, after normalisation."""
    mine, wanted = plain(said).split(), plain(right).split()
    common = sum((Counter(mine) & Counter(wanted)).values())
    return 2 * common / (len(mine) + len(wanted)) if common else 0.0


def rouge(outputs: Sequence[np.ndarray], labels: np.ndarray) -> dict[str, float]:
    """Mean F-measures of ROUGE-1, -2, -L and -Lsum with Porter's stemmer, and `gen_len`.

    Shares between 0 and 1, as MLPerf's reference scripts for llama have them; `gen_len` is the
    number of characters of all texts. ROUGE-Lsum compares sentence by sentence. The reference
    scripts find sentences with nltk's punkt_tab, a download of its own: without it sentences are
    the lines of a text, and the figure is called `rougeLsum_lines`.

    Raises:
        MissingExtra: rouge-score is not installed.
    """
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        raise MissingExtra("rouge-score", "mlperf-metrics") from None
    split = _splitter()
    told = split or str
    said = [told(text_of(output).strip()) for output in outputs]
    right = [told(str(label).strip()) for label in labels]
    scorer = RougeScorer(list(ROUGES), use_stemmer=True)
    scores = [scorer.score(one, text) for text, one in zip(said, right, strict=True)]
    means = {name: float(np.mean([each[name].fmeasure for each in scores])) for name in ROUGES}
    if split is None:
        means["rougeLsum_lines"] = means.pop("rougeLsum")
    return {**means, "gen_len": float(sum(map(len, said)))}


def _splitter() -> Callable[[str], str] | None:
    """What writes one sentence a line; None where nltk's punkt_tab is not there."""
    from nltk import sent_tokenize

    try:
        sent_tokenize("One. Two.")
    except LookupError:
        return None
    return lambda text: "\n".join(sent_tokenize(text))
