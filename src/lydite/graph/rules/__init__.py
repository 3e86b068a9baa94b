"""Work rules: one row per operator, in one table per family.

A row maps an operator's qualified type ("Conv", "com.microsoft:FusedConv", "aten:mm") to a `Rule`,
a function from what is known of the call to FLOPs and bytes. Packages outside add rows by entry
points of the group "lydite.operators": each names a mapping of the same form.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points

from lydite.graph.rules import (
    aten,
    aten_training,
    attention,
    classic,
    conv,
    elementwise,
    foreign,
    gradient,
    matmul,
    move,
    norm,
    pool,
    quantise,
    recurrent,
    reduce,
    signal,
    train,
    vision,
)
from lydite.graph.rules.call import Call, Cost, NotKnownError, Rule

__all__ = ["TABLES", "UNKNOWN", "Call", "Cost", "NotKnownError", "Rule", "rule_for", "rules"]

TABLES = (
    elementwise,
    move,
    reduce,
    pool,
    conv,
    matmul,
    norm,
    attention,
    recurrent,
    quantise,
    vision,
    signal,
    classic,
    train,
    gradient,
    aten,
    aten_training,
    foreign,
)

_GENERATES = "runs a model as often as what it generates is long"
_BY_VALUE = "what it skips depends on the numbers"

UNKNOWN: dict[str, str] = {
    "ImageDecoder": "the work of decoding depends on the picture",
    "RegexFullMatch": "the work of matching depends on the expression and the texts",
    "SequenceMap": "how often its body runs is the length of a sequence, which has no type",
    "ai.onnx.preview.training:Gradient": "stands for a graph that is not there",
    "com.microsoft:BeamSearch": _GENERATES,
    "com.microsoft:GreedySearch": _GENERATES,
    "com.microsoft:Sampling": _GENERATES,
    "com.microsoft:WhisperBeamSearch": _GENERATES,
    "com.microsoft:BifurcationDetector": _BY_VALUE,
    "com.microsoft:NGramHashMapping": _BY_VALUE,
    "com.microsoft:NGramRepeatBlock": _BY_VALUE,
    "com.microsoft:VarlenNGramHashMapping": _BY_VALUE,
    "com.microsoft:SparseAttention": _BY_VALUE,
    "com.microsoft:AttnLSTM": "nobody has written its rule",
}
"""Operators whose work does not follow from types and attributes, and why.

Of the standard and of what ONNX Runtime's CPU provider runs, all others have a rule.
"""

CONTROL_FLOW = ("If", "Loop", "Scan")
"""Counted through their bodies, by `work_of`."""


@cache
def rules() -> Mapping[str, Rule]:
    """All rows; those of installed packages replace ours."""
    found: dict[str, Rule] = {}
    for table in TABLES:
        found |= table.RULES
    for entry in entry_points(group="lydite.operators"):
        found |= entry.load()
    return found


def rule_for(qualified_type: str) -> Rule | None:
    """The rule of an operator type, None if there is none; aten overloads share one."""
    known = rules()
    found = known.get(qualified_type)
    if found is None and qualified_type.startswith("aten:"):
        found = known.get("aten:" + aten.plain_name(qualified_type[len("aten:") :]))
    return found
