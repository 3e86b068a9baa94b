"""Versions of software, in order."""

from __future__ import annotations

import re
from typing import Any


def version_order(text: str) -> tuple[Any, ...]:
    """Sorts versions: "0.24.0" after "0.9.1", "1.3.0rc20" after "1.3.0rc3"."""
    parts = re.findall(r"\d+|[a-z]+", text.lower())
    return tuple((1, int(p), "") if p.isdigit() else (0, 0, p) for p in parts)
