"""The head that a config's `architectures` names."""

from __future__ import annotations

import re

from lydite.models.huggingface.config import Config


def head_of(c: Config) -> str:
    """The head in a class name such as LlamaForCausalLM; "" where there is no such name."""
    listed = c.raw("architectures")
    name = listed[0] if isinstance(listed, list) and listed else ""
    if not isinstance(name, str):
        return ""
    for part in ("For(?=[A-Z])", "LMHead", "TextModel", "Model"):
        found = re.search(part, name[1:])
        if found is not None:
            return name[1 + found.start() :]
    return ""


def classes(c: Config) -> int:
    """Number of classes: of the labels, or as transformers has it."""
    labels = c.raw("id2label")
    if isinstance(labels, dict) and labels:
        return len(labels)
    return c.size("num_labels", default=2)
