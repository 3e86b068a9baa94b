"""Kernels as machine code: loaded from files without numba, called through ctypes.

Importing numba and reading its cache take half a second, loading an object file 30 ms. A file holds
one line of JSON, which names the code and gives its digest, and an object file. A kernel is called
by an entry of three pointers,

    int status = code(returned*, error**, words*)

where the words, of 64 bits each, are the arguments: a number, or the address of an array's data,
its shape, and its strides if it is not contiguous; a tuple is its members.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import struct
import tempfile
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from lydite.records import dataclass

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


def kind_of(argument: Any) -> Any:
    """What the machine code of a kernel depends on."""
    if isinstance(argument, np.ndarray):
        flags = argument.flags
        return argument.dtype, argument.ndim, flags.c_contiguous, flags.writeable, flags.aligned
    if isinstance(argument, bool | np.bool_):
        return bool
    return float if isinstance(argument, float | np.floating) else int


def described(kind: Any) -> Any:
    """A kind in words that are the same in every process."""
    if isinstance(kind, type):
        return kind.__name__
    dtype, *rest = kind
    return [dtype.descr, dtype.itemsize, *rest]


_CONTIGUOUS, _FLAGS = 0x1, 0x501
"""NumPy's flags of what is contiguous in C's order; and of that, aligned and writeable."""
_from_buffer: Any = ctypes.c_char.from_buffer
_address = ctypes.addressof


def read_arguments(arguments: Sequence[Any], marks: list[Any], words: list[int]) -> None:
    """Append the marks and the words of arguments.

    Marks tell kinds apart in this process, as long as their element types live. A call of a small
    simulation spends most of its time here, so that both are made in one pass.
    """
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            flags = argument.flags.num
            marks.append((id(argument.dtype), argument.ndim, flags & _FLAGS))
            try:
                words.append(_address(_from_buffer(argument)))  # three times as fast as .ctypes
            except (BufferError, TypeError, ValueError):  # read-only, empty or not contiguous
                words.append(argument.ctypes.data)
            words += argument.shape
            if not flags & _CONTIGUOUS:
                words += argument.strides
        elif isinstance(argument, tuple):
            read_arguments(argument, marks, words)
        elif isinstance(argument, float | np.floating):
            marks.append(type(argument))
            words += struct.unpack("q", struct.pack("d", argument))
        else:
            marks.append(type(argument))
            words.append(int(argument))


_ENTRY = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


def caller(code: Code) -> Callable[[Sequence[int]], Any]:
    """A function that passes words to machine code, once that is loaded."""
    call = _ENTRY(_loaded(code))
    returned = _WORDS[code.form] * max(code.returns, 1)

    def run(words: Sequence[int]) -> Any:
        values, error, packed = returned(), ctypes.c_void_p(), array("q", words)
        status = call(ctypes.byref(values), ctypes.byref(error), packed.buffer_info()[0])
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
