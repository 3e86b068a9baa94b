"""Parser of protobuf's text format without a schema: a tree in which every value has its line."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, ClassVar

from lydite.errors import InputError
from lydite.records import dataclass

MAX_DEPTH = 100
"""Deepest nesting of messages that is accepted, as files are untrusted."""

_TOKEN = re.compile(
    r"(?:\s+|\#[^\n]*)*(?:"
    r"(?P<string>\"[^\"\\\n]*(?:\\.[^\"\\\n]*)*\"|'[^'\\\n]*(?:\\.[^'\\\n]*)*')"
    r"|(?P<number>-?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?[fF]?)(?![\w.]))"
    r"|(?P<name>-?[A-Za-z_]\w*)"
    r"|(?P<mark>[{}<>\[\]:;,])"
    r"|(?P<end>\Z)|(?P<other>.))",
    re.S,
)
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|[xX][0-9a-fA-F]{1,2}|.)", re.S)
_PLAIN = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}
_CLOSING = {"{": "}", "<": ">", "[": "]"}


@dataclass(slots=True)
class Value:
    """A scalar (number, `Name` or the bytes of a string) or a message, with its line number."""

    value: int | float | Name | bytes | TextMessage
    line: int


class Name(str):
    """A bare word: an enumeration value, `true` or `false`."""


@dataclass(slots=True)
class TextMessage:
    """The fields of one message, each with all its values in order.

    Attributes:
        where: Name of the file, for errors.
        line: Line on which the message begins, from 1.
        fields: Values by field name.
    """

    where: str
    line: int
    fields: dict[str, list[Value]] = field(default_factory=dict)
    unit: ClassVar[str] = "line"
    """What `line` counts, for errors."""

    def error(self, what: str, line: int | None = None, allowed: str = "") -> InputError:
        """An error that gives the file and the line."""
        place = f"{self.where}, {self.unit} {self.line if line is None else line}"
        return InputError(what, where=place, allowed=allowed)

    def all(self, name: str) -> list[Value]:
        """All values of a field."""
        return self.fields.get(name, [])

    def messages(self, name: str) -> list[TextMessage]:
        """Values of a repeated message field.

        Raises:
            InputError: a value is a scalar.
        """
        return [self._as(v, name, TextMessage, "a message { ... }") for v in self.all(name)]

    def message(self, name: str) -> TextMessage | None:
        """Value of a message field, the last one if there are several; None if there is none."""
        messages = self.messages(name)
        return messages[-1] if messages else None

    def texts(self, name: str) -> list[str]:
        """Values of a repeated string field.

        Raises:
            InputError: a value is not a string, not UTF-8, or not printable.
        """
        texts = []
        for value in self.all(name):
            raw = self._as(value, name, bytes, "a string in quotes")
            try:
                text = raw.decode()
            except UnicodeDecodeError:
                raise self.error(f"'{name}' is not UTF-8 text", value.line) from None
            if not text.isprintable():
                raise self.error(f"'{name}' is not printable text", value.line)
            texts.append(text)
        return texts

    def text(self, name: str, default: str = "") -> str:
        """Value of a string field, the last one if there are several."""
        texts = self.texts(name)
        return texts[-1] if texts else default

    def ints(self, name: str) -> list[int]:
        """Values of a repeated integer field.

        Raises:
            InputError: a value is not an integer, or does not fit 64 bits.
        """
        entries = [(self._as(v, name, int, "an integer"), v.line) for v in self.all(name)]
        for number, line in entries:
            if not -(1 << 63) <= number < 1 << 64:
                raise self.error(f"'{name}: {number}' does not fit 64 bits", line)
        return [number for number, _ in entries]

    def numbers(self, name: str) -> list[float]:
        """Values of a repeated floating-point field."""
        named = {"inf": float("inf"), "-inf": float("-inf"), "nan": float("nan")}
        numbers: list[float] = []
        for value in self.all(name):
            if isinstance(value.value, Name) and value.value.lower() in named:
                numbers.append(named[value.value.lower()])
            else:
                numbers.append(float(self._as(value, name, (int, float), "a number")))
        return numbers

    def name(self, field_name: str, allowed: Iterable[str] = ()) -> str:
        """Value of an enumeration field; "" if it is absent.

        Raises:
            InputError: the value is not a bare word, or not one of those allowed.
        """
        values = self.all(field_name)
        if not values:
            return ""
        word = str(self._as(values[-1], field_name, Name, "a name without quotes"))
        known = list(allowed)
        if known and word not in known:
            raise self.error(f"unknown {field_name} '{word}'", values[-1].line, ", ".join(known))
        return word

    def _as(self, value: Value, name: str, wanted: Any, expected: str) -> Any:
        if not isinstance(value.value, wanted) or isinstance(value.value, bool):
            raise self.error(f"'{name}' has a value of the wrong type", value.line, expected)
        return value.value


def read_pbtxt(path: Path | str) -> TextMessage:
    """Parse a file.

    Raises:
        InputError: there is no such file, it is not text, or it is malformed; the error gives the
            line and what was expected.
    """
    return parse_pbtxt(read_text(path), str(path))


def read_text(path: Path | str) -> str:
    """Content of a text file.

    Raises:
        InputError: there is no such file, it is a folder, unreadable, or not UTF-8.
    """
    try:
        return Path(path).read_bytes().decode()
    except FileNotFoundError:
        raise InputError("no such file", where=str(path)) from None
    except IsADirectoryError:
        raise InputError("is a folder, not a file", where=str(path)) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise InputError(f"is not text: byte {error.start} is not UTF-8", where=str(path)) from None


def first_field(path: Path | str, names: Sequence[str]) -> str:
    """Name of the field in `names` that comes first in a file, "" for none; nothing is parsed.

    Raises:
        InputError: as for `read_text`.
    """
    fields = "|".join(map(re.escape, names))
    match = re.search(rf"(?:^|[\s}}>;,])({fields})\s*[:{{<]", read_text(path))
    return match[1] if match else ""


def parse_pbtxt(text: str, where: str = "text") -> TextMessage:
    """Parse text; see `read_pbtxt`."""
    return _Parser(text, where).run()


class _Parser:
    """A loop over tokens with an explicit stack, so that deep nesting needs no recursion."""

    def __init__(self, text: str, where: str) -> None:
        self.text, self.where = text, where
        self.breaks = [match.start() for match in re.finditer("\n", text)]
        self.tokens = self._tokens()
        self.root = TextMessage(where, 1)

    def _tokens(self) -> Iterator[tuple[str, str, int]]:
        position = 0
        while True:
            match = _TOKEN.match(self.text, position)
            assert match is not None and match.lastgroup is not None
            position = match.end()
            yield match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)
            if match.lastgroup == "end":
                return

    def run(self) -> TextMessage:
        stack: list[tuple[str, TextMessage, str, int]] = [("", self.root, "", 0)]
        token = next(self.tokens)
        while True:
            opener, message, name, opened = stack[-1]
            token_type, text, at = token
            if opener and text == _CLOSING[opener] and token_type == "mark":
                stack.pop()
                token = self._after(next(self.tokens))
            elif token_type == "end":
                if opener:
                    line = self._line(opened)
                    raise self._error(token, f"'{_CLOSING[opener]}' for '{opener}' of line {line}")
                return self.root
            elif opener == "[":
                token = self._value(token, message, name, stack)
            elif token_type != "name" or text.startswith("-"):
                close = f" or '{_CLOSING[opener]}'" if opener else ""
                raise self._error(token, f"a field's name{close}")
            else:
                token = self._field(text, message, stack)
            if len(stack) > MAX_DEPTH:
                raise message.error(f"messages nest more than {MAX_DEPTH} deep", self._line(at))

    def _field(self, name: str, message: TextMessage, stack: list) -> tuple[str, str, int]:
        token = next(self.tokens)
        colon = token[1] == ":" and token[0] == "mark"
        if colon:
            token = next(self.tokens)
        if token[0] == "mark" and token[1] == "[" and colon:
            message.fields.setdefault(name, [])
            stack.append(("[", message, name, token[2]))
            return next(self.tokens)
        if not colon and not (token[0] == "mark" and token[1] in "{<"):
            raise self._error(token, f"':' or '{{' after '{name}'")
        return self._value(token, message, name, stack)

    def _value(
        self, token: tuple[str, str, int], message: TextMessage, name: str, stack: list
    ) -> tuple[str, str, int]:
        token_type, text, at = token
        line, values = self._line(at), message.fields.setdefault(name, [])
        if token_type == "mark" and text in "{<":
            inner = TextMessage(self.where, line)
            values.append(Value(inner, line))
            stack.append((text, inner, "", at))
            return next(self.tokens)
        if token_type == "string":
            joined = b""
            while token[0] == "string":
                joined += _unescaped(token[1][1:-1])
                token = next(self.tokens)
            values.append(Value(joined, line))
            return self._after(token)
        if token_type == "number":
            values.append(Value(self._number(token), line))
        elif token_type == "name":
            values.append(Value(Name(text), line))
        else:
            raise self._error(token, f"a value for '{name}'")
        return self._after(next(self.tokens))

    def _after(self, token: tuple[str, str, int]) -> tuple[str, str, int]:
        """Skip the separator that may follow a value."""
        return next(self.tokens) if token[0] == "mark" and token[1] in ";," else token

    def _number(self, token: tuple[str, str, int]) -> int | float:
        text = token[1]
        try:
            if "x" in text.lower():
                return int(text, 16)
            return int(text) if text.lstrip("-").isdigit() else float(text.rstrip("fF"))
        except ValueError:  # more digits than Python converts
            raise self._error(token, "a number of reasonable length") from None

    def _line(self, at: int) -> int:
        return bisect_right(self.breaks, at - 1) + 1

    def _error(self, token: tuple[str, str, int], expected: str) -> InputError:
        token_type, text, at = token
        seen = "the file ends" if token_type == "end" else f"found {text[:40]!r}"
        if token_type == "other" and text in "\"'":
            seen = "found an unterminated string"
        return InputError(
            f"{seen} where {expected} was expected", where=f"{self.where}, line {self._line(at)}"
        )


def _unescaped(text: str) -> bytes:
    raw = text.encode()
    return _ESCAPE.sub(_character, raw) if b"\\" in raw else raw


def _character(match: re.Match[bytes]) -> bytes:
    code = match[1]
    if code[:1] in b"01234567":
        return bytes([int(code, 8) & 255])
    if code[:1] in b"xX" and len(code) > 1:
        return bytes([int(code[1:], 16)])
    return _PLAIN.get(code, code)


Fields = Sequence[tuple[str, Any]]
"""A message to write: field names with a str (quoted), `Name`, int, float, or nested fields."""


def format_pbtxt(fields: Fields, indent: int = 0) -> str:
    """Text of a message, formatted as protobuf prints it."""
    pad, lines = "  " * indent, []
    for name, value in fields:
        if isinstance(value, list | tuple):
            inner = format_pbtxt(value, indent + 1)
            lines.append(f"{pad}{name} {{\n{inner}{pad}}}\n")
        else:
            lines.append(f"{pad}{name}: {_scalar(value)}\n")
    return "".join(lines)


def _scalar(value: Any) -> str:
    if isinstance(value, Name):
        return str(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    return repr(value)
