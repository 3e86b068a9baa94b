"""Logs of tuners: ours as JSON lines, and AutoTVM 0.2, of which configurations are read.

Times of an AutoTVM log are of another machine and of many threads, so a record without our target
is kept as "imported" and untimed: its configuration is tried first when the operator is tuned.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lydite.backends.tuned.space import SPACES, config_from
from lydite.backends.tuned.task import NCHWC, task_of
from lydite.backends.tuned.toolchain import Machine
from lydite.errors import InputError, UnitError
from lydite.files import write_atomic
from lydite.opkey import Operand, OpKey, TensorType
from lydite.records import dataclass
from lydite.store import Software, Trial

SCHEMA = "lydite/trial/1"
FORMATS = ("lydite", "autotvm")


@dataclass(frozen=True)
class Log:
    """What a log holds.

    Attributes:
        trials: Rows that have a place in our spaces.
        records: Number of records.
        left: Records that have none, by reason.
    """

    trials: tuple[Trial, ...]
    records: int
    left: Mapping[str, int]


def write_log(path: Path, trials: Iterable[Trial], form: str) -> int:
    """Write trials, one a line, and return how many.

    Raises:
        InputError: the form is unknown.
    """
    if form not in FORMATS:
        raise InputError(f"unknown form '{form}'", allowed=", ".join(FORMATS))
    lines = [json.dumps(_line(t) if form == "lydite" else _autotvm_line(t)) for t in trials]
    write_atomic(path, "".join(f"{line}\n" for line in lines))
    return len(lines)


def _line(trial: Trial) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "key": json.loads(trial.key.text),
        "device": trial.device,
        "target": trial.target,
        "software": {"backend": trial.software.backend, "versions": dict(trial.software.versions)},
        "space": trial.space,
        "factors": dict(trial.factors),
        "role": trial.role,
        "status": trial.status,
        "error": trial.error,
        "seconds": trial.seconds,
        "reference_s": trial.reference_s,
        "ratio_low": trial.ratio_low,
        "ratio_high": trial.ratio_high,
        "parent": trial.parent,
        "measured_at": trial.measured_at,
    }


def _autotvm_line(trial: Trial) -> dict[str, Any]:
    failed = trial.seconds is None
    entity = [[name, "ot", value] for name, value in trial.factors.items()]
    return {
        "input": [trial.target, f"lydite.{trial.space}", [trial.key.text], {}],
        "config": {"index": 0, "code_hash": None, "entity": entity},
        "result": [[1e9 if failed else trial.seconds], int(failed), trial.seconds or 0.0, 0.0],
        "version": 0.2,
        "tvm_version": trial.software.versions.get("apache-tvm", "unknown"),
    }


def read_log(path: Path, here: Machine, device: str) -> Log:
    """Read a log of either form.

    Args:
        path: File.
        here: Processor, whose spaces the configurations have to fit.
        device: Device name of rows whose log names none.

    Raises:
        InputError: the file cannot be read, or a line is of neither form.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from error
    trials: list[Trial] = []
    left: Counter[str] = Counter()
    records = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        records += 1
        try:
            record = json.loads(line)
            made = _read_record(record, path.name, here, device)
        except _NoPlace as error:
            left[str(error)] += 1
            continue
        except (ValueError, LookupError, TypeError, AttributeError, InputError) as error:
            raise InputError(
                f"not a record of AutoTVM 0.2 or of Lydite: {error}", where=f"{path}, line {number}"
            ) from error
        trials.append(made)
    return Log(tuple(trials), records, dict(left))


class _NoPlace(Exception):
    """A sound record that no schedule space of ours can hold."""


def _read_record(record: Mapping[str, Any], parent: str, here: Machine, device: str) -> Trial:
    if record.get("schema") == SCHEMA:
        return _read_own(record)
    if float(record["version"]) != 0.2:
        raise UnitError(f"version {record['version']}", allowed="0.2")
    target, name, arguments = record["input"][:3]
    factors = {str(entry[0]): entry[2] for entry in record["config"]["entity"]}
    if name.startswith("lydite."):
        key, space = OpKey.parse(arguments[0]), name.removeprefix("lydite.")
        same = str(target) == here.target
        seconds = record["result"][0][0] if same and not record["result"][1] else None
    else:
        reader = _TASKS.get(name)
        if reader is None:
            raise _NoPlace(f"no schedule space for {name}")
        key, space, factors = reader(arguments, factors, here)
        seconds = None
    task = task_of(key)
    if task is None:
        raise _NoPlace(f"no schedule space for {name}")
    try:
        config = config_from(space, factors, task, here)
    except InputError as error:
        raise _NoPlace(f"{name}: {error.what}") from error
    software = Software("tvm", {"apache-tvm": str(record.get("tvm_version", "unknown"))})
    return Trial(
        key,
        device,
        software,
        str(target),
        space,
        config.factors,
        role="imported",
        status="ok" if seconds else "untimed",
        seconds=seconds,
        parent=parent,
    )


def _read_own(record: Mapping[str, Any]) -> Trial:
    software = Software(record["software"]["backend"], record["software"]["versions"])
    names = ("device", "target", "space", "factors", "role", "status", "error", "seconds")
    names += ("reference_s", "ratio_low", "ratio_high", "parent", "measured_at")
    key = OpKey.parse(json.dumps(record["key"]))
    fields = {name: record[name] for name in names}
    return Trial(key=key, software=software, **fields)


def _last(factors: Mapping[str, Any], name: str) -> int:
    """The inner extent of a split."""
    value = factors[name]
    return int(value[-1]) if isinstance(value, Sequence) else int(value)


def _nearest(values: Sequence[int | str], wanted: int) -> int:
    numbers = [value for value in values if isinstance(value, int)]
    return min(numbers, key=lambda value: abs(value - wanted))


def _conv_key(arguments: Sequence[Any], groups: int) -> OpKey:
    (_, data, kind), (_, weights, _), strides, pads = arguments[:4]
    dilation = arguments[4]
    if kind != "float32" or list(dilation) not in ([1, 1], [1]) or len(data) != 4:
        raise _NoPlace("convolutions that are not of float32, dense and in NCHW")
    pads = list(pads) * 2 if len(pads) == 2 else list(pads)
    n, c, h, w = (int(size) for size in data)
    kh, kw = (int(size) for size in weights[2:4])
    o = c if groups > 1 else int(weights[0])
    oh = (h + pads[0] + pads[2] - kh) // strides[0] + 1
    ow = (w + pads[1] + pads[3] - kw) // strides[1] + 1
    attrs = {
        "auto_pad": "NOTSET",
        "dilations": [1, 1],
        "group": c if groups > 1 else 1,
        "kernel_shape": [kh, kw],
        "pads": pads,
        "strides": list(strides),
    }
    types = [TensorType("float32", (n, c, h, w)), TensorType("float32", tuple(weights[:4]))]
    operands = Operand(types[0]), Operand(types[1], const=True)
    return OpKey("Conv", operands, (TensorType("float32", (n, o, oh, ow)),), attrs, NCHWC)


def _fitted(
    key: OpKey, space: str, here: Machine, wishes: Mapping[str, int | str]
) -> dict[str, Any]:
    """Factors of a space nearest to wishes; the first value where there is none."""
    task = task_of(key)
    if task is None or not SPACES.find(space).fits(task, here):
        raise _NoPlace(f"{space}: its channels do not fill the blocks of {here.lanes}")
    factors: dict[str, Any] = {}
    for name, values in SPACES.find(space).factors(task, here).items():
        wish = wishes.get(name, values[0])
        factors[name] = _nearest(values, wish) if isinstance(wish, int) else wish
    return factors


def _conv2d(
    arguments: Sequence[Any], factors: Mapping[str, Any], here: Machine
) -> tuple[OpKey, str, dict[str, Any]]:
    key = _conv_key(arguments, 1)
    wishes: dict[str, int | str] = {
        "vectors": max(1, _last(factors, "tile_oc") // here.lanes),
        "rows": _last(factors, "tile_ow"),
        "unroll": 2,
    }
    return key, "conv-direct", _fitted(key, "conv-direct", here, wishes)


def _depthwise(
    arguments: Sequence[Any], factors: Mapping[str, Any], here: Machine
) -> tuple[OpKey, str, dict[str, Any]]:
    key = _conv_key(arguments, 2)
    wishes: dict[str, int | str] = {"rows": _last(factors, "tile_ow")}
    return key, "depthwise", _fitted(key, "depthwise", here, wishes)


def _dense(
    arguments: Sequence[Any], factors: Mapping[str, Any], here: Machine
) -> tuple[OpKey, str, dict[str, Any]]:
    (_, data, kind), (_, weights, _) = arguments[:2]
    if kind != "float32":
        raise _NoPlace("products that are not of float32")
    (m, k), n = (int(size) for size in data), int(weights[0])
    types = [TensorType("float32", (m, k)), TensorType("float32", (n, k))]
    operands = Operand(types[0]), Operand(types[1], const=True)
    out = TensorType("float32", (m, n))
    key = OpKey("Gemm", operands, (out,), {"transB": 1}, version=13)
    space = "gemv" if m == 1 else "matmul"
    wide = _last(factors, "tile_x") if "tile_x" in factors else here.lanes
    tall = _last(factors, "tile_y") if "tile_y" in factors else 1
    wishes: dict[str, int | str] = {
        "vectors": max(1, wide // here.lanes),
        "rows": max(1, tall),
        "unroll": 4,
        "chains": 2,
    }
    return key, space, _fitted(key, space, here, wishes)


_TASKS = {
    "conv2d_NCHWc.x86": _conv2d,
    "depthwise_conv2d_NCHWc.x86": _depthwise,
    "dense_pack.x86": _dense,
    "dense_nopack.x86": _dense,
    "topi_x86_conv2d_NCHWc": _conv2d,
}
