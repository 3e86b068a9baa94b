"""A config of transformers as data: fields by name, checked, and a record of what was read."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from typing import Any, TypeAlias

from lydite.errors import InputError
from lydite.models.blocks import Activation
from lydite.models.huggingface.ignored import IGNORED, IGNORED_ENDINGS

REQUIRED: Any = object()
"""The default of a field that a file must have."""

Bias: TypeAlias = bool | tuple[str, bool]
"""Whether there is a bias: always so, or as a field says, with its default."""

_BASES = ("rope_theta", "rotary_emb_base", "rope_base", "rope_freq_constant")
_LARGEST = 2**31 - 1
_MOST_LAYERS = 10_000
ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "relu2": "relu2",
    "silu": "silu",
    "swish": "silu",
    "xielu": "xielu",
}


def _misspelt(name: str, known: str) -> bool:
    """Whether a name is another one with a slip, and not one with another word in it."""
    words, others = name.split("_"), known.split("_")
    if words[0] in ("num", "n", "moe", "linear"):
        return False
    if len(words) != len(others):
        return True
    return all(
        difflib.SequenceMatcher(None, a, b).ratio() > 0.6
        for a, b in zip(words, others, strict=True)
    )


class Config:
    """The fields of one config, or of one part of it.

    Args:
        data: Fields by name.
        where: File, and part of it, for messages.
        defaults: What transformers takes where a field is absent; a field that is null has none.

    Attributes:
        taken: Fields that were absent, with the value that was taken from `defaults`.
        said: What a row has to say of what it read, in sentences.
    """

    def __init__(
        self, data: Mapping[str, Any], where: str, defaults: Mapping[str, Any] | None = None
    ) -> None:
        self.data = data
        self.where = where
        self.defaults = defaults or {}
        self.taken: dict[str, Any] = {}
        self.said: list[str] = []
        self._read: set[str] = set()

    @property
    def type(self) -> str:
        """The `model_type`."""
        return str(self.data.get("model_type"))

    def raw(self, *names: str, default: Any = None) -> Any:
        """The first field that is there and not null, unchecked; else the usual value of one."""
        self._read |= set(names)
        given = next((v for n in names if (v := self.data.get(n)) is not None), None)
        if given is None and not any(n in self.data for n in names):
            name = next((n for n in names if self.defaults.get(n) is not None), "")
            given = self.defaults.get(name)
            self.taken |= {name: given} if name else {}
        return default if given is None else given

    def name_of(self, *names: str) -> str:
        """The first of these fields that is there."""
        return next((n for n in names if self.data.get(n) is not None), names[0])

    def refuse(self, name: str, allowed: str) -> InputError:
        """The error of a field with an impossible value."""
        shown = json.dumps(self.data.get(name))[:60]
        return InputError(f"{name} {shown} is impossible", where=self.where, allowed=allowed)

    def size(self, *names: str, default: Any = REQUIRED, low: int = 1) -> Any:
        """A whole number, such as a width; the default where no field says it."""
        value = self.raw(*names)
        if value is None:
            return self._default(names, default)
        high = _MOST_LAYERS if names[0].endswith(("layers", "experts")) else _LARGEST
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.refuse(self.name_of(*names), f"a whole number from {low} to {high}")
        return value

    def number(self, *names: str, default: Any = REQUIRED) -> Any:
        """A positive number."""
        value = self.raw(*names)
        if value is None:
            return self._default(names, default)
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        if not numeric or not 0 < value < math.inf:
            raise self.refuse(self.name_of(*names), "a number above 0")
        return float(value)

    def flag(self, *names: str, default: bool) -> bool:
        """True or false."""
        value = self.raw(*names, default=default)
        if not isinstance(value, bool):
            raise self.refuse(self.name_of(*names), "true or false")
        return value

    def bias(self, given: Bias) -> bool:
        """A bias that is always so, or as its field says."""
        return given if isinstance(given, bool) else self.flag(given[0], default=given[1])

    def activation(self, *names: str, default: str) -> Activation:
        """A function between two products."""
        value = self.raw(*names, default=default)
        if not isinstance(value, str) or value not in ACTIVATIONS:
            raise self.refuse(self.name_of(*names), ", ".join(ACTIVATIONS))
        return ACTIVATIONS[value]

    def only(self, name: str, *values: Any) -> None:
        """A field of which only these values can be built."""
        value = self.raw(name)
        if value is not None and not any(
            type(value) is type(known) and value == known for known in values
        ):
            allowed = " or ".join(map(json.dumps, values))
            raise self.refuse(name, f"{allowed}; nothing else is built")

    def texts(self, name: str, count: int | None = None) -> list[str] | None:
        """A list of words, such as the type of each layer."""
        value = self.raw(name)
        if value is None:
            return None
        right = isinstance(value, list) and all(isinstance(item, str) for item in value)
        if not right or (count is not None and len(value) < count):
            raise self.refuse(name, f"a list of {count or 'several'} words")
        return list(value[:count])

    def numbers(self, name: str) -> list[int] | None:
        """A list of whole numbers, such as the layers of a kind."""
        value = self.raw(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(type(item) is int for item in value):
            raise self.refuse(name, "a list of whole numbers")
        return value

    def of_layer(self, name: str, layer: int, count: int) -> Config:
        """The config where a field has one value for each layer: with that of this layer."""
        value = self.raw(name)
        if not isinstance(value, list):
            return self
        if len(value) < count:
            raise self.refuse(name, f"one value, or one for each of the {count} layers")
        return self.changed({name: value[layer]})

    def own_of_layer(self, index: int) -> Config:
        """The config with the fields that `per_layer_config` has for a layer in their place."""
        listed = self.raw("per_layer_config", default={})
        if not isinstance(listed, dict):
            raise self.refuse("per_layer_config", "an object")
        own = listed.get(str(index), listed.get(f"{index:02d}"))
        return self.changed(own) if isinstance(own, dict) else self

    def changed(self, fields: Mapping[str, Any]) -> Config:
        """The config with some fields in place of its own; what is read there counts as read."""
        made = Config({**self.data, **fields}, self.where, self.defaults)
        made._read, made.taken, made.said = self._read, self.taken, self.said
        return made

    def renamed(self, names: Mapping[str, str]) -> Config:
        """The config with some of its fields called as another type calls them."""
        self.skip(*names)
        return self.changed({new: self.data[old] for old, new in names.items() if old in self.data})

    def inner(self, *names: str) -> Config | None:
        """A config inside this one."""
        value = self.raw(*names)
        if value is None:
            return None
        name = self.name_of(*names)
        if not isinstance(value, dict):
            raise self.refuse(name, "an object")
        return Config(value, f"{self.where}: {name}")

    def rotary(
        self, *, theta: float, partial: float = 1.0, layer_type: str = ""
    ) -> tuple[float, float]:
        """Base of the rotary positions, and the share of a head that they turn.

        Scaled positions turn by other angles, which is no other work.
        """
        rules = self.raw("rope_parameters", "rope_scaling", default={})
        if not isinstance(rules, dict):
            raise self.refuse(self.name_of("rope_parameters", "rope_scaling"), "null or an object")
        if isinstance(rules.get(layer_type), dict):
            rules = rules[layer_type]
        given = {**self.data, **{k: v for k, v in rules.items() if v is not None}}
        source = Config(given, self.where)
        base = source.number(
            "rope_theta", "rotary_emb_base", "rope_base", "rope_freq_constant", default=theta
        )
        share = source.number(
            "partial_rotary_factor", "rotary_pct", "rope_pct", "rotary_percent", default=partial
        )
        self._read |= source._read | {"rope_scaling", "rope_parameters"}
        if share > 1:
            raise self.refuse("partial_rotary_factor", "a number up to 1")
        return base, share

    def say(self, sentence: str) -> None:
        """Something to be said of the model, once."""
        if sentence not in self.said:
            self.said.append(sentence)

    def skip(self, *names: str) -> None:
        """Fields that this type reads over: they do not change the graph."""
        self._read |= set(names)

    def unread(self) -> list[str]:
        """Fields that nobody understood, though they might matter."""
        return sorted(
            name
            for name in self.data
            if name not in self._read
            and self.data[name]  # off, zero and empty change nothing
            and name not in IGNORED
            and not name.startswith("_")
            and not name.endswith(IGNORED_ENDINGS)
        )

    def check_names(self) -> None:
        """Refuse a field that looks like a misspelt one.

        Raises:
            InputError: an unknown field resembles a known one that the file leaves out.
        """
        absent = sorted(self._read - set(self.data))
        for name in self.unread():
            near = difflib.get_close_matches(name, absent, 1, 0.9)
            if near and _misspelt(name, near[0]):
                raise InputError(
                    f"unknown field '{name}'", where=self.where, hint=f"did you mean '{near[0]}'?"
                )

    def _default(self, names: tuple[str, ...], default: Any) -> Any:
        if default is REQUIRED:
            raise InputError(f"the field {names[0]} of {self.type} is missing", where=self.where)
        return default
