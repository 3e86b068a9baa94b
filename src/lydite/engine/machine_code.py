"""Kernels as machine code: loaded from files without numba, called through ctypes.

Importing numba and reading its cache take half a second, loading an object file 30 ms. A file holds
one line of JSON, which names the code and gives its digest, and an object file. A kernel is called
as numba's own are (numba.core.callconv, CPUCallConv):

    int status = code(returned*, error**, argument, ...)

where an array is its owner (null), its parent (null), number of items, bytes an item, data, shape
and strides, and a tuple is its members.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_OK = (0, -2)
"""Statuses that are no error: a value, or none (numba.core.callconv)."""
_WORDS = {"i": ctypes.c_int64, "f": ctypes.c_double}
_HEADER_BYTES = 65_536


@dataclass(frozen=True)
class Code:
    """Machine code of a kernel.

    Attributes:
        symbol: Name of the function in the object file.
        returns: Number of values that it returns.
        form: Form of these: "i" for int64, "f" for float64.
        binary: Object file.
    """

    symbol: str
    returns: int
    form: str
    binary: bytes


def write(path: Path, code: Code) -> None:
    """Write machine code to a file, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    header = {
        "symbol": code.symbol,
        "returns": code.returns,
        "form": code.form,
        "sha256": hashlib.sha256(code.binary).hexdigest(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    number, draft = tempfile.mkstemp(dir=path.parent, suffix=".draft")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(json.dumps(header).encode() + b"\n" + code.binary)
        Path(draft).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(draft).unlink()
        raise


def read(path: Path) -> Code | None:
    """Machine code from a file; None where there is none that is whole."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.readline(_HEADER_BYTES))
            binary = file.read()
        code = Code(str(header["symbol"]), int(header["returns"]), str(header["form"]), binary)
        whole = header["sha256"] == hashlib.sha256(binary).hexdigest() and code.form in _WORDS
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return code if whole else None


def flattened(arguments: Sequence[Any]) -> Iterator[Any]:
    """Arrays and numbers, with those of tuples in their place."""
    for argument in arguments:
        if isinstance(argument, tuple):
            yield from flattened(argument)
        else:
            yield argument


_FLAGS = 0x401
"""NumPy's flags of what is contiguous in C's order, and of what is writeable."""


def mark_of(argument: Any) -> Any:
    """What tells kinds apart in this process, as long as their types live; made in 0.1 us."""
    if isinstance(argument, np.ndarray):
        return id(argument.dtype), argument.ndim, argument.flags.num & _FLAGS
    return type(argument)


def kind_of(argument: Any) -> Any:
    """What the machine code of a kernel depends on."""
    if isinstance(argument, np.ndarray):
        flags = argument.flags
        return argument.dtype, argument.ndim, flags.c_contiguous, flags.writeable
    if isinstance(argument, bool | np.bool_):
        return bool
    return float if isinstance(argument, float | np.floating) else int


def described(kind: Any) -> Any:
    """A kind in words that are the same in every process."""
    if isinstance(kind, type):
        return kind.__name__
    dtype, *rest = kind
    return [dtype.descr, dtype.itemsize, *rest]


def _words(kind: Any) -> list[Any]:
    """Types of the words by which an argument is passed."""
    if isinstance(kind, type):
        return [{bool: ctypes.c_uint8, float: ctypes.c_double, int: ctypes.c_int64}[kind]]
    return (
        [ctypes.c_void_p] * 2
        + [ctypes.c_int64] * 2
        + [ctypes.c_void_p]
        + [ctypes.c_int64] * (2 * kind[1])
    )


_from_buffer: Any = ctypes.c_char.from_buffer
_address = ctypes.addressof


def _passed(flat: Sequence[Any]) -> list[Any]:
    """The words of arguments; the sizes of types are checked where they are declared."""
    words: list[Any] = []
    for argument in flat:
        if isinstance(argument, np.ndarray):
            try:
                data = _address(_from_buffer(argument))  # three times as fast as .ctypes
            except (BufferError, TypeError, ValueError):  # read-only, empty or not contiguous
                data = argument.ctypes.data
            words += (None, None, argument.size, argument.itemsize, data)
            words += argument.shape
            words += argument.strides
        elif isinstance(argument, float | np.floating):
            words.append(float(argument))
        else:
            words.append(int(argument))
    return words


def caller(code: Code, kinds: Sequence[Any]) -> Callable[[Sequence[Any]], Any]:
    """A function that passes arguments of these kinds to machine code, once that is loaded."""
    words = [word for kind in kinds for word in _words(kind)]
    prototype = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *words)
    call = prototype(_loaded(code))
    returned = _WORDS[code.form] * max(code.returns, 1)

    def run(flat: Sequence[Any]) -> Any:
        values, error = returned(), ctypes.c_void_p()
        status = call(ctypes.byref(values), ctypes.byref(error), *_passed(flat))
        if status not in _OK:
            raise RuntimeError(f"the kernel {code.symbol} failed: status {status}")
        if code.returns == 0:
            return None
        return values[0] if code.returns == 1 else tuple(values)

    return run


_ENGINES: list[Any] = []
"""Those that own the machine code that is loaded; it stays until the process ends."""


def _loaded(code: Code) -> int:
    """Load machine code, and return the address of its function."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code.binary))
    engine.finalize_object()
    _ENGINES.append(engine)
    return engine.get_function_address(code.symbol)
