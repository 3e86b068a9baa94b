"""Whether a network in a precision still says what it says in float32, before it is timed.

Without labelled data this is fidelity, not accuracy: the first outputs on the same inputs and
weights, against float32 on the processor without graph optimisation.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import psutil

from lydite.backends import find_backend
from lydite.graph import Graph
from lydite.records import dataclass
from lydite.score.inputs import feeds_of
from lydite.score.pipeline import Task, float_graph, graph_of, seeded


@dataclass(frozen=True)
class Fidelity:
    """How near a network's answers come to float32's; of several networks, the worst.

    Attributes:
        cosine: Cosine similarity of the first outputs; None where it was not compared.
        relative_error: Norm of the difference over the norm of float32's.
        agreement: Share of rows whose largest element is the same.
        reason: Why it was not compared; "" where it was.
    """

    cosine: float | None = None
    relative_error: float | None = None
    agreement: float | None = None
    reason: str = ""


def compared(said: np.ndarray, reference: np.ndarray) -> Fidelity:
    """The fidelity of an output to float32's, both of the same shape.

    The cosine is that of the centred vectors (Pearson's correlation): outputs of random networks
    share a large mean, against which every difference would look small.
    """
    first = said.astype(np.float64).reshape(-1)
    second = reference.astype(np.float64).reshape(-1)
    if first.size != second.size:
        return Fidelity(reason=f"{first.size} outputs, and {second.size} in float32")
    if not np.isfinite(second).all():
        return Fidelity(reason="float32's output is not finite")
    if not np.isfinite(first).all():
        return Fidelity(0.0, float("inf"), 0.0)
    error = float(np.linalg.norm(first - second) / max(float(np.linalg.norm(second)), 1e-300))
    one, other = first - first.mean(), second - second.mean()
    scale = float(np.linalg.norm(one) * np.linalg.norm(other))
    cosine = float(one @ other) / scale if scale > 0 else float(error < 1e-6)
    rows = said.reshape(-1, said.shape[-1]) if said.ndim else said.reshape(1, 1)
    same = rows.argmax(1) == reference.reshape(rows.shape).argmax(1)
    return Fidelity(min(1.0, cosine), error, float(same.mean()))


def fidelity(task: Task) -> Fidelity:
    """The fidelity of a task, from one run of each of its networks.

    Raises:
        BackendError: a network cannot run in the precision of the task.
    """
    worst: Fidelity | None = None
    for part in task.parts:
        plain = float_graph(part, task)
        need, free = 3 * plain.parameter_bytes, psutil.virtual_memory().available
        if need > free:
            gib = f"{need / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free"
            return Fidelity(reason=f"float32 needs about {gib}")
        plain = seeded(plain, task.seed)
        reference = _answer(plain, replace(task, device="cpu"), optimise=False)
        graph = plain if task.precision in ("fp32", "tf32") else graph_of(part, task)
        found = compared(_answer(graph, task, optimise=True), reference)
        if found.cosine is None:
            return found
        if worst is None or found.cosine < (worst.cosine or 0.0):
            worst = found
    assert worst is not None
    return worst


def _answer(graph: Graph, task: Task, *, optimise: bool) -> np.ndarray:
    """The first output of a network on the task's inputs, as float32."""
    settings = replace(task.settings, optimise=optimise)
    prepared = find_backend(task.backend).prepare(graph, settings)
    try:
        prepared.bind(feeds_of(graph, task.seed))
        prepared.run()
        prepared.synchronize()
        said = next(iter(prepared.outputs().values()))
        return np.asarray(said).astype(np.float32)
    finally:
        prepared.close()
