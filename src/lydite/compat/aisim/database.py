"""Reading AISim's operator databases, of both flavours.

TensorFlow's names the operator, its input shapes and its attributes, and times it in microseconds:

    {"Conv2D%input%[128,3,32,32]%input%[5,5,3,64]%T%1%strides%[1,1,1,1]":
        {"avg": 123.4, "std_err": 0.5}}

Its keys leave out every attribute that is a text, padding and data_format among them, so that
different operators may share a key. Each measurement carries that warning.

Torch's names only the node of one model, and times it in seconds; a twin file holds variances:

    vgg_b64_db.json:  {"x": 0, "features_0": 0.0029}
    vgg_b64_var.json: {"x": 0, "features_0": 1.9e-12}

Nothing there can be transferred to another model. A node that takes 0 is an input of the graph:
it is kept with the status "skipped", and without a time.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from lydite.errors import InputError
from lydite.opkey import Operand, OpKey, TensorType
from lydite.store import Conditions, Measurement, Software

SOURCE = "imported:aisim"
TENSORFLOW_DOMAIN = "tensorflow"
TORCH_DOMAIN = "aisim.torch"

_UNKNOWN_MOMENT = "1970-01-01T00:00:00.000000Z"
_COLLIDES = (
    "AISim's keys leave out padding and data_format, so different operators may share this key"
)
_ONE_MODEL = "AISim's key is the name of a node, so this time holds for one model only"

# The numbers of tensorflow/core/framework/types.proto.
TF_DTYPES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "string",
    8: "complex64",
    9: "int64",
    10: "bool",
    11: "qint8",
    12: "quint8",
    13: "qint32",
    14: "bfloat16",
    15: "qint16",
    16: "quint16",
    17: "uint16",
    18: "complex128",
    19: "float16",
    20: "resource",
    21: "variant",
    22: "uint32",
    23: "uint64",
}
_TF_TYPE_ATTRIBUTES = frozenset(
    {
        "T",
        "U",
        "V",
        "dtype",
        "dtypes",
        "type",
        "out_type",
        "output_type",
        "output_types",
        "input_types",
        "key_dtype",
        "value_dtype",
        "element_dtype",
        "component_types",
        "index_type",
        "seed_dtype",
        "shape_type",
        "out_idx",
        "Index",
        "SrcT",
        "DstT",
        "Tidx",
        "Tindices",
        "Tparams",
        "Tshape",
        "Tperm",
        "Tpaddings",
        "Tmultiples",
        "Tdim",
        "Tdims",
        "Tlen",
        "Tlabels",
        "Tin",
        "Tout",
        "Tinput",
        "Toutput",
        "Tfilter",
        "Tbias",
        "Tlhs",
        "Trhs",
        "Taxis",
        "Tblock_shape",
        "Tcrops",
        "Tsegmentids",
        "Tnumsegments",
        "Tsplits",
        "Tseed",
        "Tkeys",
        "Tvalues",
        "Tstate",
        "Tcond",
        "Targuments",
        "Tcomponents",
        "TI",
        "Tn",
    }
)
_INTEGER = re.compile(r"[-+]?\d{1,18}", re.ASCII)
_LIST = re.compile(r"\[([^\[\]]*)\]")


def read_aisim(
    path: str | Path,
    *,
    device: str,
    model: str = "",
    variances: str | Path | None = None,
) -> list[Measurement]:
    """Read an operator database that AISim wrote; which flavour it is can be seen from it.

    The same file twice gives the same measurements: their moment, which AISim does not keep, is
    the year 1970.

    Args:
        path: the JSON file.
        device: the device on which it was measured, which the file does not say.
        model: the model that a Torch file is of; without it, the file's name less "_db".
        variances: the twin of a Torch file; without it, the one beside it, if there is one.

    Raises:
        InputError: not JSON, or the first key or value that is wrong.
    """
    path = Path(path)
    entries = _load(path)
    tensorflow = any(isinstance(value, dict) for value in entries.values())
    stem = path.stem.removesuffix("_db")
    spread = {} if tensorflow else _variances(path.with_name(f"{stem}_var.json"), variances)
    found: list[Measurement] = []
    for name, value in entries.items():
        try:
            if tensorflow:
                parts = _tensorflow(name, value)
            else:
                parts = _torch(name, value, model or stem, spread.get(name))
            found.append(
                Measurement(
                    device=device,
                    conditions=Conditions(),
                    measured_at=_UNKNOWN_MOMENT,
                    source=SOURCE,
                    **parts,
                )
            )
        except InputError as error:
            raise _fault(path, name, error) from error
    return found


def _tensorflow(name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{value!r:.80} is not an object", allowed='{"avg": ..., "std_err": ...}')
    seconds = _seconds("avg", value.get("avg"), unit=1e-6)
    if not seconds:
        raise InputError("avg is 0, and nothing takes no time", allowed="microseconds > 0")
    environment: dict[str, Any] = {"warning": _COLLIDES}
    if "std_err" in value:
        environment["std_err_s"] = _seconds("std_err", value["std_err"], unit=1e-6)
    return {
        "key": _tensorflow_key(name),
        "software": Software("tensorflow"),
        "samples_s": np.array([seconds]),
        "environment": environment,
    }


def _tensorflow_key(name: str) -> OpKey:
    op_type, *rest = name.split("%")
    if len(rest) % 2:
        raise InputError("the key does not consist of names and values", allowed="op%name%value...")
    shapes: list[tuple[int | str, ...]] = []
    attrs: dict[str, Any] = {}
    for attribute, text in zip(rest[::2], rest[1::2], strict=True):
        if attribute == "input":
            shapes.append(_shape(text))
        elif attribute in attrs or not attribute:
            raise InputError(f"the attribute '{attribute}' stands twice or has no name")
        else:
            attrs[attribute] = _attribute(attribute, text)
    # The key types the attributes, not the inputs; T is the first input's, and the others' too
    # where nothing else is typed.
    dtype = attrs.get("T")
    first = dtype if isinstance(dtype, str) else ""
    others = first if len(_TF_TYPE_ATTRIBUTES & attrs.keys()) == 1 else ""
    inputs = tuple(
        Operand(TensorType(others if place else first, shape)) for place, shape in enumerate(shapes)
    )
    return OpKey(op_type, inputs, attrs=attrs, domain=TENSORFLOW_DOMAIN)


def _torch(name: str, value: object, model: str, variance: float | None) -> dict[str, Any]:
    seconds = _seconds("the time", value, unit=1.0)
    environment: dict[str, Any] = {"warning": _ONE_MODEL}
    if variance is not None:
        environment["variance_s2"] = variance
    parts: dict[str, Any] = {
        "key": OpKey("node", attrs={"node": name, "model": model}, domain=TORCH_DOMAIN),
        "software": Software("torch"),
        "samples_s": np.array([seconds] if seconds else []),
        "environment": environment,
    }
    if not seconds:
        parts |= {"status": "skipped", "error": "AISim gives 0: nothing runs at this node"}
    return parts


def _variances(beside: Path, given: str | Path | None) -> dict[str, float]:
    if given is None and not beside.is_file():
        return {}
    path = beside if given is None else Path(given)
    found: dict[str, float] = {}
    for name, value in _load(path).items():
        try:
            found[name] = _seconds("the variance", value, unit=1.0)
        except InputError as error:
            raise _fault(path, name, error) from error
    return found


def _load(path: Path) -> dict[str, Any]:
    try:
        raw = path.read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from error
    try:
        document = json.loads(raw, object_pairs_hook=_no_name_twice)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON: {error}", where=str(path)) from error
    except InputError as error:
        raise InputError(error.what, where=str(path)) from error
    if not isinstance(document, dict):
        raise InputError("is not a JSON object", where=str(path), allowed="keys to times")
    return document


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"the key {twice[:120]!r} stands twice")
    return found


def _seconds(what: str, value: object, unit: float) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value) * unit
        except OverflowError:
            number = math.inf
        if 0 <= number < math.inf:
            return number
    raise InputError(f"{what} is {value!r:.80}", allowed="a finite number >= 0")


def _shape(text: str) -> tuple[int | str, ...]:
    match = _LIST.fullmatch(text)
    if match is None:
        raise InputError(f"{text[:80]!r} is not a shape", allowed="such as [128,3,32,32]")
    return tuple(_dim(part, text) for part in match[1].split(",")) if match[1] else ()


def _dim(part: str, text: str) -> int | str:
    if part in ("-1", "None", "?"):
        return "?"
    if not _INTEGER.fullmatch(part) or int(part) < 0:
        raise InputError(f"{text[:80]!r} is not a shape", allowed="such as [128,3,32,32]")
    return int(part)


def _attribute(name: str, text: str) -> Any:
    match = _LIST.fullmatch(text)
    if match is not None:
        return [_scalar(name, part) for part in match[1].split(",")] if match[1] else []
    return _scalar(name, text)


def _scalar(name: str, text: str) -> Any:
    if text in ("True", "False"):
        return text == "True"
    if _INTEGER.fullmatch(text):
        number = int(text)
        return TF_DTYPES.get(number, number) if name in _TF_TYPE_ATTRIBUTES else number
    try:
        real = float(text)
    except ValueError:
        return text
    # A key is JSON, which has no NaN and no infinity.
    return real if math.isfinite(real) else text


def _fault(path: Path, name: str, error: InputError) -> InputError:
    return InputError(error.what, where=f"{path}: {name[:120]!r}", allowed=error.allowed)
