"""Reader of other simulators' configuration files, which records where each value stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lydite.errors import InputError
from lydite.records import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A `name = value` (or `name: value`) under a `[section]`, or the heading itself.

    Attributes:
        section: Heading under which the line stands.
        name: Name in lower case; "" for a heading.
        spelling: Name as it is written in the file.
        value: Value without surrounding blanks.
        where: File and line.
    """

    section: str
    name: str
    spelling: str
    value: str
    where: str

    def whole(self, least: int = 1) -> int:
        """The value as a whole number of at least `least`; the first of a comma-separated list."""
        return whole_number(self.value.partition(",")[0], self.name, self.where, least)

    def choice(self, allowed: dict[str, str]) -> str:
        """The entry of `allowed` for the value, ignoring case.

        Raises:
            InputError: the value is not allowed.
        """
        if self.value.lower() not in allowed:
            raise InputError(
                f"{self.name} is '{self.value}'", where=self.where, allowed=", ".join(allowed)
            )
        return allowed[self.value.lower()]

    def truth(self) -> bool:
        """The value as a truth value, with the spellings of Python's configparser."""
        words = {
            "1": "1",
            "yes": "1",
            "true": "1",
            "on": "1",
            "0": "",
            "no": "",
            "false": "",
            "off": "",
        }
        return bool(self.choice(words))


def read_lines(path: Path) -> list[str]:
    """The lines of a text file.

    Raises:
        InputError: the file cannot be read, or is not text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror or error}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise InputError("not a text file", where=str(path)) from error
    if "\0" in text:
        raise InputError("not a text file", where=str(path))
    return text.splitlines()


def read_entries(path: Path) -> Iterator[Entry]:
    """Headings and fields of an INI-like file, in order; comments begin with # or ;.

    Raises:
        InputError: the file cannot be read, a line is neither heading, field nor comment, or a
            field occurs twice in its section.
    """
    section, seen = "", set[tuple[str, str]]()
    for number, line in enumerate(read_lines(path), start=1):
        text, where = line.strip(), f"{path}:{number}"
        if not text or text[0] in "#;":
            continue
        if text[0] == "[" and text[-1] == "]":
            section = text[1:-1].strip()
            yield Entry(section, "", section, "", where)
            continue
        cut = min((text.find(mark) for mark in ":=" if mark in text), default=-1)
        if not section or cut < 1:
            raise InputError(
                f"'{text}' is not a field", where=where, allowed="'name: value' under a [section]"
            )
        spelling = text[:cut].strip()
        entry = Entry(section, spelling.lower(), spelling, text[cut + 1 :].strip(), where)
        if (section, entry.name) in seen:
            raise InputError(f"'{spelling}' is given twice", where=where)
        seen.add((section, entry.name))
        yield entry


def whole_number(text: str, what: str, where: str, least: int = 1) -> int:
    """Parse a whole number of at least `least`.

    Raises:
        InputError: the text is something else.
    """
    digits = text.strip()
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 15 or int(digits) < least:
        raise InputError(f"{what} is '{text}'", where=where, allowed=f"a whole number from {least}")
    return int(digits)
