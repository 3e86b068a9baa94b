"""The exception tree, and the one shape that every message takes::

    LyditeError
    ├── InputError          a file, a model, an option or a name that the user gave
    │   ├── UnitError       a quantity in the wrong unit or range
    │   └── GraphError      a graph that contradicts itself
    ├── StoreError          the performance database
    └── BackendError        a backend that cannot run what it was asked to
        └── MissingExtra    a backend or a format whose package is not installed

Every one of them ends a command with a single message and exit code 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping


def shortened(text: str, most: int) -> str:
    """A text of at most so many characters, its middle left out if it is longer."""
    if len(text) <= most:
        return text
    side = (most - 5) // 2
    return f"{text[:side]} ... {text[-side:]}"


class LyditeError(Exception):
    """What went wrong, where, what was allowed, and what to type next.

    Args:
        what: the fault, with the offending value.
        where: file, operator or option in which it stands.
        allowed: what would have been accepted.
        hint: what to do next, best a command.
    """

    def __init__(self, what: str, *, where: str = "", allowed: str = "", hint: str = "") -> None:
        self.what, self.where = shortened(what, 600), shortened(where, 600)
        self.allowed, self.hint = shortened(allowed, 4000), shortened(hint, 600)
        super().__init__(str(self))

    def document(self) -> dict[str, str]:
        """The parts of the message that are there, for programs."""
        parts = {"what": self.what, "where": self.where, "allowed": self.allowed, "hint": self.hint}
        return {name: text for name, text in parts.items() if text}

    def __reduce__(self) -> tuple[object, ...]:
        return _again, (type(self), self.document())

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.allowed:
            text += f"; allowed: {self.allowed}"
        if self.hint:
            text += f"; {self.hint}"
        return text


def _again(error_type: type[LyditeError], parts: Mapping[str, str]) -> LyditeError:
    """The error that another process raised."""
    error = error_type.__new__(error_type)
    LyditeError.__init__(error, **parts)
    return error


class InputError(LyditeError):
    """A file, a model, an option or a name that the user gave."""


class UnitError(InputError):
    """A quantity in the wrong unit or out of its range."""


class GraphError(InputError):
    """A graph that contradicts itself."""


class StoreError(LyditeError):
    """The performance database."""


class BackendError(LyditeError):
    """A backend that cannot run what it was asked to."""


class MissingExtra(BackendError):
    """A backend or a format whose package is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"the package '{package}' is not installed",
            hint=f"type: pip install 'lydite[{extra}]'",
        )


def placed(error: InputError, where: str) -> InputError:
    """The same error, with the place where the fault stands."""
    return type(error)(error.what, where=where, allowed=error.allowed, hint=error.hint)


def unknown_name(
    kind: str, name: str, known: Iterable[str], hint: str = "", *, of: str = ""
) -> InputError:
    """An error for a name that is not among the known ones, with the nearest match.

    Args:
        kind: What it should be the name of, such as "model".
        name: The name.
        known: Names that there are.
        hint: What to do next.
        of: Where the known ones are, with its preposition: "of the set 'full'".
    """
    names = sorted(known)
    spelled = {known_name.lower(): known_name for known_name in names}
    near = difflib.get_close_matches(name[:80].lower(), spelled, n=1, cutoff=0.5)
    allowed = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    suggestion = f"did you mean '{spelled[near[0]]}'?" if near else ""
    return InputError(
        f"unknown {kind} '{shortened(name, 80)}'" + (f" {of}" if of else ""),
        allowed=allowed or "none",
        hint="; ".join(part for part in (suggestion, hint) if part),
    )
