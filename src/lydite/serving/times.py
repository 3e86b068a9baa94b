"""`StepTimes`: how long a step takes, as tables by tokens, sequences and contexts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

import numpy as np

from lydite.records import dataclass
from lydite.serving.kernels.steps import CONTEXT_UNIT, Times

DECODE_SEQUENCES = 2.0 ** np.arange(0, 11)
DECODE_CONTEXT = 2.0 ** np.arange(0, 21)
PREFILL_TOKENS = 2.0 ** np.arange(0, 15)
PREFILL_CONTEXT = (2.0 ** np.arange(0, 15) - 1) * CONTEXT_UNIT


@dataclass(frozen=True, eq=False)
class StepTimes:
    """Times of the parts of a step, in seconds.

    Attributes:
        dense_s: All but attention and head, by number of tokens from 0 on.
        head_s: Head and sampler, by number of sequences from 0 on.
        decode_s: Attention of all layers to one new token of each of `DECODE_SEQUENCES` sequences,
            with `DECODE_CONTEXT` tokens each.
        prefill_s: Attention of all layers to `PREFILL_TOKENS` tokens of a prompt behind
            `PREFILL_CONTEXT` others.
        skew: Share of what the longest context would cost all sequences more than the mean, that a
            batch of unlike contexts costs more.
        host_s: Time of the host that the device waits for, in each step.
        host_sequence_s: The same for each sequence.
        beside_s: As `decode_s`, for sequences that decode beside a prompt.
        verify_s: As `decode_s`, for as many tokens of each sequence as speculation verifies; None
            where it takes as long as one token does.
        experts_s: Experts that are spread over the replicas of a group, and the messages to them
            and back, by number of tokens of the group from 0 on.
        stages: Share of the layers in each pipeline stage.
        send_s: A message from a stage to the next, by number of tokens from 0 on.
        sources: Share of a usual decoding step's time by source.
        low, high: Factors of the 90 % interval of a step's time.
    """

    dense_s: np.ndarray
    head_s: np.ndarray
    decode_s: np.ndarray
    prefill_s: np.ndarray
    beside_s: np.ndarray
    verify_s: np.ndarray | None = None
    skew: float = 0.0
    host_s: float = 0.0
    host_sequence_s: float = 0.0
    experts_s: np.ndarray = field(default_factory=lambda: np.zeros(1))
    stages: tuple[float, ...] = (1.0,)
    send_s: np.ndarray = field(default_factory=lambda: np.zeros(1))
    sources: Mapping[str, float] = field(default_factory=dict)
    low: float = 1.0
    high: float = 1.0

    def scaled(self, factor: float) -> StepTimes:
        """All parts times a factor."""
        from dataclasses import replace

        parts = ("dense_s", "head_s", "decode_s", "prefill_s", "beside_s")
        parts = (*parts, "host_s", "host_sequence_s", "experts_s", "send_s")
        verify_s = None if self.verify_s is None else self.verify_s * factor
        scaled = {name: getattr(self, name) * factor for name in parts}
        return replace(self, **scaled, verify_s=verify_s)

    def step_s(
        self, decodes: int, context: float, prompts: Sequence[tuple[int, int]] = ()
    ) -> float:
        """Time of a step of some decoding sequences and some (tokens, context) of prompts."""
        tokens = decodes + sum(count for count, _ in prompts)
        rows = decodes + len(prompts)
        total = self.host_s + self.host_sequence_s * rows
        total += self.dense_s[min(tokens, len(self.dense_s) - 1)]
        total += self.head_s[min(rows, len(self.head_s) - 1)]
        if decodes:
            total += self.decode_attention_s(decodes, context, beside=bool(prompts))
        return total + sum(self.prefill_attention_s(*each) for each in prompts)

    def decode_attention_s(
        self, sequences: int, context: float, *, beside: bool, tokens: int = 1
    ) -> float:
        """Attention of one token of each of some sequences, alone or beside prompts.

        More tokens of each are as many as speculation verifies.
        """
        place = np.log2(sequences), np.log2(max(context, 1.0))
        table = self.beside_s if beside else self.decode_s
        if tokens > 1:
            table = self.beside_s if self.verify_s is None else self.verify_s
        return float(np.exp(_between(np.log(table), *place)))

    def drafting_s(self, sequences: int, context: float, drafts: int) -> float:
        """Time to draft some tokens for each of some sequences, which a step has just verified.

        The first pass is over the verified tokens, each further one over a token of each sequence.
        """
        tokens = sequences * (1 + drafts)
        further = self.step_s(sequences, context)
        total = self.host_s + self.host_sequence_s * sequences
        total += float(self.dense_s[min(tokens, len(self.dense_s) - 1)])
        total += float(self.head_s[min(sequences, len(self.head_s) - 1)])
        attention = self.decode_attention_s(sequences, context, beside=False, tokens=1 + drafts)
        return total + attention + (drafts - 1) * further

    def prefill_attention_s(self, tokens: int, context: float) -> float:
        """Attention of some tokens of a prompt behind a context."""
        place = np.log2(tokens), np.log2(1 + context / CONTEXT_UNIT)
        return float(np.exp(_between(np.log(self.prefill_s), *place)))


def _between(table: np.ndarray, x: float, y: float) -> float:
    i, j = min(int(x), table.shape[0] - 2), min(int(y), table.shape[1] - 2)
    a, b = x - i, y - j
    near = table[i, j] * (1 - b) + table[i, j + 1] * b
    return near * (1 - a) + (table[i + 1, j] * (1 - b) + table[i + 1, j + 1] * b) * a


def stacked(times: Sequence[StepTimes]) -> Times:
    """Tables of several kinds of replicas for the kernels; equal objects are one kind."""
    kinds = list({id(each): each for each in times}.values())
    return Times(
        np.array([[k.host_s * 1e9, k.host_sequence_s * 1e9] for k in kinds]),
        _padded([k.dense_s for k in kinds]),
        _padded([k.head_s for k in kinds]),
        np.stack([np.log(k.decode_s * 1e9) for k in kinds]),
        np.stack([np.log(k.prefill_s * 1e9) for k in kinds]),
        np.stack([np.log(k.beside_s * 1e9) for k in kinds]),
        np.stack([np.log((k.beside_s if k.verify_s is None else k.verify_s) * 1e9) for k in kinds]),
        np.array([k.skew for k in kinds]),
        _shares([k.stages for k in kinds]),
        _padded([k.send_s for k in kinds]),
        _padded([k.experts_s for k in kinds]),
    )


def _shares(rows: Sequence[tuple[float, ...]]) -> np.ndarray:
    most = max(map(len, rows))
    return np.array([[*row, *[0.0] * (most - len(row))] for row in rows])


def _padded(rows: Sequence[np.ndarray]) -> np.ndarray:
    most = max(map(len, rows))
    return np.stack([np.pad(row, (0, most - len(row)), "edge") for row in rows]) * 1e9
