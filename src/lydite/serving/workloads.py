"""Workloads that are drawn: Poisson, gamma and constant arrivals, closed loops, turns."""

from __future__ import annotations

import numpy as np

from lydite.errors import InputError, unknown_name
from lydite.serving.requests import BLOCK, Requests, made

ARRIVALS = ("poisson", "gamma", "constant")
"""How requests arrive at a rate."""


def _gaps(rng: np.random.Generator, name: str, count: int, burstiness: float) -> np.ndarray:
    """Gaps between arrivals, 1 in the mean."""
    if name == "constant":
        return np.ones(count)
    shape = 1.0 if name == "poisson" else 1 / burstiness**2
    return rng.gamma(shape, 1 / shape, count)


def drawn(
    count: int,
    *,
    isl: float,
    osl: float,
    rate: float | None = None,
    concurrency: int = 0,
    arrival: str = "poisson",
    burstiness: float = 2.0,
    spread: float = 0.0,
    prefix: float = 0.0,
    turns: int = 1,
    think_s: float = 0.0,
    seed: int = 0,
) -> Requests:
    """Requests of given mean lengths.

    Args:
        count: Number of requests.
        isl: Mean number of prompt tokens.
        osl: Mean number of output tokens.
        rate: Requests per second; None with `concurrency`.
        concurrency: Requests in flight of a closed loop.
        arrival: Name in `ARRIVALS`.
        burstiness: Standard deviation of the gaps over their mean, of gamma arrivals.
        spread: Standard deviation of lengths over their mean (log-normal); 0 for equal lengths.
        prefix: Share of each prompt that all requests have in common.
        turns: Requests of a conversation; each prompt begins with all that was said before.
        think_s: Time between a turn's end and the next, or between requests of a closed loop.
        seed: Seed of the draws.

    Raises:
        InputError: a number is out of its limits, or neither or both of rate and concurrency are
            given.
    """
    _check(count, isl, osl, rate, concurrency, arrival, burstiness, spread, prefix, turns, think_s)
    rng = np.random.default_rng(seed)
    prompt, output = _lengths(rng, count, isl, spread), _lengths(rng, count, osl, spread)
    if rate is None:
        times = np.zeros(count)
    else:
        times = np.cumsum(_gaps(rng, arrival, count, burstiness)) / rate
    shared = (prompt * prefix).astype(int) // BLOCK
    keys = [np.arange(1, blocks + 1, dtype=np.int64) for blocks in shared]
    successor = None
    if turns > 1:
        prompt, keys, successor = _conversations(prompt, output, keys, turns)
    about = f"{rate:g} requests/s, {arrival}" if rate else f"{concurrency} in flight"
    return made(
        times,
        prompt,
        output,
        keys=keys,
        name=f"{count} requests of {isl:g} + {osl:g} tokens, {about}",
        origin=f"drawn with seed {seed}",
        concurrency=concurrency,
        successor=successor,
        think_s=np.full(count, think_s),
    )


def _check(
    count: int,
    isl: float,
    osl: float,
    rate: float | None,
    concurrency: int,
    arrival: str,
    burstiness: float,
    spread: float,
    prefix: float,
    turns: int,
    think_s: float,
) -> None:
    if (rate is None) == (concurrency == 0):
        raise InputError(
            "requests come at a rate or in a closed loop", hint="--rate 10, or --concurrency 32"
        )
    if arrival not in ARRIVALS:
        raise unknown_name("arrival", arrival, ARRIVALS)
    limits = {
        "requests": (count, 1, 10_000_000),
        "isl": (isl, 1, 1 << 24),
        "osl": (osl, 1, 1 << 24),
        "rate": (1 if rate is None else rate, 1e-9, 1e9),
        "concurrency": (concurrency, 0, 10_000_000),
        "burstiness": (burstiness, 0.01, 100),
        "spread": (spread, 0, 10),
        "prefix": (prefix, 0, 1),
        "turns": (turns, 1, 10_000),
        "think_s": (think_s, 0, 1e9),
    }
    for name, (value, low, high) in limits.items():
        if not low <= value <= high:
            raise InputError(f"{name} is {value:g}", allowed=f"{low:g} to {high:g}")
    if turns > 1 and concurrency:
        raise InputError("conversations arrive at a rate, not in a closed loop", hint="--rate")


def _lengths(rng: np.random.Generator, count: int, mean: float, spread: float) -> np.ndarray:
    if not spread:
        return np.full(count, max(1, round(mean)))
    sigma = np.sqrt(np.log1p(spread**2))
    drawn_lengths = rng.lognormal(np.log(mean) - sigma**2 / 2, sigma, count)
    return np.maximum(1, np.round(drawn_lengths)).astype(int)


def _conversations(
    prompt: np.ndarray, output: np.ndarray, keys: list[np.ndarray], turns: int
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Turns of a conversation follow each other; their keys cover what was said before."""
    count = len(prompt)
    successor = np.full(count, -1)
    longer = prompt.copy()
    made_keys: list[np.ndarray] = []
    for number in range(count):
        turn = number % turns
        if turn:
            longer[number] = longer[number - 1] + output[number - 1] + prompt[number]
            successor[number - 1] = number
        first = number - turn
        own = (np.int64(first + 1) << 32) + np.arange((longer[number] + output[number]) // BLOCK)
        common = keys[first]
        made_keys.append(np.concatenate([common, own[len(common) :]]))
    return longer, made_keys, successor
