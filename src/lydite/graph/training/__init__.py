"""Training: the graph of a whole step, what it keeps in memory, and recomputation.

    step = training_step(build_model("resnet50", batch=32), optimizer="adam")
    step.graph                      # forward, loss, backward, optimiser: a Graph like any other
    step.gradients["conv.weight"]   # the tensor that holds a weight's gradient
    memory_of(step).peak_bytes      # and `at_peak`, its parts by kind

Gradient operators that ONNX does not have live in the domain "lydite"; docs/reference/training.md
lists them.
"""

from typing import TYPE_CHECKING

from lydite.registry import lazily

if TYPE_CHECKING:
    from lydite.graph.training.memory import Memory, memory_of
    from lydite.graph.training.optimizers import OPTIMIZERS
    from lydite.graph.training.step import LOSSES, TrainingStep, training_step

__all__ = ["LOSSES", "OPTIMIZERS", "Memory", "TrainingStep", "memory_of", "training_step"]

_WHERE = {
    **dict.fromkeys(("Memory", "memory_of"), "memory"),
    **dict.fromkeys(("OPTIMIZERS",), "optimizers"),
    **dict.fromkeys(("LOSSES", "TrainingStep", "training_step"), "step"),
}

__getattr__ = lazily(__name__, _WHERE)
