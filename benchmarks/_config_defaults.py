"""Writes `defaults.json` of `lydite.models.huggingface`: transformers' defaults of each type.

Only language models, only fields that the reader asks for and only plain values: what a class
derives from other fields is null there, and the reader derives it alike.

python benchmarks/_config_defaults.py
"""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

from lydite.files import write_atomic
from lydite.models.huggingface import TYPES
from lydite.models.huggingface import config as reader

_PATH = Path(reader.__file__).with_name("defaults.json")
_NOT_SIZES = {"architectures", "dtype", "is_encoder_decoder", "problem_type", "use_cache"}


def known_fields() -> set[str]:
    """All names that the reader looks for, as words of its files."""
    folder = _PATH.parent
    text = "".join(path.read_text() for path in folder.glob("*.py"))
    return set(re.findall(r'"(\w+)"', text)) - _NOT_SIZES


def defaults(model_type: str, known: set[str]) -> dict[str, Any]:
    """Plain, known values of a type's class; empty where transformers has no such type."""
    from transformers import CONFIG_MAPPING

    if model_type not in CONFIG_MAPPING:
        return {}
    fields = dataclasses.fields(CONFIG_MAPPING[model_type])  # pyright: ignore[reportArgumentType]
    plain = (bool, int, float, str)
    return {f.name: f.default for f in fields if f.name in known and isinstance(f.default, plain)}


def main() -> None:
    known = known_fields()
    models = sorted(name for name, row in TYPES.items() if "phase" in row.options)
    rows = {name: found for name in models if (found := defaults(name, known))}
    lines = (f"{json.dumps(name)}: {json.dumps(row, sort_keys=True)}" for name, row in rows.items())
    write_atomic(_PATH, "{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{len(rows)} types, {sum(map(len, rows.values()))} fields; written to {_PATH}")


if __name__ == "__main__":
    main()
