"""Operators that only other systems' files have: SMAUG's, TensorFlow's and AISim's."""

from __future__ import annotations

from lydite.graph.rules.call import VIEW, Cost, Rule

RULES: dict[str, Rule] = {
    # SMAUG passes its tensors on by name
    **dict.fromkeys(("smaug:Switch", "smaug:Merge"), lambda _: VIEW),
}
__all__ = ["RULES", "Cost"]
