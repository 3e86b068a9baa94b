"""Compilation options of kernels.

Kernels create no arrays, so numba's reference counts are turned off (`_nrt`): two atomic operations
for every array passed to a helper made the loops two to ten times slower. Helpers are always
inlined, because passing a dozen arrays costs more than most of them do.
"""

from __future__ import annotations

from typing import Any

from numba import njit

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}

kernel = njit(cache=True, **_OPTIONS)
inlined = njit(forceinline=True, **_OPTIONS)
called = njit(**_OPTIONS)
