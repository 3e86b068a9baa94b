"""Reading of results that `lydite score` wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lydite.errors import InputError
from lydite.files import refuse_special

SCHEMA = "lydite/score/1"
_MOST_BYTES = 256 << 20
_KEYS = ("set", "environment", "rows", "figures", "scores", "digests", "status", "kind")


def read_result(path: Path) -> dict[str, Any]:
    """A saved result.

    Raises:
        InputError: the file is missing, too large, no JSON, or holds something else.
    """
    where = str(path)
    refuse_special(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError("is larger than 256 MiB", where=where)
        document = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=where) from None
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise InputError(f"is no JSON: {error}", where=where) from None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise InputError(
            "is no result of `lydite score`", where=where, allowed=f'"schema": "{SCHEMA}"'
        )
    absent = [key for key in _KEYS if key not in document]
    if absent:
        raise InputError(f"lacks {', '.join(absent)}", where=where)
    return document
