"""Step times of a model on a device, from the chain of estimators."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lydite.cluster.collectives.algorithm import KINDS
from lydite.errors import InputError
from lydite.estimate import Estimate, Estimator, add_up
from lydite.estimate.prediction import ISOLATION_ERROR
from lydite.graph import Graph, OpKey
from lydite.graph.work import work_of_key
from lydite.hardware import Device
from lydite.opkey import Operand, TensorType
from lydite.records import dataclass
from lydite.serving.experts import EXPERTS, MessageTime, Spread
from lydite.serving.template import GraphOf, Pattern, patterns, verifying
from lydite.serving.times import (
    DECODE_CONTEXT,
    DECODE_SEQUENCES,
    PREFILL_CONTEXT,
    PREFILL_TOKENS,
    StepTimes,
)

CAPTURED = (1, 2, 4, *range(8, 257, 8), *range(272, 513, 16))
"""Numbers of tokens for which vLLM captures CUDA graphs; a step is padded to the next of them."""


@dataclass(frozen=True)
class Shape:
    """What the tables of a model's step are computed for.

    Attributes:
        decode: The graph of a decoding step by sequences and context.
        prefill: The graph of a prompt by its new tokens and context.
        longest: Most tokens that the model can hold.
        context: Most tokens of a request.
        vocabulary: Size of the vocabulary.
        tokens: Most tokens of a step.
        sequences: Most sequences of a step.
        captured: Numbers of tokens that steps are padded to.
        whole: The graph of a decoding step before it is cut over ranks, if experts are spread.
        verified: Tokens of each sequence that a step verifies; 1 without speculation.
        only: Names of a graph's operators that count; None for all.
    """

    decode: GraphOf
    prefill: GraphOf
    longest: int
    context: int
    vocabulary: int
    tokens: int = 2048
    sequences: int = 256
    captured: Sequence[int] = CAPTURED
    whole: GraphOf | None = None
    verified: int = 1
    only: Callable[[Graph], set[str]] | None = None


@dataclass
class _Priced:
    """Seconds of operators, each estimated once."""

    estimator: Estimator
    device: Device
    message_s: MessageTime
    known: dict[str, Estimate]

    def seconds(self, wanted: Sequence[tuple[Pattern, int, int]]) -> np.ndarray:
        """Seconds of patterns at (tokens, context), all runs of each: [wanted]."""
        keys = [
            self._key(pattern, tokens, context) if pattern.runs(context) else None
            for pattern, tokens, context in wanted
        ]
        pairs = [(key, pattern) for key, (pattern, _, _) in zip(keys, wanted, strict=True)]
        self._learn([key for key, pattern in pairs if key is not None and not pattern.collective])
        return np.array([self._runs(pattern, key) for key, pattern in pairs])

    def _runs(self, pattern: Pattern, key: OpKey | None) -> float:
        """Seconds of all runs of a pattern in a step; 0 where the step does not have it."""
        if key is None:
            return 0.0
        return pattern.count * (self._message(key) if pattern.collective else self._one(key))

    def of_keys(self, keys: Sequence[OpKey]) -> np.ndarray:
        """Seconds of operators [keys]."""
        self._learn(keys)
        return np.array([self._one(key) for key in keys])

    def _learn(self, keys: Sequence[OpKey]) -> None:
        new = {key.text: key for key in keys}
        new = {text: key for text, key in new.items() if text not in self.known}
        answers = self.estimator.estimate(list(new.values()), self.device)
        for (text, key), answer in zip(new.items(), answers, strict=True):
            if answer is None:
                raise InputError(
                    f"{key.qualified_type} has no estimate",
                    where=self.device.name,
                    hint="lydite predict says which operators are known",
                )
            self.known[text] = answer

    def _key(self, pattern: Pattern, tokens: int, context: int) -> OpKey:
        return in_float8(pattern.at(tokens, context), self.device)

    def _one(self, key: OpKey) -> float:
        work = work_of_key(key)
        if work is not None and not work.flops and not work.bytes_moved:
            return 0.0  # a view
        return self.known[key.text].seconds

    def _message(self, key: OpKey) -> float:
        if key.op_type not in KINDS:
            return 0.0  # a copy that backward passes turn into a message
        sizes = [t.nbytes or 0 for t in (*key.operand_types()[:1], *key.outputs[:1]) if t]
        copies = float(key.attrs.get("copies", 1)) / float(key.attrs.get("parts", 1))
        return self.message_s(key.op_type, max(sizes) * copies)


def operator_seconds(
    estimator: Estimator, device: Device
) -> Callable[[Sequence[OpKey]], np.ndarray]:
    """Seconds of operators on a device, each estimated once."""
    return _Priced(estimator, device, lambda _kind, _size: 0.0, {}).of_keys


def in_float8(key: OpKey, device: Device) -> OpKey:
    """A product with weights in 8-bit floats, as runtimes run it where the device multiplies them.

    The activations are brought to the same type before (dynamic quantisation); elsewhere the
    weights are brought to the type of the activations.
    """
    if key.op_type != "MatMulNBits" or len(key.inputs) < 2:
        return key
    x, weight = key.inputs[0].type, key.inputs[1].type
    if x is None or weight is None or x.shape is None:
        return key
    if not weight.dtype.startswith("float8") or weight.dtype not in device.peak_flops:
        return key
    sizes = int(key.attrs["K"]), int(key.attrs["N"])
    data = Operand(TensorType(weight.dtype, x.shape))
    matrix = Operand(TensorType(weight.dtype, sizes), const=True)
    return OpKey("MatMul", (data, matrix), key.outputs, version=13)


def estimated_times(
    shape: Shape,
    estimator: Estimator,
    device: Device,
    message_s: MessageTime,
    spread: Spread | None = None,
) -> StepTimes:
    """Tables of a model's step on a device; of its experts too, if they are spread.

    Raises:
        InputError: an operator has no estimate, or the graph differs in kind between sizes.
    """
    decode = patterns(shape.decode, shape.longest, as_run=True, only=shape.only)
    prefill = patterns(shape.prefill, shape.longest, as_run=True, only=shape.only)
    priced = _Priced(estimator, device, message_s, {})
    dense = [p for p in decode if not p.contextual and not p.head]
    apart: dict[str, Any] = {}
    if spread is not None and shape.whole is not None:
        dense = [p for p in dense if p.key.op_type not in EXPERTS]
        experts = [p for p in patterns(shape.whole, shape.longest) if p.key.op_type in EXPERTS]
        apart["experts_s"] = _spread(priced, experts, shape, spread)
    attention = [p for p in decode if p.contextual]
    prompt = [p for p in prefill if p.contextual]
    head = [p for p in decode if p.head]
    coarse = device.chip is not None  # whose operators are simulated one by one
    context = DECODE_CONTEXT, shape.context
    decode_s = _table(priced, attention, (DECODE_SEQUENCES, shape.sequences), context, coarse)
    rows = shape.sequences * shape.verified
    if shape.verified > 1:
        wide = [verifying(pattern, shape.verified) for pattern in attention]
        apart["verify_s"] = _table(
            priced, wide, (DECODE_SEQUENCES, shape.sequences), context, coarse
        )
    behind = PREFILL_CONTEXT, shape.context
    prefill_s = _table(priced, prompt, (PREFILL_TOKENS, shape.tokens), behind, coarse)
    return StepTimes(
        _by_tokens(priced, dense, _grid(shape, coarse), shape.captured),
        _by_number(priced, head, rows) + _sampler(shape, device, rows),
        decode_s,
        prefill_s,
        decode_s,
        **apart,
        **_known(priced, [*dense, *attention, *head], shape),
    )


def _grid(shape: Shape, coarse: bool) -> np.ndarray:
    """Numbers of tokens that are estimated."""
    small = [1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 320, 384, 448, 512]
    large = list(range(640, 2049, 128)) + [2**i for i in range(12, 21)]
    every = [n for n in (*small, *large) if n < 2 * shape.tokens]
    return np.array([n for n in every if not coarse or n & (n - 1) == 0], float)


def _by_tokens(
    priced: _Priced, dense: Sequence[Pattern], grid: np.ndarray, captured: Sequence[int]
) -> np.ndarray:
    """Seconds by number of tokens, linear between those estimated; padded to captured numbers."""
    wanted = [(p, int(tokens), 1) for tokens in grid for p in dense]
    sums = priced.seconds(wanted).reshape(len(grid), -1).sum(axis=1)
    tokens = np.arange(int(grid[-1]) + 1)
    padded = tokens.copy()
    steps = np.array(sorted(captured))
    if len(steps):
        within = tokens <= steps[-1]
        padded[within] = steps[np.searchsorted(steps, tokens[within])]
    seconds = np.interp(padded, grid, sums)
    seconds[0] = 0.0
    return seconds


def _spread(
    priced: _Priced, experts: Sequence[Pattern], shape: Shape, spread: Spread
) -> np.ndarray:
    """Seconds of spread experts by number of tokens of a group."""
    grid = _grid(replace(shape, tokens=shape.tokens * spread.groups), coarse=False)
    wanted = [
        (pattern.count, pattern.at(int(tokens), 1), int(tokens))
        for tokens in grid
        for pattern in experts
    ]
    busiest = [spread.on_busiest(key, tokens) for _, key, tokens in wanted]
    seconds = priced.of_keys(busiest)
    messages = [spread.exchange_s(key, tokens) for _, key, tokens in wanted]
    counts = [count for count, _, _ in wanted]
    sums = ((seconds + messages) * counts).reshape(len(grid), -1).sum(axis=1)
    known = np.interp(np.arange(int(grid[-1]) + 1), grid, sums)
    known[0] = 0.0
    return known


def _by_number(priced: _Priced, head: Sequence[Pattern], most: int) -> np.ndarray:
    grid = sorted({1, most, *(2**i for i in range(12) if 2**i < most)})
    wanted = [(p, number, 1) for number in grid for p in head]
    sums = (
        priced.seconds(wanted).reshape(len(grid), -1).sum(axis=1) if head else np.zeros(len(grid))
    )
    return np.interp(np.arange(most + 1), grid, sums)


SAMPLER_S, SAMPLER_PASSES = 30e-6, 2.0


def _sampler(shape: Shape, device: Device, rows: int) -> np.ndarray:
    """Greedy sampling: launches, and passes over the logits in float32."""
    moved = SAMPLER_PASSES * 4 * shape.vocabulary * np.arange(rows + 1)
    return SAMPLER_S + moved / device.memory_bandwidth


def _table(
    priced: _Priced,
    wanted: Sequence[Pattern],
    rows: tuple[np.ndarray, int],
    columns: tuple[np.ndarray, int],
    coarse: bool,
) -> np.ndarray:
    """Seconds on a grid; what lies beyond the largest that is needed goes on in proportion."""
    shape = len(rows[0]), len(columns[0])
    if not wanted:
        return np.full(shape, 1e-9)
    own_rows, own_columns = _needed(*rows, coarse), _needed(*columns, coarse)
    cells = [(p, int(r), max(1, int(c))) for r in own_rows for c in own_columns for p in wanted]
    sums = priced.seconds(cells).reshape(len(own_rows), len(own_columns), -1).sum(axis=2)
    logs = np.log(np.maximum(sums, 1e-9))
    wide = np.stack([_along(columns[0], own_columns, row) for row in logs])
    return np.exp(np.stack([_along(rows[0], own_rows, each) for each in wide.T], axis=1))


def _needed(grid: np.ndarray, most: int, coarse: bool) -> np.ndarray:
    """Values of a grid up to the first that is not below `most`; every third if `coarse`."""
    end = min(len(grid), 2 + int(np.searchsorted(grid, most)))
    chosen = grid[:end]
    return chosen if not coarse else np.unique([*chosen[::3], chosen[-1]])


def _along(grid: np.ndarray, known: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """Logarithms between known values, linear in the logarithm of value + 1."""
    at, wanted = np.log2(known + 1), np.log2(grid + 1)
    found = np.interp(wanted, at, logs)
    beyond = wanted > at[-1]
    found[beyond] = logs[-1] + (wanted[beyond] - at[-1]) * np.log(2)
    return found


_USUAL = 32, 1024
"""Sequences and context of the step whose sources and interval stand for all."""


def _known(priced: _Priced, wanted: Sequence[Pattern], shape: Shape) -> dict[str, Any]:
    """Sources of a usual decoding step by share, and the factors of its 90 % interval."""
    sequences, context = min(_USUAL[0], shape.sequences), min(_USUAL[1], shape.longest // 2)
    cells = [(p, sequences, context) for p in wanted]
    seconds = priced.seconds(cells)
    shares: dict[str, float] = {}
    parts: list[tuple[Estimate, int, Hashable]] = []
    for (pattern, *_), each in zip(cells, seconds, strict=True):
        if not each:
            continue
        key = in_float8(pattern.at(sequences, context), priced.device)
        source = "modelled" if pattern.collective else priced.known[key.text].source
        shares[source] = shares.get(source, 0.0) + float(each)
        if not pattern.collective:
            parts.append((priced.known[key.text], pattern.count, key.digest))
    total = add_up(parts, ISOLATION_ERROR)
    whole = sum(shares.values())
    return {
        "sources": {name: value / whole for name, value in sorted(shares.items())},
        "low": total.low / total.seconds,
        "high": total.high / total.seconds,
    }
