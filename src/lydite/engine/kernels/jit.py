"""How kernels are compiled.

Nothing in them makes an array, so numba's reference counts are left out (`_nrt`): two atomic
operations for every array handed to a helper made the loops two to ten times slower. Helpers are
inlined always, because handing over a dozen arrays costs more than most of them do.
"""

from __future__ import annotations

from typing import Any

from numba import njit

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}

kernel = njit(cache=True, **_OPTIONS)
inlined = njit(forceinline=True, **_OPTIONS)
called = njit(**_OPTIONS)
