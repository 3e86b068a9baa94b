"""Which nodes to keep in fp32 so that an int8 model is accurate enough: the fewest that are found.

First whole operator families are kept, one by one, to see where the accuracy is lost. The nodes of
the guilty families are then ranked by the error that each causes alone, worst first; the shortest
head of the ranking that passes is found by halving, and nodes of it that turn out not to be needed
are given up again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from lydite.records import dataclass

Scored = Callable[[frozenset[str]], float]
"""Accuracy of the model with a set of nodes kept in fp32."""
_MOST_GIVEN_UP = 12
"""Nodes that are tried to be quantised after all; each costs an evaluation."""


@dataclass(frozen=True)
class Trial:
    """One evaluation.

    Attributes:
        what: What was kept in fp32.
        kept: Number of nodes that were kept.
        score: Accuracy, or fidelity.
        passed: Whether it passes the gate.
    """

    what: str
    kept: int
    score: float
    passed: bool


@dataclass(frozen=True)
class Found:
    """Outcome of a search.

    Attributes:
        keep: Nodes to keep in fp32, worst first; empty if none has to be.
        passed: Whether the model passes the gate with them.
        score: Its accuracy.
        trials: All evaluations, in order.
    """

    keep: tuple[str, ...]
    passed: bool
    score: float
    trials: tuple[Trial, ...]


def search(
    nodes: Mapping[str, str], score: Scored, damage: Callable[[str], float], floor: float
) -> Found:
    """The fewest nodes to keep in fp32.

    Args:
        nodes: Operator type of each node that would be quantised, by name.
        score: Accuracy of the model with a set of nodes kept in fp32.
        damage: Error at the output when a node is quantised alone; any unit.
        floor: Least accuracy that passes.

    Returns:
        The nodes, and every evaluation; all nodes of the guilty families if nothing less passes.
    """
    trials: list[Trial] = []
    known: dict[frozenset[str], float] = {}

    def passes(kept: Iterable[str], what: str) -> bool:
        chosen = frozenset(kept)
        if chosen not in known:
            known[chosen] = score(chosen)
            trials.append(Trial(what, len(chosen), known[chosen], known[chosen] >= floor - 1e-12))
        return known[chosen] >= floor - 1e-12

    def found(kept: Sequence[str]) -> Found:
        value = known[frozenset(kept)]
        return Found(tuple(kept), value >= floor - 1e-12, value, tuple(trials))

    if passes((), "none"):
        return found(())
    suspects = _guilty(nodes, passes, known)
    if not passes(suspects, "the guilty families"):
        return found(list(suspects))
    ranked = sorted(suspects, key=damage, reverse=True)
    low, high = 0, len(ranked)  # none fails, all of them pass
    while high - low > 1:
        middle = (low + high) // 2
        if passes(ranked[:middle], f"the {middle} worst nodes"):
            high = middle
        else:
            low = middle
    kept = ranked[:high]
    for name in list(reversed(kept))[1 : _MOST_GIVEN_UP + 1]:
        less = [other for other in kept if other != name]
        if less and passes(less, f"without {name}"):
            kept = less
    return found(kept)


def _guilty(
    nodes: Mapping[str, str],
    passes: Callable[[Iterable[str], str], bool],
    known: Mapping[frozenset[str], float],
) -> list[str]:
    """Nodes of the fewest families that have to stay in fp32, worst family first."""
    families: dict[str, list[str]] = {}
    for name, op_type in nodes.items():
        families.setdefault(op_type, []).append(name)
    if len(families) == 1:
        return list(nodes)
    passing = [op_type for op_type, names in families.items() if passes(names, f"all {op_type}")]
    if passing:
        return families[min(passing, key=lambda op_type: len(families[op_type]))]
    gains = {op_type: known[frozenset(names)] for op_type, names in families.items()}
    kept: list[str] = []
    for op_type in sorted(gains, key=lambda op_type: -gains[op_type]):
        kept += families[op_type]
        if passes(kept, f"all {op_type} too"):
            break
    return kept
