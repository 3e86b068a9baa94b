"""Options of the verbs: each group is one frozen dataclass, for the command line and for Python.

A field's help text, unit, limits and default are stated once, here; `lydite.cli.options` derives
the command line's options from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from lydite.errors import InputError, unknown_name
from lydite.records import dataclass


@dataclass(frozen=True)
class Help:
    """Command-line help of an option.

    Attributes:
        text: What the option does, its unit and its default.
        min, max: Limits of a number.
        flag: Spelling, if it is not the field's name; "--a/--no-a" for a pair.
        aliases: Other spellings.
        unit: Unit of a number, such as "ms"; the command line then takes others too, "2 s". Empty
            for a count or a share.
    """

    text: str
    min: float | None = None
    max: float | None = None
    flag: str = ""
    aliases: tuple[str, ...] = ()
    unit: str = ""


@dataclass(frozen=True)
class Options:
    """Base class of groups of options."""


T = TypeVar("T", bound=Options)


def chosen(options_type: type[T], options: T | None, given: Mapping[str, object]) -> T:
    """A group of options, overridden by keyword arguments.

    Raises:
        InputError: an option is unknown (the error suggests the nearest one) or out of its limits.
    """
    names = [field.name for field in fields(options_type)]
    for name in given:
        if name not in names:
            raise unknown_name("option", name, names)
    known: dict[str, Any] = dict(given)
    made = replace(options if options is not None else options_type(), **known)
    check_limits(made)
    return made


def grouped_options(
    given: Mapping[str, object], *groups: tuple[type[Options], Options | None]
) -> list[Any]:
    """Sort keyword arguments into groups of options; the last group takes what no other has.

    Raises:
        InputError: no group has the name (the error suggests the nearest one).
    """
    left, made = dict(given), []
    for options_type, group in groups[:-1]:
        names = [f.name for f in fields(options_type)]
        mine = {name: left.pop(name) for name in names if name in left}
        made.append(chosen(options_type, group, mine))
    last, group = groups[-1]
    return [*made, chosen(last, group, left)]


def check_limits(options: Options) -> None:
    """Refuse numbers that are out of their fields' limits.

    Raises:
        InputError: a number is below its minimum or above its maximum.
    """
    for name, note in help_of(type(options)).items():
        value = getattr(options, name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        check_number(value, name, note.min, note.max)


def check_number(
    value: float, name: str, low: float | None, high: float | None, unit: str = ""
) -> None:
    """Refuse a number that is out of its limits.

    Raises:
        InputError: it is below the minimum or above the maximum.
    """
    if (low is not None and value < low) or (high is not None and value > high):
        told = f" {unit}" if unit else ""
        limits = f"{low:g}{told} and more" if high is None else f"{low:g} to {high:g}{told}"
        raise InputError(f"{name} is {value:g}{told}", allowed=limits)


def help_of(options_type: type[Options]) -> dict[str, Help]:
    """Help of each field, by name."""
    from typing import get_type_hints

    hints = get_type_hints(options_type, include_extras=True)
    return {f.name: hints[f.name].__metadata__[0] for f in fields(options_type)}


@dataclass(frozen=True)
class ModelOptions(Options):
    """Options that say how a model is built or read, and what is made of it.

    Attributes:
        batch: Number of samples in a batch; None for 1, or the file's.
        image_size: Height and width of images in pixels.
        sequence: Number of tokens per sample; in the phase "decode", of new tokens.
        phase: Phase of a language model: "forward", "prefill" or "decode".
        context: Number of tokens already in the KV cache.
        dtype: float32, float16, bfloat16, float64, autocast-float16, autocast-bfloat16, int8, or
            int4 for the weights of dense layers. None for the usual one: for language models
            bfloat16 if the device supports it, else float16, else float32; for other models
            float32; for files the file's.
        dim: Sizes of a file's symbolic dimensions, as "NAME=SIZE" or by name.
        value: Numbers of inputs that hold a single one, as "NAME=NUMBER" or by name.
        part: Part of a Hugging Face model of several: "text", "vision" or "audio".
        params: File with the weights of a SMAUG topology.
        train: Whether to build a training step: forward, loss, backward, update.
        optimizer: Optimizer of the training step: sgd, momentum, adagrad, adam, adamw, ...
        loss: Loss of the training step: cross_entropy, mean_square or sum.
        recompute: Number of segments whose activations are recomputed in the backward pass.
    """

    batch: Annotated[int | None, Help("Number of samples in a batch; default: 1.", min=1)] = None
    image_size: Annotated[
        int | None, Help("Height and width of images in pixels; default: the model's.", min=1)
    ] = None
    sequence: Annotated[
        int | None,
        Help("Number of tokens per sample (in decode: new ones); default: the model's.", min=1),
    ] = None
    phase: Annotated[str | None, Help("Phase of a language model: forward, prefill or decode.")] = (
        None
    )
    context: Annotated[
        int | None, Help("Number of tokens already in the KV cache; default: the model's.", min=0)
    ] = None
    dtype: Annotated[
        str | None,
        Help(
            "Data type: float32, float16, bfloat16, float64, autocast-float16, "
            "autocast-bfloat16, int8 or int4 (weights only); default: for language models "
            "bfloat16 if the device has it, else float16; else float32.",
            aliases=("--precision",),
        ),
    ] = None
    dim: Annotated[
        tuple[str, ...],
        Help("Size of a symbolic dimension in the file, as NAME=SIZE (repeatable)."),
    ] = ()
    value: Annotated[
        tuple[str, ...],
        Help("Value of an input that holds one number, as NAME=NUMBER (repeatable)."),
    ] = ()
    part: Annotated[
        str | None,
        Help("Part of a Hugging Face model that has several: text, vision or audio."),
    ] = None
    params: Annotated[Path | None, Help("File with the weights of a SMAUG topology.")] = None
    train: Annotated[bool, Help("Build a training step: forward, loss, backward, update.")] = False
    optimizer: Annotated[
        str | None, Help("Optimizer of a training step: sgd, momentum, adagrad, adam, adamw, ...")
    ] = None
    loss: Annotated[
        str | None, Help("Loss of a training step: cross_entropy, mean_square or sum.")
    ] = None
    recompute: Annotated[
        int | None,
        Help("Number of segments that a training step recomputes; default: none.", min=2),
    ] = None

    def __post_init__(self) -> None:
        for option in ("dim", "value"):
            given = getattr(self, option)
            if isinstance(given, Mapping):
                given = tuple(f"{name}={number}" for name, number in given.items())
            given = (given,) if isinstance(given, str) else tuple(given)
            object.__setattr__(self, option, given)
