"""One line for what pydantic found in a file of a device, a cluster or a chip."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import BaseModel, ValidationError

from lydite.errors import InputError, placed, unknown_name


def fault(
    error: ValidationError,
    where: str,
    what: str,
    root: type[BaseModel],
    sections: Mapping[str, type[BaseModel]] | None = None,
) -> InputError:
    """The first fault, an unknown field before others, for it is often why another is missing.

    Args:
        error: of the whole file.
        where: the file.
        what: it describes, such as "a chip".
        root: its fields.
        sections: fields of its parts, by the last name on the way to them.
    """
    found = error.errors(include_url=False)
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    *path, last = (str(part) for part in first["loc"])
    spec = next((known for part in reversed(path) if (known := (sections or {}).get(part))), root)
    if first["type"] == "extra_forbidden":
        return placed(
            unknown_name(f"field of {'.'.join(path) or what}", last, spec.model_fields), where
        )
    context = first.get("ctx", {})
    choices = re.findall("'([^']+)'", str(context.get("expected", context.get("expected_tags"))))
    value = context.get("tag", first["input"])
    name = ".".join([*path, last])
    if choices and isinstance(value, str):
        return placed(unknown_name(name, value, choices), where)
    if first["type"] == "string_type" and isinstance(value, int | float):
        return InputError(
            f"field '{name}': {value} has no unit",
            where=where,
            allowed="text, with its unit where it is a quantity",
        )
    allowed = ", ".join(spec.model_fields) if first["type"] == "missing" else ""
    return InputError(f"field '{name}': {first['msg'].lower()}", where=where, allowed=allowed)
