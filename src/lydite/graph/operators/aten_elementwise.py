"""PyTorch's aten operators element by element, views, fills and reductions."""

from __future__ import annotations

from lydite.graph.operators import split
from lydite.graph.operators.aten_rows import BY_SIZE, FILLED, SAME, row, rows
from lydite.graph.operators.call import (
    DIVIDE,
    FUNCTION,
    SQRT,
    VIEW,
    Call,
    Cost,
    per_input,
    per_output,
)
from lydite.graph.operators.elementwise import FUNCTIONS, SIGMOID
from lydite.graph.operators.operator import (
    ALIAS,
    Operator,
)
from lydite.graph.operators.reduce import LOG_SOFTMAX, SOFTMAX


def _filled(_: Call) -> Cost:
    return Cost(0, read=0)


_EACH: dict[str, float] = {
    "add": 1,
    "sub": 1,
    "rsub": 1,
    "mul": 1,
    "div": DIVIDE,
    "remainder": DIVIDE,
    "fmod": DIVIDE,
    "maximum": 1,
    "minimum": 1,
    "clamp": 2,
    "clamp_min": 1,
    "clamp_max": 1,
    "hardtanh": 2,
    "relu6": 2,
    "rsqrt": SQRT + DIVIDE,
    "addcmul": 3,
    "addcdiv": 2 + DIVIDE,
    "lerp": 3,
    "eq": 1,
    "ne": 1,
    "lt": 1,
    "le": 1,
    "gt": 1,
    "ge": 1,
    "logical_and": 1,
    "logical_or": 1,
    "bitwise_and": 1,
    "bitwise_or": 1,
    "bitwise_xor": 1,
    "floor_divide": DIVIDE,
    "exp2": FUNCTION,
    "expm1": FUNCTION,
    "log2": FUNCTION,
    "log10": FUNCTION,
    "log1p": FUNCTION,
    "atan": FUNCTION,
    "atan2": FUNCTION + DIVIDE,
    "log_sigmoid": SIGMOID + FUNCTION,
    "where": 0,
    "masked_fill": 0,
    "clone": 0,
    "_to_copy": 0,
    "to": 0,
    "copy": 0,
    "cat": 0,
    "stack": 0,
    "contiguous": 0,
    "pad": 0,
    "constant_pad_nd": 0,
    "repeat": 0,
    "flip": 0,
    "roll": 0,
    "tril": 0,
    "triu": 0,
    "pixel_shuffle": 0,
    "type_as": 0,
    "repeat_interleave": 0,
    "tile": 0,
    "channel_shuffle": 0,
    "native_channel_shuffle": 0,
}
_VIEWS = (
    "view",
    "_unsafe_view",
    "reshape",
    "flatten",
    "unflatten",
    "squeeze",
    "unsqueeze",
    "permute",
    "transpose",
    "t",
    "expand",
    "expand_as",
    "split",
    "split_with_sizes",
    "chunk",
    "unbind",
    "select",
    "slice",
    "narrow",
    "detach",
    "alias",
    "lift_fresh_copy",
    "view_as",
    "numpy_T",
    "as_strided",
    "movedim",
    "swapaxes",
    "lift_fresh",
    "sym_size",
    "diagonal",
    "unfold",
)
_REDUCED: dict[str, float] = {
    "sum": 1,
    "mean": 1,
    "amax": 1,
    "amin": 1,
    "max": 1,
    "min": 1,
    "prod": 1,
    "argmax": 1,
    "argmin": 1,
    "any": 1,
    "all": 1,
    "cumsum": 1,
    "cumprod": 1,
    "var": 4,
    "var_mean": 4,
    "std": 4,
    "norm": 2,
    "linalg_vector_norm": 2,
    "logsumexp": 3 + FUNCTION,
    "adaptive_avg_pool1d": 1,
    "adaptive_avg_pool2d": 1,
    "_adaptive_avg_pool2d": 1,
    "adaptive_avg_pool3d": 1,
    "adaptive_max_pool2d": 1,
    "softmax": SOFTMAX,
    "_softmax": SOFTMAX,
    "_safe_softmax": SOFTMAX,
    "log_softmax": LOG_SOFTMAX,
    "_log_softmax": LOG_SOFTMAX,
    "local_response_norm": 17,
}
_MOVING = frozenset(
    (
        "clone",
        "_to_copy",
        "to",
        "copy",
        "cat",
        "stack",
        "contiguous",
        "pad",
        "constant_pad_nd",
        "repeat",
        "flip",
        "roll",
        "tril",
        "triu",
        "pixel_shuffle",
        "type_as",
        "repeat_interleave",
        "tile",
        "channel_shuffle",
        "native_channel_shuffle",
    )
)
_ALONG = frozenset(
    (
        "cumsum",
        "cumprod",
        "softmax",
        "_softmax",
        "_safe_softmax",
        "log_softmax",
        "_log_softmax",
    )
)


OPERATORS: tuple[Operator, ...] = (
    *(
        row(
            name,
            per_output(FUNCTIONS[same]),
            split=split.pointwise,
            special=FUNCTIONS[same] >= DIVIDE and same != "HardSigmoid",
        )
        for name, same in SAME.items()
    ),
    *(
        row(
            name,
            per_output(flops),
            split=split.joined_along("dim")
            if name == "cat"
            else split.pointwise
            if name not in _MOVING
            else split.same_sizes,
            special=flops >= DIVIDE,
        )
        for name, flops in _EACH.items()
    ),
    *(
        row(
            name,
            per_input(flops),
            split=split.along("dim", -1) if name in _ALONG else split.reduced(name == "sum"),
            special=name in _ALONG and "softmax" in name,
        )
        for name, flops in _REDUCED.items()
    ),
    *(
        row(
            name,
            lambda _: VIEW,
            array=ALIAS,
            aliases=True,
            split=split.reordered if name in BY_SIZE else split.same_sizes,
        )
        for name in _VIEWS
    ),
    *rows(FILLED, _filled, split=split.source),
)
"""Rows in no particular order."""
