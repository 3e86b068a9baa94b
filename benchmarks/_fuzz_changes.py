"""Seeded changes of valid inputs: bits, cuts, swapped tokens, wrong types, huge numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import yaml
from google.protobuf.message import Message

Rng = np.random.Generator
_TRICKS = """
    -1 0 1 0.5 -0 1e308 1e-320 1e999 -1e5 nan inf NaN Infinity null true [] {} '' 65536 4294967296
    100000000 9223372036854775807 9223372036854775808 99999999999999999999999999 0x10 1_000
    2024-01-01 * &a .. ../../etc/passwd !!python/object:os.system %s {0} conv1 , : \u0661 \x1b[31m
"""
_WORDS = (*_TRICKS.split(), "", "\n", "\x00", "1.5 GB", "1 parsec", "x" * 3000)
_NUMBERS = (-1, 0, 1, 2, 3, 7, 16, 99, 1000, 65536, 2**31 - 1, 2**62, -(2**62), -(2**63), 2**63 - 1)
_VALUES = (
    *(None, True, False, 0.5, -0.5, 1e308, -1e308, 1e-320, float("nan"), float("inf")),
    *(*_NUMBERS, 2**53, 2**64, 10**30, 10**8),
    *("", "x", "1", "0", "-1", "1e999", "nan", "\x1b[31m", "x" * 3000, "1 GB/s", "1 parsec"),
    *([], {}, [[]], [None], [1, 2, 3], {"a": 1}, {"": None}, [{}]),
)
_DEEP = (50, 500, 20_000)


def changed(raw: bytes, form: str, rng: Rng) -> bytes:
    """Another version of a file.

    Args:
        raw: A valid file.
        form: See `_fuzz_seeds.Kind.form`; one change in five ignores it.
        rng: Source of the changes.
    """
    change = _FORMS[form] if rng.random() > 0.2 else _bytes
    for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
        raw = change(raw, rng)
    return raw


def _span(length: int, rng: Rng) -> slice:
    begin = int(rng.integers(0, length + 1))
    return slice(begin, min(length, begin + int(rng.choice([1, 2, 8, 64, 512]))))


def _bytes(raw: bytes, rng: Rng) -> bytes:
    """Flip a bit, cut, remove, repeat, zero or fill a part."""
    if not raw:
        return bytes(rng.integers(0, 256, 16, np.uint8))
    data, part = bytearray(raw), _span(len(raw), rng)
    match rng.integers(7):
        case 0 | 1:
            for at in rng.integers(0, len(data), rng.choice([1, 1, 3, 20])):
                data[at] ^= 1 << int(rng.integers(8))
        case 2:
            del data[part.start :]
        case 3:
            del data[part]
        case 4:
            data[part.start : part.start] = data[part] * int(rng.choice([1, 2, 1000]))
        case 5:
            data[part] = bytes(len(data[part]))
        case _:
            data[part] = bytes(rng.integers(0, 256, len(data[part]), np.uint8))
    return bytes(data)


def _text(raw: bytes, rng: Rng) -> bytes:
    """Replace, swap, repeat or remove tokens and lines, or nest deeply."""
    text = raw.decode("utf-8", "surrogateescape")
    tokens = re.findall(r"\w[\w.+-]*|\s+|.", text, re.DOTALL) or [""]
    at, other = (int(place) for place in rng.integers(0, len(tokens), 2))
    lines = text.splitlines(keepends=True) or [""]
    line = int(rng.integers(0, len(lines)))
    match rng.integers(9):
        case 0 | 1 | 2:
            numbers = [place for place, token in enumerate(tokens) if token[0:1].isdigit()]
            words = [place for place, token in enumerate(tokens) if token[0:1].isalnum()]
            among = numbers if numbers and rng.random() < 0.6 else words or [at]
            place = int(rng.choice(among))
            tokens[place] = (
                str(_near(int(tokens[place]), rng))
                if tokens[place].isdecimal() and len(tokens[place]) < 19 and rng.random() < 0.6
                else str(rng.choice(_WORDS))
            )
        case 3:
            tokens[at], tokens[other] = tokens[other], tokens[at]
        case 4:
            tokens[at] = tokens[other]
        case 5:
            del tokens[at]
        case 6:
            return _joined([*lines[:line], *lines[line + 1 :]])
        case 7:
            return _joined([*lines[:line], lines[line] * int(rng.choice([2, 100])), *lines[line:]])
        case _:
            opening = str(rng.choice(["[", "{", "(", "a {", "a: {", "- ", '{"a":', "<"]))
            tokens[at] += opening * int(rng.choice(_DEEP))
    return _joined(tokens)


def _near(number: float, rng: Rng) -> float:
    """Another number that may still make sense."""
    return number * int(rng.choice([0, 2, 3, 16, 1000])) + int(rng.choice([-1, 0, 0, 1]))


def _joined(parts: list[str]) -> bytes:
    return "".join(parts).encode("utf-8", "surrogateescape")


def _csv(raw: bytes, rng: Rng) -> bytes:
    """Replace a cell, a column's name or a row."""
    if rng.random() < 0.3:
        return _text(raw, rng)
    rows = [line.split(",") for line in raw.decode("utf-8", "surrogateescape").split("\n")]
    row = rows[int(rng.integers(0, len(rows)))]
    at = int(rng.integers(0, len(row)))
    match rng.integers(6):
        case 0 | 1 | 2:
            row[at] = str(rng.choice(_WORDS))
        case 3:
            del row[at]
        case 4:
            row.insert(at, row[at])
        case _:
            row[:] = row * 50
    return "\n".join(",".join(each) for each in rows).encode("utf-8", "surrogateescape")


def _tree(value: Any, rng: Rng) -> Any:
    """A JSON value with one part replaced, removed, renamed, repeated or nested."""
    places: list[tuple[Any, Any]] = []

    def walk(parent: Any) -> None:
        items = parent.items() if isinstance(parent, dict) else enumerate(parent)
        for key, child in list(items):
            places.append((parent, key))
            if isinstance(child, dict | list):
                walk(child)

    if not isinstance(value, dict | list) or not value or rng.random() < 0.02:
        return _VALUES[int(rng.integers(len(_VALUES)))]
    walk(value)
    parent, key = places[int(rng.integers(len(places)))]
    if type(parent[key]) in (int, float) and rng.random() < 0.6:
        parent[key] = _near(parent[key], rng)
        return value
    match rng.integers(9):
        case 0 | 1 | 2 | 3:
            parent[key] = _VALUES[int(rng.integers(len(_VALUES)))]
        case 4:
            del parent[key]
        case 5:
            other, from_key = places[int(rng.integers(len(places)))]
            parent[key] = json.loads(json.dumps(other[from_key], default=str))
        case 6:
            parent[key] = [parent[key]] * int(rng.choice([1, 3, 300]))
        case 7 if isinstance(parent, dict):
            parent[str(rng.choice(_WORDS))] = parent.pop(key)
        case _:
            for _ in range(int(rng.choice([5, 90, 300]))):
                parent[key] = [parent[key]] if rng.random() < 0.5 else {"a": parent[key]}
    return value


def _json(raw: bytes, rng: Rng) -> bytes:
    if rng.random() < 0.25:
        return _text(raw, rng)
    try:
        return json.dumps(_tree(json.loads(raw), rng)).encode()
    except (ValueError, RecursionError):
        return _text(raw, rng)


def _yaml(raw: bytes, rng: Rng) -> bytes:
    if rng.random() < 0.4:
        return _text(raw, rng)
    try:
        return yaml.safe_dump(_tree(yaml.safe_load(raw), rng), sort_keys=False).encode()
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return _text(raw, rng)


def _message(message: Message, rng: Rng) -> None:
    """Change one field of a message or of one inside it."""
    inside: list[Message] = []

    def walk(each: Message) -> None:
        inside.append(each)
        for descriptor, value in each.ListFields():
            if descriptor.type == descriptor.TYPE_MESSAGE:
                for child in value if descriptor.is_repeated else [value]:
                    walk(child)

    walk(message)
    chosen = inside[int(rng.integers(len(inside)))]
    filled = [descriptor for descriptor, _ in chosen.ListFields()]
    fields = filled if filled and rng.random() < 0.8 else list(chosen.DESCRIPTOR.fields)
    descriptor = fields[int(rng.integers(len(fields)))]
    name = descriptor.name
    value = _scalar(descriptor, message, rng)
    if not descriptor.is_repeated:
        if value is None or rng.random() < 0.2:
            chosen.ClearField(name)
        else:
            setattr(chosen, name, value)
        return
    items = getattr(chosen, name)
    at = int(rng.integers(len(items))) if len(items) else 0
    match rng.integers(4):
        case 0 if len(items):
            del items[at]
        case 1 if len(items):
            items.extend([items[at]] * int(rng.choice([1, 30])))
        case _ if value is None:
            items.add()
        case 2:
            items.append(value)
        case _ if len(items):
            items[at] = value


def _scalar(descriptor: Any, message: Message, rng: Rng) -> Any:
    """A value of the field's type; None for messages."""
    if descriptor.type == descriptor.TYPE_MESSAGE:
        return None
    if descriptor.type == descriptor.TYPE_ENUM:
        return int(rng.choice([each.number for each in descriptor.enum_type.values]))
    if descriptor.type == descriptor.TYPE_BYTES:
        return bytes(rng.integers(0, 256, int(rng.choice([0, 1, 4, 100])), np.uint8))
    if descriptor.type == descriptor.TYPE_STRING:
        words = re.findall(r'"([\w/.]{1,30})"', str(message))
        return str(rng.choice([*words, *words, *words, "", "x" * 2000, "\x1b[1m", "Gemm", "LSTM"]))
    if descriptor.cpp_type in (descriptor.CPPTYPE_FLOAT, descriptor.CPPTYPE_DOUBLE):
        return float(rng.choice([0.0, -1.0, np.nan, np.inf, 1e30]))
    number = int(_NUMBERS[int(rng.integers(len(_NUMBERS)))])
    if descriptor.cpp_type in (descriptor.CPPTYPE_INT32, descriptor.CPPTYPE_UINT32):
        number %= 2**31
    if descriptor.cpp_type == descriptor.CPPTYPE_UINT64:
        number = abs(number)
    return number


def _onnx(raw: bytes, rng: Rng) -> bytes:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(raw)
    except Exception:  # what an earlier change has spoilt
        return _bytes(raw, rng)
    _message(model, rng)
    return model.SerializeToString()


_FORMS: Mapping[str, Callable[[bytes, Rng], bytes]] = {
    "onnx": _onnx,
    "bytes": _bytes,
    "text": _text,
    "csv": _csv,
    "json": _json,
    "yaml": _yaml,
}
