"""Sets of models: what a scorecard runs, as YAML; two are shipped, and users write their own."""

from __future__ import annotations

import hashlib
import math
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lydite.errors import InputError, unknown_name
from lydite.files import refuse_special
from lydite.hardware.spec_file import parse_spec

Unit = Literal["inference", "image", "token"]
Precision = Literal["fp32", "tf32", "fp16", "bf16", "int8", "int4"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "tf32", "fp16", "bf16", "int8", "int4")
"""From the widest to the narrowest; fp16 and bf16 are equally wide."""
DTYPES: dict[str, str] = {
    "fp32": "float32",
    "tf32": "float32",
    "fp16": "float16",
    "bf16": "bfloat16",
    "int8": "int8",
    "int4": "int4",
}
"""Data type of the graph of each precision."""
_WIDTH = {"fp32": 5, "tf32": 4, "fp16": 3, "bf16": 3, "int8": 2, "int4": 1}
_PADDING = 32
_MOST_PROMPT_BYTES = 1 << 20


def at_least_as_wide(precision: str, other: str) -> bool:
    """Whether a precision rounds no more than another."""
    return precision == other or _WIDTH[precision] > _WIDTH[other]


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(_Row):
    """A network that an iteration runs.

    Attributes:
        model: Name of the model set, or path of a file.
        calls: Number of runs in an iteration.
        batch: Number of samples in a run, for a batch of one.
        image_size, sequence, phase, context: Options of the model.
        dim: Sizes of a file's symbolic dimensions, as NAME=SIZE.
    """

    model: str
    calls: int = Field(default=1, ge=1)
    batch: int | None = Field(default=None, ge=1)
    image_size: int | None = None
    sequence: int | None = None
    phase: Literal["forward", "prefill", "decode"] | None = None
    context: int | None = None
    dim: tuple[str, ...] = ()


class Entry(_Row):
    """A model of a set.

    Attributes:
        title: What it is.
        unit: What a latency and an energy are of.
        weight: Weight in the device score.
        few: Whether it runs for `few_iterations` only.
        precision: Precision of the baseline.
        new_tokens: Number of tokens that an iteration generates, of a language model.
        parts: Networks that an iteration runs, in order.
    """

    title: str
    unit: Unit = "inference"
    weight: float = Field(default=1.0, gt=0)
    few: bool = False
    precision: Precision = "fp32"
    new_tokens: int = Field(default=0, ge=0)
    parts: tuple[Part, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _counts(self) -> Entry:
        if (self.unit == "token") != (self.new_tokens > 0):
            raise ValueError("new_tokens is given where the unit is a token, and only there")
        return self

    @property
    def units(self) -> int:
        """Number of units that an iteration of batch one makes."""
        return self.new_tokens or 1


class ModelSet(_Row):
    """A set of models.

    Attributes:
        name: Name; results of different sets are never compared.
        title: What it is.
        baseline: Name of its baseline; "" for none.
        minimum_time_s: Minimum seconds to measure each model.
        iterations: Minimum number of iterations of a model.
        few_iterations: The same for models of many calls.
        prompts: File of questions beside the set, one a line; "" for none.
        models: Models by name.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,60}$")
    title: str
    baseline: str = ""
    minimum_time_s: float = Field(default=150.0, gt=0)
    iterations: int = Field(default=100, ge=1)
    few_iterations: int = Field(default=20, ge=1)
    prompts: str = ""
    models: dict[str, Entry] = Field(min_length=1)

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that name what the set computes, texts left out."""
        rows = {name: row.model_dump(exclude={"title"}) for name, row in self.models.items()}
        return hashlib.sha256(repr(sorted(rows.items())).encode()).hexdigest()[:16]

    def chosen(self, names: tuple[str, ...]) -> dict[str, Entry]:
        """The named models, in the order of the set; all where none is named.

        Raises:
            InputError: a name is not in the set.
        """
        wanted = {self.named(name) for name in names}
        return {name: row for name, row in self.models.items() if not wanted or name in wanted}

    def named(self, name: str) -> str:
        """The set's name of a model, by its own name or a model's that it runs.

        Raises:
            InputError: it is not in the set.
        """
        plain = name.lower()
        for key, row in self.models.items():
            if plain == key.lower() or plain in (part.model.lower() for part in row.parts):
                return key
        raise unknown_name("model", name, self.models, of=f"of the set '{self.name}'")


def set_names() -> list[str]:
    """Names of the shipped sets."""
    folder = files("lydite.score") / "sets"
    return sorted(
        item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")
    )


def find_set(name: str) -> ModelSet:
    """A shipped set by name, or a user's by its path.

    Raises:
        InputError: there is none, or the file is invalid (names line and field).
    """
    if name in set_names():
        text = (files("lydite.score") / "sets" / f"{name}.yaml").read_text("utf-8")
        return parse_spec(text, f"{name}.yaml", "a set of models").validated(ModelSet, "a set")
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        raise unknown_name("set", name, set_names(), "or give the path of a .yaml file")
    refuse_special(path)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=name) from None
    made = parse_spec(text, name, "a set of models").validated(ModelSet, "a set")
    if made.name in set_names():
        raise InputError(f"takes the name '{made.name}' of a shipped set", where=name)
    return made


def prompt_tokens(path: Path | None = None) -> int:
    """Number of tokens that the longest question of a file is filled up to, a multiple of 32.

    A question's tokens are estimated as a quarter of its bytes, as English text has in
    vocabularies of 100,000 entries and more; graphs of fixed sizes take as long for any words.

    Args:
        path: File with a question a line; None for our own.

    Raises:
        InputError: the file cannot be read, is larger than 1 MiB, or holds no question.
    """
    where = str(path) if path else "prompts.txt"
    try:
        if path is None:
            data = (files("lydite.score") / "sets" / "prompts.txt").read_bytes()
        else:
            refuse_special(path)
            with path.open("rb") as file:
                data = file.read(_MOST_PROMPT_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=where) from None
    if len(data) > _MOST_PROMPT_BYTES:
        raise InputError("is larger than 1 MiB", where=where)
    longest = max((len(line.strip()) for line in data.splitlines()), default=0)
    if not longest:
        raise InputError("holds no question", where=where, allowed="a question a line")
    return _PADDING * math.ceil(math.ceil(longest / 4) / _PADDING)
