"""Options of the verbs: each group is one frozen dataclass, for the command line and for Python.

A field's help text, unit, limits and default are written here, once; `lydite.cli.options` makes
options of the command line from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from lydite.errors import InputError, unknown_name


@dataclass(frozen=True)
class Help:
    """What the command line says of an option.

    Attributes:
        text: what it does, its unit and its default.
        min, max: limits of a number.
        flag: its spelling, where that is not the field's name; "--a/--no-a" for both ways.
        aliases: other spellings.
    """

    text: str
    min: float | None = None
    max: float | None = None
    flag: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Options:
    """Base of groups of options."""


T = TypeVar("T", bound=Options)


def chosen(kind: type[T], options: T | None, given: Mapping[str, object]) -> T:
    """A group of options with what was given by name.

    Raises:
        InputError: no such option (with the nearest), or one out of its limits.
    """
    names = [field.name for field in fields(kind)]
    for name in given:
        if name not in names:
            raise unknown_name("option", name, names)
    known: dict[str, Any] = dict(given)
    made = replace(options if options is not None else kind(), **known)
    check_limits(made)
    return made


def check_limits(options: Options) -> None:
    """Refuse numbers out of the limits that the fields state.

    Raises:
        InputError: a number below its least or above its most.
    """
    for name, note in help_of(type(options)).items():
        value = getattr(options, name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        low, high = note.min, note.max
        if (low is not None and value < low) or (high is not None and value > high):
            allowed = f"{low:g} to {high:g}" if high is not None else f"{low:g} and more"
            raise InputError(f"{name} is {value}", allowed=allowed)


def help_of(kind: type[Options]) -> dict[str, Help]:
    """Each field's help, by name."""
    from typing import get_type_hints

    hints = get_type_hints(kind, include_extras=True)
    return {f.name: hints[f.name].__metadata__[0] for f in fields(kind)}


@dataclass(frozen=True)
class ModelOptions(Options):
    """How a model is built or read, and what is made of it.

    Attributes:
        batch: samples at once; None for 1, or what the file says.
        image_size: height and width of images in pixels.
        sequence: tokens of a sample; in the phase "decode" the new ones.
        phase: of language models: "forward", "prefill" or "decode".
        context: tokens that the KV cache holds already.
        dtype: float32, float16, bfloat16, autocast-float16, autocast-bfloat16 or int8. None for
            the usual one: bfloat16 for language models where the device states it, else float16,
            else float32; float32 for all others; what the file says for files.
        dim: sizes of a file's symbolic dimensions, as "NAME=SIZE" or by name.
        params: file of the weights beside a SMAUG topology.
        train: whether a training step is made: forward, loss, backward, update.
        optimizer: of the training step: sgd, momentum, adagrad, adam, adamw, ...
        loss: of the training step: cross_entropy, mean_square or sum.
        recompute: number of segments whose activations are computed again in the backward pass.
    """

    batch: Annotated[int | None, Help("Samples in a batch; default: 1.", min=1)] = None
    image_size: Annotated[
        int | None, Help("Height and width of images in pixels; default: the model's.", min=1)
    ] = None
    sequence: Annotated[
        int | None, Help("Tokens of a sample (new ones in decode); default: the model's.", min=1)
    ] = None
    phase: Annotated[str | None, Help("Phase of a language model: forward, prefill or decode.")] = (
        None
    )
    context: Annotated[
        int | None, Help("Tokens already in the KV cache; default: the model's.", min=0)
    ] = None
    dtype: Annotated[
        str | None,
        Help(
            "float32, float16, bfloat16, autocast-float16, autocast-bfloat16 or int8; default: "
            "for language models bfloat16 where the device has it, else float16; else float32.",
            aliases=("--precision",),
        ),
    ] = None
    dim: Annotated[
        tuple[str, ...],
        Help("Size of a symbolic dimension of a file, as NAME=SIZE (repeatable)."),
    ] = ()
    params: Annotated[Path | None, Help("File of weights that belongs to a SMAUG topology.")] = None
    train: Annotated[bool, Help("Make a training step: forward, loss, backward, update.")] = False
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
        sizes = self.dim
        if isinstance(sizes, Mapping):
            sizes = tuple(f"{name}={size}" for name, size in sizes.items())
        object.__setattr__(self, "dim", (sizes,) if isinstance(sizes, str) else tuple(sizes))
