"""Compilation options of kernels.

Kernels create no arrays, so numba's reference counts are turned off (`_nrt`): two atomic operations
for every array passed to a helper made the loops two to ten times slower. Helpers are always
inlined, because passing a dozen arrays costs more than most of them do.

The first use of a command waits for its kernels to compile, so helpers are compiled once, for the
widest types, and without the entry points by which Python and C would call them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit, types
from numba.core.registry import CPUDispatcher

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
_HELPER = {**_OPTIONS, "nopython": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}

kernel = njit(cache=True, **_OPTIONS)


class _Helper(CPUDispatcher):
    """A function that only kernels call.

    numba would compile it again for each mixture of int32, int64 and literal arguments.
    """

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """As numba's, with arguments of the widest types; the caller converts what it passes."""
        return super().get_call_template(tuple(_widest(given) for given in args), kws)


def _widest(given: Any) -> Any:
    plain = types.unliteral(given)
    return types.int64 if isinstance(plain, types.Integer) else plain


def inlined(function: Callable[..., Any]) -> Any:
    """Decorator of a helper that becomes part of each kernel that calls it."""
    return _Helper(function, targetoptions={**_HELPER, "forceinline": True})


def called(function: Callable[..., Any]) -> Any:
    """Decorator of a helper that stays a function of its own, since it is rarely called."""
    return _Helper(function, targetoptions=_HELPER)
