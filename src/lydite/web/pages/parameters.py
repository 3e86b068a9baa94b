"""Parameters of URLs: text, checked before a page uses it."""

from __future__ import annotations

from lydite.errors import InputError


def whole(name: str, text: str, largest: int = 10_000_000) -> int:
    """A number >= 0; "" is 0.

    Raises:
        InputError: the text is none, or larger.
    """
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) < 17) or int(text) > largest:
        raise InputError(f"{name} is '{text[:80]}'", allowed=f"0 to {largest}")
    return int(text)


def needed(name: str, text: str) -> str:
    """A text that must be there.

    Raises:
        InputError: it is empty.
    """
    if not text:
        raise InputError(f"the address lacks '{name}='", hint="start from the list of runs")
    return text


def choice(name: str, text: str, allowed: list[str]) -> str:
    """One of the allowed values, or "".

    Raises:
        InputError: it is another.
    """
    if text and text not in allowed:
        raise InputError(f"{name} is '{text[:80]}'", allowed=", ".join(allowed[:40]) or "none")
    return text
