"""What a worker runs: only the same software gives the same results."""

from __future__ import annotations

import hashlib
import platform
import sys
from functools import cache
from pathlib import Path


@cache
def lydite_software() -> str:
    """Version of Lydite and 8 hexadecimal digits of its source: "0.1.0 (source 5f2a90c1)"."""
    folder = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{sys.modules['lydite'].__version__} (source {digest.hexdigest()[:8]})"


@cache
def software() -> dict[str, str]:
    """Versions that a worker has to have, by package."""
    import ray

    return {
        "lydite": lydite_software(),
        "ray": ray.__version__,
        "python": platform.python_version(),
    }
