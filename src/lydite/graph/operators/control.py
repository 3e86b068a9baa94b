"""Control flow, whose work is that of its bodies, and operators whose work cannot be counted."""

from __future__ import annotations

from lydite.graph.operators.missing import (
    BRANCHING,
    NOT_IN_TORCH,
    UNTYPED,
    WHOLE,
    final,
    no_array,
    no_gradient,
    no_split,
    no_work,
    runtimes,
    usual,
)
from lydite.graph.operators.operator import BY_BODIES, Family, Operator

_GENERATES = no_work("it runs a model once per generated token, and how many is not in its types")
_BY_VALUE = no_work("which work it skips depends on the input values")
_MS = "com.microsoft:"
_flow = Family(
    "control",
    usual(
        gradient=no_gradient("control flow is not trained"),
        split=no_split("passes leave control flow alone"),
        array=no_array("accelerators do not run its bodies"),
    ),
)
_uncounted = Family("uncounted", usual(array=no_array("its work is unknown")))
_runtime = Family("uncounted", runtimes(types=UNTYPED, array=no_array("its work is unknown")))

OPERATORS: tuple[Operator, ...] = (
    *_flow.rows(("If", "Loop", "Scan"), BY_BODIES),
    _uncounted.row("ImageDecoder", no_work("the work of decoding depends on the picture")),
    _uncounted.row(
        "RegexFullMatch", no_work("the work of matching depends on the expression and the texts")
    ),
    _uncounted.row(
        "SequenceMap",
        no_work(
            "its body runs once per element of a sequence, and a sequence's type has no length"
        ),
        gradient=BRANCHING,
        split=final(WHOLE),
        torch=final(NOT_IN_TORCH),
    ),
    _uncounted.row(
        "ai.onnx.preview.training:Gradient",
        no_work("the graph that it differentiates is not in it"),
    ),
    *_runtime.rows(
        (
            _MS + "BeamSearch",
            _MS + "GreedySearch",
            _MS + "Sampling",
            _MS + "WhisperBeamSearch",
        ),
        _GENERATES,
    ),
    *_runtime.rows(
        (
            _MS + "BifurcationDetector",
            _MS + "NGramHashMapping",
            _MS + "NGramRepeatBlock",
            _MS + "VarlenNGramHashMapping",
            _MS + "SparseAttention",
        ),
        _BY_VALUE,
    ),
    _runtime.row(_MS + "AttnLSTM", no_work("no rule for its work yet")),
)
