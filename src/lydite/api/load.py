"""Models from names: the model set, files, folders, PyTorch modules, graphs."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Unpack

from lydite.api.keywords import ModelKeywords
from lydite.api.options import ModelOptions, chosen
from lydite.errors import InputError
from lydite.records import dataclass
from lydite.results import OneLine

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.graph import Graph
    from lydite.graph.training import TrainingStep
    from lydite.hardware import Device

ModelLike: TypeAlias = Any
"""A name of the model set, the path of a file or folder, a `Model`, a `Graph`, a PyTorch module
or an exported program."""


@dataclass(frozen=True)
class RankOptions(ModelOptions):
    """Options of a model that is built for tensor-parallel ranks.

    Attributes:
        kv_ranks: Number of ranks that each need a key and value head of their own; None for any.
    """

    kv_ranks: int | None = None


def for_ranks(model: ModelLike, options: ModelOptions, ranks: int) -> ModelOptions:
    """Options with which each tensor-parallel rank has a key and value head of its own.

    As they are where one rank is alone, or the model's builder cannot repeat heads.
    """
    source = model.source if isinstance(model, Model) else model
    if ranks == 1 or not repeats_heads(source):
        return options
    said = {f.name: getattr(options, f.name) for f in fields(ModelOptions)}
    return RankOptions(**said, kv_ranks=ranks)


def repeats_heads(source: ModelLike) -> bool:
    """Whether the model's builder can repeat key and value heads for ranks that lack one."""
    from lydite.graph.formats import may_be_file
    from lydite.models import describe

    if not isinstance(source, str | Path):
        return False
    if takes_sizes(source):
        from lydite.models.huggingface import read_config

        return "kv_ranks" in read_config(str(source)).options
    return not may_be_file(Path(source)) and "kv_ranks" in describe(str(source)).defaults


@dataclass(frozen=True, eq=False, repr=False)
class Model(OneLine):
    """A loaded model.

    Attributes:
        source: What the user named.
        options: Options with which it was built.
        forward: Inference graph.
        step: Training step, if requested.
        dtype: Data type of the weights.
        dtype_reason: Reason for this data type.
        example: Inputs with which a PyTorch module is exported.
    """

    source: Any
    options: ModelOptions
    forward: Graph
    step: TrainingStep | None
    dtype: str
    dtype_reason: str
    example: tuple[Any, ...] | None = None

    @property
    def graph(self) -> Graph:
        """The training step's graph if there is one, else the forward graph."""
        return self.step.graph if self.step is not None else self.forward

    @property
    def name(self) -> str:
        """The graph's name."""
        return self.forward.name

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader could not honour, in sentences."""
        if not isinstance(self.source, str | Path) or not takes_sizes(self.source):
            return ()
        from lydite.models.huggingface import read_config

        return read_config(str(self.source), part=self.options.part or "").notes

    def noted(self, text: str) -> str:
        """A text with the notes in lines of their own below."""
        return "\n".join([text, *(f"note: {note}" for note in self.notes)])

    @property
    def label(self) -> str:
        """Text of what the user named."""
        return str(self.source) if isinstance(self.source, str | Path) else self.name

    def headline(self) -> str:
        """Name, size and dtype."""
        from lydite.units import format_si

        kind = ", training step" if self.step is not None else ""
        return (
            f"{self.name}: {len(self.graph.ops)} operators, "
            f"{format_si(self.forward.parameter_count, '')} parameters, {self.dtype}{kind}"
        )


def load(
    session: Session,
    what: ModelLike,
    *,
    example: tuple[Any, ...] | None = None,
    options: ModelOptions | None = None,
    **given: Unpack[ModelKeywords],
) -> Model:
    """Load a model.

    Args:
        session: Not used.
        what: A name of the model set, an .onnx, .pbtxt or .json file, a config.json or its folder,
            a PyTorch module, an exported program, or a `Graph`.
        example: Example inputs of a PyTorch module.
        options: Options of the model.
        given: Fields of `ModelOptions`, such as `batch` or `dtype`.

    Raises:
        InputError: the name is unknown, the file is invalid, or the model does not take an option.
    """
    del session
    return resolve(what, chosen(ModelOptions, options, given), example=example)


def resolve(
    what: ModelLike,
    options: ModelOptions,
    device: Device | None = None,
    *,
    example: tuple[Any, ...] | None = None,
) -> Model:
    """The model, in the usual data type of a device unless one was requested.

    Raises:
        InputError: as for `load`.
    """
    if isinstance(what, Model):
        merged = _merged(what.options, options)
        usual = usual_dtype(what.source, device)
        dtype = merged.dtype or (usual[0] if usual else what.dtype)
        if merged == what.options and dtype == what.dtype:
            return what
        return resolve(what.source, merged, device, example=what.example)
    _check_training(options)
    usual = usual_dtype(what, device) if options.dtype is None else None
    wanted = options if usual is None else replace(options, dtype=usual[0])
    forward = _forward(what, wanted, example)
    step = _training_step(forward, options) if options.train else None
    dtype = options.dtype or (usual[0] if usual else _float_of(forward))
    reason = "asked for" if options.dtype else usual[1] if usual else _file_reason(what)
    return Model(what, options, forward, step, dtype, reason, example)


def unwrapped(
    model: ModelLike, options: ModelOptions
) -> tuple[ModelLike, ModelOptions, tuple[Any, ...] | None]:
    """The source of a model, its options merged with the given ones, and its example inputs."""
    if isinstance(model, Model):
        return model.source, _merged(model.options, options), model.example
    return model, options, None


def _merged(loaded: ModelOptions, given: ModelOptions) -> ModelOptions:
    """The options of a loaded model, overridden by those of the verb."""
    other = {
        f.name: getattr(given, f.name) for f in fields(given) if getattr(given, f.name) != f.default
    }
    return replace(loaded, **other)


def _check_training(options: ModelOptions) -> None:
    for name in ("optimizer", "loss", "recompute"):
        value = getattr(options, name)
        if value is not None and not options.train:
            raise InputError(f"--{name} {value} asks for training", hint="add --train")


def _training_step(forward: Graph, options: ModelOptions) -> TrainingStep:
    from lydite.graph.training import training_step

    return training_step(
        forward, loss=options.loss, optimizer=options.optimizer, recompute=options.recompute or 0
    )


# the usual data type


def usual_dtype(what: ModelLike, device: Device | None) -> tuple[str, str] | None:
    """Default data type of a model's weights, and the reason; None for files and graphs.

    Language models (those that are built in phases) are in bfloat16 where the device states a peak
    for it, else in float16, else in float32. On a processor the default backend must support it
    too.
    """
    from lydite.graph.formats import is_model_file

    if not isinstance(what, str | Path):
        return None
    if takes_sizes(what):
        if device is None or not takes_phase(what):
            return None
    elif is_model_file(what):
        return None
    elif not takes_phase(what):
        return "float32", "usual of models that are not language models"
    if device is None:
        return "float32", "no device was given"
    for dtype in ("bfloat16", "float16"):
        if dtype in device.peak_flops and dtype in _runnable(device):
            return dtype, f"language model, and {device.name} states a peak for it"
    return "float32", f"{device.name} runs neither bfloat16 nor float16"


def _runnable(device: Device) -> tuple[str, ...]:
    """Data types that can run there: on a processor, those of its default backend.

    ONNX Runtime accepts float16 on processors too, but computes it in float32.
    """
    if device.kind != "cpu":
        return ("bfloat16", "float16")
    from lydite.backends import find_backend
    from lydite.errors import LyditeError

    try:
        known = find_backend("onnxruntime").capabilities().dtypes
    except LyditeError:
        return ()
    return tuple(dtype for dtype in known if dtype != "float16")


def takes_phase(model: ModelLike) -> bool:
    """Whether a model is built in phases: a language model from the set or a config.json."""
    from lydite.errors import LyditeError
    from lydite.models import describe

    if isinstance(model, Model):
        return takes_phase(model.source)
    if not isinstance(model, str | Path):
        return False
    if takes_sizes(model):
        from lydite.models.huggingface import read_config

        return "phase" in read_config(str(model)).options
    try:
        return "phase" in describe(str(model)).defaults
    except LyditeError:
        return False


def _float_of(graph: Graph) -> str:
    """Data type of most weights."""
    floats = [graph.type_of(name).dtype for name in graph.parameters]
    return max(set(floats), key=floats.count) if floats else "float32"


def _file_reason(what: ModelLike) -> str:
    return "as the file has it" if isinstance(what, str | Path) else "as the model has it"


# building


def _forward(what: ModelLike, options: ModelOptions, example: tuple[Any, ...] | None) -> Graph:
    from lydite.graph import Graph

    if isinstance(what, Graph):
        return _adapted(what, options, what.name)
    if isinstance(what, str | Path):
        return _named(str(what), options)
    return _adapted(_from_torch(what, example), options, type(what).__name__)


def _from_torch(what: Any, example: tuple[Any, ...] | None) -> Graph:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(what, torch.export.ExportedProgram):
        from lydite.graph.formats.torch_reader import read_exported

        return read_exported(what)
    if torch is None or not isinstance(what, torch.nn.Module):
        raise InputError(
            f"a {type(what).__name__} is not a model",
            allowed="a name, a path, a Graph, a PyTorch module or an exported program",
        )
    if example is None:
        raise InputError(
            "a PyTorch module is exported with example inputs",
            where=type(what).__name__,
            hint="load(module, example=(inputs, ...))",
        )
    from lydite.graph.formats.torch_reader import read_torch

    return read_torch(what, *example)


def _named(name: str, options: ModelOptions) -> Graph:
    usual = {"phase": "forward"} if options.train and options.phase is None else {}
    from lydite.graph.formats import is_model_file

    if takes_sizes(name):
        return _from_config(name, options, usual)
    if is_model_file(name):
        return _from_file(name, options)
    return _from_set(name, options, usual)


def takes_sizes(name: Path | str) -> bool:
    """Whether a file describes a network that takes sizes like a model of the set."""
    from lydite.graph.formats import READERS, may_be_file

    path = Path(name)
    if not may_be_file(path):
        return False
    return any(reader.takes_sizes and reader.claims(path) for reader in map(READERS.find, READERS))


def _from_set(name: str, options: ModelOptions, usual: Mapping[str, str]) -> Graph:
    from lydite.models import build_model, describe
    from lydite.models.info import FLOATS

    if Path(name).suffix in _SUFFIXES or "/" in name:
        raise InputError("no such file", where=name)
    for option in ("dim", "params", "value", "part"):
        if getattr(options, option):
            raise InputError(
                f"--{option} is for files; '{name}' is a model of the set", hint="lydite models"
            )
    takes = describe(name).defaults
    sizes = {
        option: value
        for option, value in {**usual, **_sizes(options)}.items()
        if option in takes or option not in usual
    }
    dtype = options.dtype or "float32"
    graph = build_model(
        name, batch=options.batch or 1, dtype=dtype if dtype in FLOATS else "float32", **sizes
    )
    return graph if dtype in FLOATS else _in_precision(graph, dtype)


_SUFFIXES = (".onnx", ".json", ".pbtxt", ".pb", ".csv", ".cfg", ".yaml", ".pt2", ".pt", ".txt")
"""Endings of names that are meant for files."""


def _sizes(options: ModelOptions) -> dict[str, int | str | None]:
    return {
        "image_size": options.image_size,
        "sequence": options.sequence,
        "context": options.context,
        **({"phase": options.phase} if options.phase else {}),
        **({"kv_ranks": options.kv_ranks} if isinstance(options, RankOptions) else {}),
    }


def _from_config(name: str, options: ModelOptions, usual: Mapping[str, str]) -> Graph:
    """Build from a Hugging Face config; precisions other than plain floats are made by a pass."""
    from lydite.models.huggingface import graph_from_config
    from lydite.models.info import FLOATS

    for option in ("dim", "params", "image_size", "value"):
        if getattr(options, option):
            dashed = option.replace("_", "-")
            raise InputError(f"--{dashed} is not for a config.json", where=name)
    plain = options.dtype is None or options.dtype in FLOATS
    graph = graph_from_config(
        name,
        batch=options.batch or 1,
        sequence=options.sequence,
        context=options.context,
        phase=options.phase or usual.get("phase"),
        dtype=options.dtype if plain else "float32",
        part=options.part or "",
        kv_ranks=options.kv_ranks if isinstance(options, RankOptions) else None,
    )
    return graph if plain else _in_precision(graph, str(options.dtype))


def _from_file(name: str, options: ModelOptions) -> Graph:
    from lydite.graph.formats import read_file

    _refuse_sizes(options, name, "a file")
    graph = read_file(name, dims=_dims(options), params=options.params).renamed(Path(name).stem)
    return _sized(_with_values(graph, options), options)


def _with_values(graph: Graph, options: ModelOptions) -> Graph:
    """The graph with the inputs fixed that `--value` names."""
    if not options.value:
        return graph
    from lydite.graph import with_values

    return with_values(graph, dict(_value(text) for text in options.value))


def _value(text: str) -> tuple[str, float]:
    name, equals, number = text.rpartition("=")
    with contextlib.suppress(ValueError):
        if name and equals and math.isfinite(float(number)):
            return name, float(number)
    raise InputError(f"'{text}' gives no input a value", where="--value", allowed="NAME=NUMBER")


def _adapted(graph: Graph, options: ModelOptions, where: str) -> Graph:
    """The graph with symbolic sizes bound, and another batch or precision."""
    from lydite.graph import bind_dims

    _refuse_sizes(options, where, "a graph")
    if options.params:
        raise InputError("--params is for files", where=where)
    dims = _dims(options)
    graph = bind_dims(graph, dims) if dims else graph
    return _sized(_with_values(graph, options), options)


def _sized(graph: Graph, options: ModelOptions) -> Graph:
    from lydite.graph import rebatched

    if options.batch is not None:
        graph = rebatched(graph, options.batch)
    return graph if options.dtype is None else _in_precision(graph, options.dtype)


def _refuse_sizes(options: ModelOptions, where: str, what: str) -> None:
    for option, value in _sizes(options).items():
        if value is not None:
            dashed = option.replace("_", "-")
            raise InputError(
                f"{what} has its own sizes, --{dashed} is for the model set",
                where=where,
                hint="use --dim NAME=SIZE for symbolic sizes",
            )


def _in_precision(graph: Graph, dtype: str) -> Graph:
    from lydite.graph.passes import in_precision

    return in_precision(graph, dtype)


def _dims(options: ModelOptions) -> dict[str, int]:
    return dict(_dim(text) for text in options.dim)


def _dim(text: str) -> tuple[str, int]:
    name, equals, size = text.rpartition("=")
    if not (name and equals and size.isdecimal() and int(size) < 2**31):
        raise InputError(f"'{text}' binds nothing", where="--dim", allowed="NAME=SIZE")
    return name, int(size)
