"""What an operator is, in one canonical text: the key under which its time is kept.

Two operators with one key do the same work. The text is JSON with sorted keys, so that it can be
read, searched, and turned back into the operator. It holds everything that decides the work:
domain, type, schema version, every attribute that differs from its default (strings too), the
chain it was fused from, and each operand's type, layout and, where a value steers the work (a
slice's bounds, an exponent), its value.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import field
from functools import cached_property, lru_cache
from typing import Any

from lydite.errors import InputError
from lydite.records import dataclass

Dim = int | str

_MOST_PARSED = 4096
"""Texts of types and operands that are kept with what they say: databases repeat them."""

_ITEM_BITS = {
    "float64": 64,
    "float32": 32,
    "float16": 16,
    "bfloat16": 16,
    "complex64": 64,
    "complex128": 128,
    "int64": 64,
    "int32": 32,
    "int16": 16,
    "int8": 8,
    "uint64": 64,
    "uint32": 32,
    "uint16": 16,
    "uint8": 8,
    "bool": 8,
    "float8e4m3fn": 8,
    "float8e4m3fnuz": 8,
    "float8e5m2": 8,
    "float8e5m2fnuz": 8,
    "float8e8m0": 8,
    "uint4": 4,
    "int4": 4,
    "float4e2m1": 4,
    "uint2": 2,
    "int2": 2,
}


@dataclass(frozen=True, slots=True)
class TensorType:
    """Element type, shape and memory layout of a tensor.

    Attributes:
        dtype: ONNX's name in lower case ("float32"); "seq(float32)" and the like for what is no
            tensor; "" when unknown.
        shape: sizes, or names for symbolic ones; None when not even the rank is known.
        layout: "" for dense row-major, else a name such as "channels_last".
    """

    dtype: str
    shape: tuple[Dim, ...] | None = None
    layout: str = ""

    @property
    def is_static(self) -> bool:
        """Whether every size is a number."""
        return self.shape is not None and all(isinstance(dim, int) for dim in self.shape)

    @property
    def numel(self) -> int | None:
        """Number of elements; None while a size is unknown."""
        count = 1
        for dim in self.shape or ():
            if not isinstance(dim, int):
                return None
            count *= dim
        return None if self.shape is None else count

    @property
    def nbytes(self) -> int | None:
        """Size in bytes, packed for types under 8 bits; None while unknown."""
        bits, count = _ITEM_BITS.get(self.dtype), self.numel
        return None if bits is None or count is None else (bits * count + 7) // 8

    def __str__(self) -> str:
        dims = "*" if self.shape is None else ",".join(map(str, self.shape))
        return f"{self.dtype}[{dims}]" + (f"{{{self.layout}}}" if self.layout else "")

    @staticmethod
    @lru_cache(maxsize=_MOST_PARSED)
    def parse(text: str) -> TensorType:
        """Read what `str` printed.

        Raises:
            InputError: not of the form `dtype[dims]{layout}`.
        """
        match = _TYPE.fullmatch(text)
        if match is None:
            raise InputError(f"'{text}' is not a tensor type", allowed="such as float32[1,3,224]")
        dtype, dims, layout = match[1], match[2], match[3] or ""
        if dims == "*":
            return TensorType(dtype, None, layout)
        parts = [part for part in dims.split(",") if part]
        return TensorType(
            dtype, tuple(int(p) if p.lstrip("-").isdigit() else p for p in parts), layout
        )


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
_SUBNORMAL = " subnormal "
_TYPE = re.compile(r"([^\[]*)\[([^\]]*)\](?:\{([^}]*)\})?")


@dataclass(frozen=True, slots=True)
class Operand:
    """One input of an operator.

    Attributes:
        type: its type; None for an optional input that is left out.
        const: whether it is a weight or constant (kept in memory between calls).
        value: the elements, flattened, where they steer the work; else None.
        same_as: index of an earlier input that is the very same tensor; else None.
        subnormal: share of a weight's cache lines that hold numbers below the smallest normal one,
            which processors take a hundred times as long for; 0 where that makes no difference.
    """

    type: TensorType | None
    const: bool = False
    value: tuple[int | float | bool | str, ...] | None = None
    same_as: int | None = None
    subnormal: float = 0.0

    def __str__(self) -> str:
        if self.same_as is not None:
            return f"@{self.same_as}"
        if self.type is None:
            return ""
        text = ("const " if self.const else "") + str(self.type)
        text += f"{_SUBNORMAL}{self.subnormal:g}" if self.subnormal else ""
        return text if self.value is None else f"{text}={json.dumps(list(self.value))}"

    @staticmethod
    @lru_cache(maxsize=_MOST_PARSED)
    def parse(text: str) -> Operand:
        """Read what `str` printed."""
        if not text:
            return Operand(None)
        if text.startswith("@"):
            return Operand(None, same_as=int(text[1:]))
        const = text.startswith("const ")
        head, _, value = text.removeprefix("const ").partition("=")
        head, _, share = head.partition(_SUBNORMAL)
        return Operand(
            TensorType.parse(head),
            const,
            tuple(json.loads(value)) if value else None,
            subnormal=float(share or 0),
        )


@dataclass(frozen=True)
class OpKey:
    """The lossless canonical identity of an operator.

    Attributes:
        op_type, domain: ONNX's names ("Conv", ""); "model" operators have domain "lydite.model".
        version: schema version that defines the meaning.
        attrs: JSON-like values, only those that differ from their default.
        fused: operator types that were merged into this one, where the type does not tell.
    """

    op_type: str
    inputs: tuple[Operand, ...] = ()
    outputs: tuple[TensorType, ...] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)
    domain: str = ""
    version: int = 1
    fused: tuple[str, ...] = ()

    @cached_property
    def text(self) -> str:
        """The canonical text."""
        record: dict[str, Any] = {
            "op": self.op_type,
            "domain": self.domain,
            "version": self.version,
            "attrs": dict(self.attrs),
            "inputs": [str(operand) for operand in self.inputs],
            "outputs": [str(output) for output in self.outputs],
        }
        if self.fused:
            record["fused"] = list(self.fused)
        return _ENCODER.encode(record)

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits of the text's SHA-256."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:32]

    @property
    def qualified_type(self) -> str:
        """The type with its domain: "com.microsoft.nchwc:Conv"; ONNX's own stand bare."""
        return f"{self.domain}:{self.op_type}" if self.domain else self.op_type

    @property
    def subnormal(self) -> float:
        """The largest share of subnormal cache lines of a weight."""
        return max((operand.subnormal for operand in self.inputs), default=0.0)

    def operand_types(self) -> list[TensorType | None]:
        """Types of the inputs, aliases resolved."""
        return [
            self.inputs[operand.same_as].type if operand.same_as is not None else operand.type
            for operand in self.inputs
        ]

    @staticmethod
    def parse(text: str) -> OpKey:
        """Read a canonical text.

        Raises:
            InputError: not the JSON of an operator key.
        """
        try:
            record = json.loads(text)
            return OpKey(
                op_type=record["op"],
                domain=record["domain"],
                version=record["version"],
                attrs=record["attrs"],
                inputs=tuple(Operand.parse(item) for item in record["inputs"]),
                outputs=tuple(TensorType.parse(item) for item in record["outputs"]),
                fused=tuple(record.get("fused", ())),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"not an operator key: {text[:80]!r}") from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OpKey) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


CALL_KEY = OpKey("Call", domain="lydite.backend")
"""Key of the cost of one call into a backend."""

DISPATCH_KEY = OpKey("Dispatch", domain="lydite.backend")
"""Key of the cost of dispatching one operator inside a call."""

SMALL_NETWORK_KEY = OpKey("InNetwork", attrs={"nodes": 64}, domain="lydite.backend")
"""Key of what a node costs in addition within a network of that many nodes."""

LARGE_NETWORK_KEY = OpKey("InNetwork", attrs={"nodes": 512}, domain="lydite.backend")
"""The same for a network in which no node finds its code and records in the near caches."""

BACKEND_KEYS = (CALL_KEY, DISPATCH_KEY, SMALL_NETWORK_KEY, LARGE_NETWORK_KEY)
"""Keys of a backend's own costs."""
