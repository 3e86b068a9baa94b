"""Machine code of kernels, made by numba; imported only where some has to be compiled.

Kernels create no arrays, so numba's reference counts are turned off (`_nrt`): two atomic operations
for every array passed to a helper made the loops two to ten times slower. Most helpers are inlined,
because passing a dozen arrays costs more than most of them do.

The first use of a command waits for its kernels to compile, so helpers are compiled once, for the
widest types, and nothing gets the entry points by which Python and C would call it: these took half
of the time.
"""

from __future__ import annotations

import dis
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numba import njit, typeof, types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher
from numba.np import arrayobj

from lydite.engine import instructions
from lydite.engine.helpers import Helper, helper_of
from lydite.engine.machine_code import Code, flattened, kind_of

_OPTIONS: dict[str, Any] = {
    "error_model": "numpy",
    "_nrt": False,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
_RETURNS = {types.none: (0, "i"), types.int64: (1, "i"), types.float64: (1, "f")}


class _Widened(CPUDispatcher):
    """A function that only kernels call.

    numba would compile it again for each mixture of int32, int64 and literal arguments.
    """

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """As numba's, with arguments of the widest types; the caller converts what it passes."""
        return super().get_call_template(tuple(_widest(given) for given in args), kws)


def _widest(given: Any) -> Any:
    plain = types.unliteral(given)
    return types.int64 if isinstance(plain, types.Integer) else plain


def machine_code(function: Callable[..., Any], arguments: Sequence[object]) -> Code:
    """Compile a kernel for the types of its arguments.

    Raises:
        RuntimeError: it needs what cannot be loaded without numba.
    """
    dispatcher = njit(**_OPTIONS)(_with_dispatchers(function, {}))
    with _indices_from_the_start():
        dispatcher.compile(tuple(typeof(_widest_of_kind(argument)) for argument in arguments))
    (made,) = dispatcher.overloads.values()
    text = str(made.library._final_module)
    foreign = set(re.findall(r"^declare [^@]*@\"?((?!llvm\.)[\w.]+)", text, re.MULTILINE))
    needed = {name for name in foreign if name.startswith(("numba_", "NRT_", "Py"))}
    if needed:
        raise RuntimeError(f"{function.__qualname__} needs {', '.join(sorted(needed))}")
    places, form = _returned(made.signature.return_type)
    symbol = f"lydite_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    kinds = [kind_of(argument) for argument in flattened(arguments)]
    text += _entry(symbol, made.fndesc.llvm_func_name, text, kinds)
    return Code(symbol, places, form, _object(text))


@contextmanager
def _indices_from_the_start() -> Iterator[None]:
    """Compile indices as they are: kernels use none below 0.

    numba adds the size of the array to those, and the test took a fifth of the engine's time.
    """
    with global_compiler_lock:  # nobody else's function is compiled meanwhile
        before = arrayobj.fix_integer_index
        arrayobj.fix_integer_index = _index
        try:
            yield
        finally:
            arrayobj.fix_integer_index = before


def _index(context: Any, builder: Any, kind: Any, index: Any, size: Any) -> Any:  # noqa: ARG001
    return context.cast(builder, index, kind, types.intp)


def _widest_of_kind(argument: Any) -> Any:
    """What stands for all arguments of one kind (`kind_of`) as numba finds their type.

    numba tells numbers of few bits apart, and arrays that are contiguous in Fortran's order.
    """
    if isinstance(argument, tuple):
        members = map(_widest_of_kind, argument)
        return type(argument)(*members) if hasattr(argument, "_fields") else tuple(members)
    if isinstance(argument, np.ndarray):
        if argument.flags.c_contiguous or not argument.flags.f_contiguous:
            return argument
        apart = np.zeros([3] * argument.ndim, argument.dtype)[
            (slice(None, None, 2),) * argument.ndim
        ]
        apart.flags.writeable = argument.flags.writeable
        return apart
    kind = kind_of(argument)
    return kind(argument)


def _with_dispatchers(function: Any, made: dict[Any, Any]) -> Any:
    """The function, whose helpers are what numba compiles instead of functions of Python."""
    names = dict(function.__globals__)
    used = (step.argval for step in dis.get_instructions(function) if step.opname == "LOAD_GLOBAL")
    for name in set(used):
        helper = names.get(name)
        if (kind := helper_of(helper)) is not None:
            if helper not in made:
                made[helper] = _dispatcher(_with_dispatchers(helper, made), kind)
            names[name] = made[helper]
    return FunctionType(function.__code__, names, function.__name__, function.__defaults__)


def _dispatcher(function: Any, kind: Helper) -> Any:
    if kind is Helper.INSTRUCTION:
        return getattr(instructions, function.__name__)
    if kind is Helper.SPECIAL:
        return njit(**_OPTIONS)(function)
    options = {**_OPTIONS, "forceinline": True} if kind is Helper.INLINED else _OPTIONS
    return _Widened(function, targetoptions=options)


def _returned(kind: Any) -> tuple[int, str]:
    """Number and form of the values that a kernel returns."""
    if isinstance(kind, types.UniTuple):
        return kind.count, _RETURNS[kind.dtype][1]
    return _RETURNS[kind]


def _entry(symbol: str, function: str, text: str, kinds: Sequence[Any]) -> str:
    """A function in LLVM's language that unpacks words, and calls a kernel with all it expects.

    numba's kernels take an array as its owner and parent (null here), number of items, bytes an
    item, data, shape and strides (numba.core.callconv, numba.core.datamodel); see
    `lydite.engine.machine_code` for the words.
    """
    expected = [str(a.type) for a in llvm.parse_assembly(text).get_function(function).arguments]
    lines, passed = list[str](), ["ptr %returned", "ptr %error"]
    word = 0

    def loaded(kind: str) -> str:
        nonlocal word
        lines.append(f"%at{word} = getelementptr i64, ptr %words, i64 {word}")
        lines.append(f"%word{word} = load {kind}, ptr %at{word}")
        word += 1
        return f"%word{word - 1}"

    for number, kind in enumerate(kinds):
        if isinstance(kind, type):
            plain = expected[len(passed)]
            passed.append(f"{plain} {loaded(plain)}")
            continue
        dtype, rank, is_contiguous, *_ = kind
        data, shape = loaded("ptr"), [loaded("i64") for _ in range(rank)]
        strides = [loaded("i64") for _ in range(0 if is_contiguous else rank)]
        size, reach = "1", str(dtype.itemsize)
        for axis in reversed(range(rank)):
            if is_contiguous:
                strides.insert(0, reach)
            lines.append(f"%reach{number}.{axis} = mul i64 {reach}, {shape[axis]}")
            lines.append(f"%size{number}.{axis} = mul i64 {size}, {shape[axis]}")
            reach, size = f"%reach{number}.{axis}", f"%size{number}.{axis}"
        passed += ["ptr null", "ptr null", f"i64 {size}", f"i64 {dtype.itemsize}", f"ptr {data}"]
        passed += [f"i64 {value}" for value in (*shape, *strides)]
    call = f'%status = call i32 @"{function}"({", ".join(passed)})'
    body = "\n  ".join([*lines, call, "ret i32 %status"])
    head = f"define i32 @{symbol}(ptr %returned, ptr %error, ptr %words)"
    return f"\n{head} {{\n  {body}\n}}\n"


def _object(text: str) -> bytes:
    """The object file of a module of LLVM's language, for this processor."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        codemodel="jitdefault",
        jit=True,
    )
    return machine.emit_object(llvm.parse_assembly(text))
