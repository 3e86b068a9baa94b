"""Step times near constants at which the steps were played, without playing them again.

A played step names the seconds of each part of a rank's computation (a block in a phase) on its
critical path. Near the constants at which it was played, these grow as the part's computation does:

    T = T0 + sum over parts of path(part) (computation(part) / computation0(part) - 1) + step_s

A launch that outlasts kernels and messages counts as computation, as in the play. So a fit costs a
sum over operators for each guess, and a few plays.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lydite.cluster.constants import Constants
from lydite.cluster.costs import PARTS, Slot
from lydite.cluster.program import CATEGORIES
from lydite.cluster.rank import RankStep
from lydite.cluster.step_result import StepResult
from lydite.estimate.base import Estimator
from lydite.graph import OpKey
from lydite.hardware import Device
from lydite.records import dataclass

_KINDS = ("forward", "recompute", "data", "weights", "optimizer")
_CATEGORIES = ("forward", "recompute", "backward", "weights", "optimizer")
_UPDATE = _KINDS.index("optimizer")


@dataclass(frozen=True)
class RankSums:
    """Which operators a rank's phases consist of.

    Attributes:
        scale: float64[operators] factor on the time of each.
        key: int[operators] index into the keys of all ranks.
        part: int[operators] number of its block and phase.
        count: float64[parts] repetitions of each part's block.
        calls: float64[parts] kernels and messages that the host launches.
        kind: int[parts] index into the kinds of computation.
        block: Name of each part's block.
        kernel: int[operators] index into the kernels that they run in.
        of_kernel: int[kernels] number of each kernel's part.
        ahead: Whether the host launches ahead.
    """

    scale: np.ndarray
    key: np.ndarray
    part: np.ndarray
    count: np.ndarray
    calls: np.ndarray
    kind: np.ndarray
    block: tuple[str, ...]
    kernel: np.ndarray
    of_kernel: np.ndarray
    ahead: bool

    @classmethod
    def of(cls, rank: RankStep, keys: dict[str, int], known: list[OpKey], again: str) -> RankSums:
        """The sums of a rank; keys that are new are added to those known.

        Args:
            rank: Operators and messages of the rank.
            keys: Index of each key's digest.
            known: The keys.
            again: Recomputation of the plan.
        """
        number = []
        for key in rank.shape.keys:
            if key.digest not in keys:
                keys[key.digest] = len(known)
                known.append(key)
            number.append(keys[key.digest])
        repeated = {"none": "", "selective": "again", "full": "forward"}[again]
        parts: dict[tuple[int, str], int] = {}
        rows: list[tuple[int, float, int, int]] = []
        kernels: list[int] = []
        newest: dict[int, int] = {}
        calls: dict[int, float] = {}

        def add(slot: Slot, kind: str) -> None:
            at = parts.setdefault((slot.block, kind), len(parts))
            if slot.share.leads or at not in newest:
                newest[at] = len(kernels)
                kernels.append(at)
            rows.append((number[slot.key], slot.share.scale, at, newest[at]))
            calls[at] = calls.get(at, 0.0) + slot.share.leads

        several = any(cost.block.count > 1 for cost in rank.shape.costs)
        for slot in rank.shape.slots:
            layer = rank.shape.costs[slot.block].block.count > 1 or not several
            if slot.phase in PARTS:
                add(slot, slot.phase)
            if slot.phase == repeated and layer:
                add(slot, "recompute")
        for (block, kind), at in parts.items():
            name = repeated if kind == "recompute" else kind
            calls[at] += len(rank.shape.costs[block].parts[name].messages)
        key, scale, part, kernel = (np.array(column) for column in zip(*rows, strict=True))
        places = list(parts)
        return cls(
            scale,
            key,
            part,
            np.array([rank.shape.costs[block].block.count for block, _ in places], float),
            np.array([calls[at] for at in range(len(places))]),
            np.array([_KINDS.index(kind) for _, kind in places]),
            tuple(rank.shape.costs[block].block.name for block, _ in places),
            kernel,
            np.array(kernels),
            rank.runtime.ahead,
        )

    def sent(self, result: StepResult) -> np.ndarray:
        """float64[parts] seconds of each part's messages, during which the host launches ahead."""
        found = np.zeros(len(self.count))
        units = {unit.cost.block.name: unit for stage in result.stages for unit in stage}
        for at, (block, kind) in enumerate(zip(self.block, self.kind, strict=True)):
            found[at] = getattr(units[block], _KINDS[kind]).sent_ps * 1e-12
        return found

    def path(self, result: StepResult) -> np.ndarray:
        """float64[parts] seconds of each part on the critical path."""
        parts = {
            (b, int(k)): at for at, (b, k) in enumerate(zip(self.block, self.kind, strict=True))
        }
        blocks = sorted(set(self.block), key=len, reverse=True)
        found = np.zeros(len(self.count))
        names, update = result.played.tasks.names, 0.0
        path = result.timeline.critical_path()
        categories, spans = result.timeline.categories_of(path), result.timeline.spans_of(path)
        for at, number, span in zip(
            path.tolist(), categories.tolist(), spans.tolist(), strict=True
        ):
            category = CATEGORIES[number]
            if category not in _CATEGORIES:
                continue
            seconds, name = span * 1e-12, str(names[at])
            kind = _CATEGORIES.index(category)
            block = next((b for b in blocks if name == b or name.startswith(f"{b} ")), "")
            if (block, kind) in parts:
                found[parts[block, kind]] += seconds
            elif kind == _UPDATE:
                update += seconds
        of_update = self.kind == _UPDATE
        weights = self.count * of_update
        return found + update * weights / max(weights.sum(), 1.0)

    def seconds(self, keys_s: np.ndarray, dispatch_s: float, sent_s: np.ndarray) -> np.ndarray:
        """float64[parts] seconds of computation, of one repetition of the block.

        Args:
            keys_s: Seconds of each key.
            dispatch_s: Time in seconds of a launch.
            sent_s: As `sent` gives it.
        """
        kernels = np.bincount(self.kernel, keys_s[self.key] * self.scale)
        busy = np.bincount(self.of_kernel, kernels, len(self.count))
        if self.ahead:
            return np.maximum(busy, self.calls * dispatch_s - sent_s)
        idle = np.bincount(self.of_kernel, np.maximum(0, dispatch_s - kernels), len(self.count))
        return busy + np.maximum(0, idle - sent_s)


class NearSteps:
    """Played steps, and how their times change with the constants.

    Args:
        sums: Sums of each step's rank.
        keys: Keys that they refer to.
        device: Device of the steps.
        played: The steps, played with `constants`.
        constants, estimator: What they were played with.
    """

    def __init__(
        self,
        sums: Sequence[RankSums],
        keys: Sequence[OpKey],
        device: Device,
        played: Sequence[StepResult],
        constants: Constants,
        estimator: Estimator,
    ) -> None:
        self._sums, self._keys, self._device = sums, keys, device
        self._sent = [one.sent(step) for one, step in zip(sums, played, strict=True)]
        self._path = [one.path(step) for one, step in zip(sums, played, strict=True)]
        self._played = np.array([step.seconds for step in played])
        self._before, self._step_s = self._computation(constants, estimator), constants.step_s

    def _computation(self, constants: Constants, estimator: Estimator) -> list[np.ndarray]:
        """Seconds of each part of each step's rank: float64[parts] a step."""
        answers = estimator.estimate(self._keys, self._device)
        keys_s = np.array([answer.seconds if answer else np.nan for answer in answers])
        launch_s = constants.dispatch_s or 0.0
        pairs = zip(self._sums, self._sent, strict=True)
        return [one.seconds(keys_s, launch_s, sent) for one, sent in pairs]

    def seconds(self, constants: Constants, estimator: Estimator) -> np.ndarray:
        """float64[steps] times with other constants."""
        now = self._computation(constants, estimator)
        changed = [
            float((path * (new / np.maximum(old, 1e-12) - 1)).sum())
            for path, new, old in zip(self._path, now, self._before, strict=True)
        ]
        known = self._played + np.array(changed) + constants.step_s - self._step_s
        return np.maximum(known, 1e-9)
