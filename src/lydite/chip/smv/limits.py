"""SMV's constraints on tiles, as in SMAUG, with its sizes as parameters."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from lydite.chip.tiling.constraints import Constraints, Limits, Roles, Strategy
from lydite.errors import InputError

VECTOR = 8
"""Lanes of a vector: the alignment of memory, and the step of channels in pooling."""

_S = Strategy
_OF_IMAGES = (_S.NONE, _S.N, _S.NC, _S.NH, _S.NCH)
_OF_MATRICES = (_S.NONE, _S.N, _S.NC)


@lru_cache(maxsize=256)
def smv_constraints(
    scratchpad_bytes: int = 32768, pes: int = 8, maccs_per_pe: int = 32, element_bytes: int = 2
) -> Constraints:
    """The constraints of an SMV with the given sizes.

    Args:
        scratchpad_bytes: Bytes of the largest tile of a scratchpad, in the data type of memory;
            SMAUG's scratchpads are 64 KiB because they hold fp32, its tiles 32 KiB.
        pes: Number of processing elements; each computes one output channel.
        maccs_per_pe: Number of input channels that a processing element takes at a time.
        element_bytes: Bytes per element in memory (fp16).

    Raises:
        InputError: a size is not positive, or not a multiple of the vector.
    """
    if maccs_per_pe < 1 or maccs_per_pe % VECTOR:
        allowed = f"a multiple of {VECTOR}"
        raise InputError(f"maccs_per_pe {maccs_per_pe}", where="smv", allowed=allowed)
    if pes < 1 or (pes % VECTOR and VECTOR % pes):
        allowed = f"1, 2, 4 or a multiple of {VECTOR}"
        raise InputError(f"pes {pes}", where="smv", allowed=allowed)
    if element_bytes < 1 or scratchpad_bytes < element_bytes * VECTOR:
        raise InputError(
            f"a scratchpad of {scratchpad_bytes} bytes",
            where="smv",
            allowed=f"at least {max(1, element_bytes) * VECTOR}",
        )
    room = scratchpad_bytes // element_bytes
    v = VECTOR
    convolution = Roles(
        Limits(
            room, (1, "kernel", "full", maccs_per_pe), (1, "stride", 1, maccs_per_pe), _OF_IMAGES
        ),
        Limits(room, (1, 1, "full", pes), (1, 1, 1, pes), _OF_IMAGES),
        Limits(room, (pes, "full", "full", maccs_per_pe), (pes, 1, 1, maccs_per_pe), _OF_MATRICES),
        output_leaves_early=True,
        output_in_parts=True,
        one_image=True,
    )
    inner_product = Roles(
        Limits(room, (1, maccs_per_pe), (1, maccs_per_pe), _OF_MATRICES),
        Limits(room, (1, pes), (1, pes), _OF_MATRICES),
        Limits(room, (pes, maccs_per_pe), (pes, maccs_per_pe), _OF_MATRICES),
    )
    pooling = Roles(
        Limits(room, (1, "kernel", "kernel", v), (1, "stride", "stride", v)),
        Limits(room, (1, 1, 1, v), (1, 1, 1, v)),
        one_image=True,
    )
    batch_norm = Roles(
        Limits(room, (1, v, v, v), (1, v, v, v)),
        Limits(room, (1, v, v, v), (1, v, v, v)),
        Limits(room, (4, v), (4, v), (_S.NONE,)),
    )
    batch_norm_2d = Roles(
        Limits(room, (1, v), (1, v), _OF_MATRICES),
        Limits(room, (1, v), (1, v), _OF_MATRICES),
        Limits(room, (4, v), (4, v), (_S.NONE, _S.NC)),
    )
    return Constraints(
        "smv",
        element_bytes,
        v,
        convolution,
        inner_product,
        pooling,
        batch_norm,
        batch_norm_2d,
        flat_elements=room,
    )


SMV = smv_constraints()
"""SMAUG's accelerator: 8 PEs of 32 multipliers, tiles of 32 KiB of fp16."""

SMV_COMPAT = replace(SMV, exact_halos=False)
"""`SMV` with SMAUG's one error in splitting rows."""
