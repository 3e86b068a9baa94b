"""Files of at most some bytes: text, and JSON objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lydite.errors import InputError
from lydite.files import refuse_special

MOST_BYTES = 1 << 16
"""Maximum bytes of a hand-written file."""


def read_json_spec(path: Path | str, what: str, *, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: as for `read_capped`; or it is no JSON object, or one with a key twice.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"'{twice}' is given twice", where=str(path))
        return dict(pairs)

    text = read_capped(path, what, most_bytes)
    try:
        document = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON: {str(error)[:200]}", where=str(path)) from error
    if not isinstance(document, dict):
        raise InputError(f"not {what}", where=str(path), allowed="an object of fields")
    return document


def read_capped(path: Path | str, what: str, most_bytes: int) -> str:
    """The text of a file of at most `most_bytes` bytes.

    Raises:
        InputError: the file cannot be read, is not a regular one, is not UTF-8, or is too large.
    """
    refuse_special(Path(path))
    try:
        with Path(path).open("rb") as file:
            content = file.read(most_bytes + 1)
            size = Path(path).stat().st_size
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot be read: {reason}", where=str(path)) from error
    if len(content) > most_bytes:
        raise InputError(
            f"{max(size, len(content))} bytes are too large for {what}",
            where=str(path),
            allowed=f"{most_bytes} bytes at most",
        )
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InputError("cannot be read: not a text file", where=str(path)) from error
