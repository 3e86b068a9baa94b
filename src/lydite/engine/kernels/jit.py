"""How kernels are compiled.

Nothing in them makes an array, so numba's reference counts are left out (`_nrt`): two atomic
operations for every array handed to a helper made the loops two to ten times slower. Helpers are
inlined always, because handing over a dozen arrays costs more than most of them do.
"""

from __future__ import annotations

from numba import njit

kernel = njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
inlined = njit(nogil=True, error_model="numpy", _nrt=False, forceinline=True)
called = njit(nogil=True, error_model="numpy", _nrt=False)
