"""What helpers marked as instructions become in machine code; imported only to compile."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

_READ_OR_WRITE, _NEAREST, _DATA = 0, 3, 1


@intrinsic
def pick(typing: Any, condition: Any, one: Any, other: Any) -> Any:  # noqa: ARG001, numba's form
    """A select that the compiler must not turn into a branch."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ARG001
        made = builder.select(*values)
        made.set_metadata("unpredictable", builder.module.add_metadata([]))
        return made

    return types.int64(types.boolean, types.int64, types.int64), code


@intrinsic
def nearest(typing: Any, number: Any) -> Any:  # noqa: ARG001
    """LLVM's rint, which loops can use on several numbers at once."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ARG001
        kind = values[0].type
        function = builder.module.declare_intrinsic("llvm.rint", [kind])
        return builder.call(function, values)

    return types.float64(types.float64), code


@intrinsic
def prefetch(typing: Any, items: Any, at: Any) -> Any:  # noqa: ARG001
    """LLVM's prefetch of the address of an item of an array."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = signature.args[0]
        array = make_array(kind)(context, builder, values[0])
        item = cgutils.get_item_pointer(context, builder, kind, array, [values[1]])
        byte = builder.bitcast(item, ir.PointerType(ir.IntType(8)))
        word = ir.IntType(32)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch",
            [byte.type],
            ir.FunctionType(ir.VoidType(), [byte.type, word, word, word]),
        )
        builder.call(function, [byte, word(_READ_OR_WRITE), word(_NEAREST), word(_DATA)])
        return context.get_dummy_value()

    return types.none(items, types.int64), code
