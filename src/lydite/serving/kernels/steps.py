"""The time of one step, from tables.

    step = host + host per sequence + dense(tokens) + head(sequences)
         + decode(sequences, mean context) + sum of prefill(tokens, context) over prompts

Sequences that decode beside a prompt have a table of their own: kernels for mixed batches do not
split long contexts over multiprocessors as those for decoding do.

`decode` and `prefill` are interpolated between logarithms, which is exact for powers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lydite.engine.kernels.jit import special

CONTEXT_UNIT = 64.0
"""Contexts of prompts lie at (2 ** i - 1) times this many tokens, so that 0 is among them."""


PADDED = 512
"""Most tokens of a step that is a CUDA graph."""


class Times(NamedTuple):
    """Seconds of a step's parts, by kind of replica; grids of logarithms are float64.

    Attributes:
        host_ns: A step's and a sequence's time of the host [kinds, 2].
        dense_ns: Everything but attention and head, by tokens [kinds, tokens + 1].
        head_ns: Head and sampler, by sequences [kinds, sequences + 1].
        decode: log of ns of all layers' attention, by log2 sequences and log2 context
            [kinds, i, j].
        prefill: log of ns of all layers' attention to one prompt, by log2 tokens and context, see
            `CONTEXT_UNIT` [kinds, i, j].
        beside: As `decode`, beside prompts.
        skew: Share of what the longest context would cost all sequences more than the mean, that a
            batch of unlike contexts costs more [kinds].
        experts_ns: Experts that are spread over a group, with the messages to them and back, by
            tokens of the group [kinds, tokens + 1].
    """

    host_ns: np.ndarray
    dense_ns: np.ndarray
    head_ns: np.ndarray
    decode: np.ndarray
    prefill: np.ndarray
    beside: np.ndarray
    skew: np.ndarray
    experts_ns: np.ndarray


@special
def experts_ns(times, kind, members, total, most):
    """Experts of a group's step, whose members have some tokens in all and one at most.

    Small steps are padded to those of the largest, since all run the same CUDA graph.
    """
    tokens = members * most if most <= PADDED else total
    return times.experts_ns[kind, min(tokens, times.experts_ns.shape[1] - 1)]


@special
def _between(table, x, y):
    """Bilinear in a grid of steps of 1; beyond its end as in its last cell."""
    i = min(int(x), table.shape[0] - 2)
    j = min(int(y), table.shape[1] - 2)
    a, b = x - i, y - j
    near = table[i, j] * (1 - b) + table[i, j + 1] * b
    far = table[i + 1, j] * (1 - b) + table[i + 1, j + 1] * b
    return near * (1 - a) + far * a


@special
def decode_ns(table, sequences, context):
    """Attention of one token of each of some sequences, in ns."""
    return np.exp(_between(table, np.log2(sequences), np.log2(max(context, 1.0))))


@special
def prefill_ns(times, kind, tokens, context):
    """Attention of some tokens of a prompt behind a context, in ns."""
    along = np.log2(1 + context / CONTEXT_UNIT)
    return np.exp(_between(times.prefill[kind], np.log2(tokens), along))


@special
def step_ns(times, rules, load, course, queues, replica):
    """Time of the step that is scheduled, in ns."""
    kind = rules.kind[replica]
    tokens, sequences, decodes, context, longest, prompts = 0, 0, 0, 0, 0, 0.0
    for place in range(queues.runs[replica]):
        count = queues.tokens[replica, place]
        if count == 0:
            continue
        request = queues.running[replica, place]
        before = course.computed[request]
        tokens += count
        sequences += 1
        if count == 1 and before >= load.prompt[request]:
            decodes += 1
            context += before + 1
            longest = max(longest, before + 1)
        else:
            prompts += prefill_ns(times, kind, float(count), float(before))
    total = times.host_ns[kind, 0] + times.host_ns[kind, 1] * sequences
    total += times.dense_ns[kind, min(tokens, times.dense_ns.shape[1] - 1)]
    total += times.head_ns[kind, min(sequences, times.head_ns.shape[1] - 1)]
    if decodes:
        table = times.beside[kind] if prompts else times.decode[kind]
        usual = decode_ns(table, float(decodes), context / decodes)
        total += usual
        if times.skew[kind] > 0.0:
            total += times.skew[kind] * (decode_ns(table, float(decodes), float(longest)) - usual)
    return max(int(total + prompts), 1)
