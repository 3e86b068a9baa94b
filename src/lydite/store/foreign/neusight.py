"""NeuSight's tables (github.com/sitar-lab/NeuSight, MIT): operators of PyTorch 2.1 in float32.

`train` and `test` (AMD's `amd_train`, `amd_test`) with linear, bmm, conv, elem, ln and softmax, as
.csv or .csv.gz, times in milliseconds. The output of its linear and bmm rows is M x K, and N is
reduced, as the grids of their kernels show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from lydite.errors import InputError
from lydite.store.foreign import forms
from lydite.store.foreign.forms import Pattern, named
from lydite.store.foreign.load import Found, Layout, Skipped, Source
from lydite.store.foreign.tables import Table, read_table
from lydite.store.records import Software

ORIGIN = "neusight"
DEVICES = {
    "Tesla P4": "nvidia-p4",
    "Tesla P100-PCIE-16GB": "nvidia-p100-pcie-16gb",
    "Tesla V100-PCIE-32GB": "nvidia-v100-pcie-32gb",
    "Tesla T4": "nvidia-t4",
    "NVIDIA A100-PCIE-40GB": "nvidia-a100-pcie-40gb",
    "NVIDIA A100 80GB PCIe": "nvidia-a100-pcie-80gb",
    "NVIDIA H100 80GB HBM3": "nvidia-h100-sxm5-80gb",
    "NVIDIA L4": "nvidia-l4",
    "AMD Instinct MI100": "amd-mi100",
    "AMD Instinct MI210": "amd-mi210",
    "AMD Instinct MI250": "amd-mi250",
}
"""Name in the catalog by what the column "Device" says."""
SPLITS = {"train": "2.1.0", "test": "2.1.0", "amd_train": "2.4.1", "amd_test": "2.4.1"}
"""Version of PyTorch by folder."""
BACKEND = "pytorch"
_F32 = "float32"
_ELEMENTWISE = {"add": "Add", "mul": "Mul", "div": "Div", "sub": "Sub"}
_UNARY = {"relu": "Relu", "gelu": "Gelu", "tanh": "Tanh"}

Parts = Iterator[Found | Skipped]


def sources(folder: Path) -> tuple[list[Source], dict[str, int]]:
    """The tables of a folder, and the number of files by reason why they are not read.

    Raises:
        InputError: the folder holds no such table.
    """
    found: list[Source] = []
    for split, torch in SPLITS.items():
        for kind in TABLES:
            for path in _files(folder / split, kind):
                found += _by_device(path, kind, torch)
    if not found:
        raise InputError(
            "holds no table of NeuSight",
            where=str(folder),
            allowed=f"train/ and test/ with {', '.join(TABLES)} as .csv or .csv.gz",
        )
    rest = sum(1 for p in folder.rglob("*.csv*") if p.relative_to(folder).parts[0] not in SPLITS)
    return found, {"model graphs and predictions, no measured operators": rest} if rest else {}


def _files(folder: Path, kind: str) -> list[Path]:
    names = (f"{kind}.csv.gz", f"{kind}.csv", f"{kind}/*.csv.gz", f"{kind}/*.csv")
    return sorted({path for name in names for path in folder.glob(name)})


def _by_device(path: Path, kind: str, torch: str) -> list[Source]:
    """One source for each device of a file; it is read once."""
    numbers, describe = TABLES[kind]
    table = read_table(path, (*numbers, "Latency"), ("Device", "OPName"), more_words=_KERNEL)
    software = Software(BACKEND, {BACKEND: torch})
    found: list[Source] = []
    for name in sorted(set(table["Device"].tolist())):
        part = table.where_true(table["Device"] == name)
        device = DEVICES.get(name)
        if device is None:
            found.append(_source(kind, "unknown", software, part, _of_unknown_device))
        else:
            found.append(_source(kind, device, software, part, describe))
    return found


def _of_unknown_device(part: Table) -> Parts:
    name = str(part["Device"][0])[:60]
    yield Skipped(f"device '{name}' is not in the catalog", part.rows)


def _source(
    kind: str, device: str, software: Software, part: Table, describe: Callable[[Table], Parts]
) -> Source:
    return Source(kind, device, ORIGIN, [(software, lambda: (part, describe(part)))])


def _found(
    part: Table, pattern: Pattern, flops: np.ndarray | None = None, **sizes: object
) -> Found:
    kernels = part.columns.get("Kernel Name")
    short = None if kernels is None else np.array([k[:60] for k in kernels], dtype=object)
    columns = {name: np.broadcast_to(np.asarray(size), part.rows) for name, size in sizes.items()}
    return Found(pattern, columns, part["Latency"], short, flops)


def _linear(table: Table) -> Parts:
    rows = table["B"] * table["M"]
    flops = 2 * rows * table["N"] * table["K"]
    key = forms.product(_F32, *named("m", "k", "n"))
    yield _found(table, Pattern(key), flops, m=rows, k=table["N"], n=table["K"])


def _bmm(table: Table) -> Parts:
    m, k, n, count = named("m", "k", "n", "count")
    flops = 2 * table["B"] * table["M"] * table["N"] * table["K"]
    key = forms.product(_F32, m, k, n, count=count)
    yield _found(
        table, Pattern(key), flops, count=table["B"], m=table["M"], k=table["N"], n=table["K"]
    )


def _conv(table: Table) -> Parts:
    names = ("Kernel_Szie", "Stride", "Padding")
    triples = np.stack([table[name] for name in names], axis=1)
    for triple in np.unique(triples[np.isfinite(triples).all(axis=1)], axis=0):
        part = table.where_true((triples == triple).all(axis=1))
        kernel, stride, padding = (int(size) for size in triple)
        if stride < 1 or kernel < 1 or padding < 0:
            yield Skipped("a convolution without stride or window", part.rows)
            continue
        image = part["Input_Size"]
        key = forms.conv(
            _F32, "@batch", ("@before", "@after"), ("@image", kernel, "@result"), stride, padding
        )
        yield _found(
            part,
            Pattern(key),
            batch=part["B"],
            before=part["Input_Channel"],
            after=part["Output_Channel"],
            image=image,
            result=np.floor((image + 2 * padding - kernel) / stride) + 1,
        )


def _elementwise(table: Table) -> Parts:
    for name in sorted(set(table["OPName"].tolist())):
        part = table.where_true(table["OPName"] == name)
        scalar = name.endswith("u") and name != "relu"
        op_type = _UNARY.get(name) or _ELEMENTWISE.get(name.removesuffix("u") if scalar else name)
        if op_type is None:
            yield Skipped(f"'{name[:20]}', whose exponent or function is not said", part.rows)
            continue
        key = forms.elementwise(op_type, _F32, *named("rows", "width"), scalar=scalar)
        yield _found(part, Pattern(key), rows=part["B"], width=part["H"])


def _norm(table: Table) -> Parts:
    key = forms.norm("LayerNormalization", _F32, *named("rows", "width"))
    yield _found(table, Pattern(key), rows=table["B"], width=table["H"])


def _softmax(table: Table) -> Parts:
    key = forms.softmax(_F32, *named("rows", "width"))
    yield _found(table, Pattern(key), rows=table["B"], width=table["H"])


_KERNEL = ("Kernel Name",)
_PRODUCT = ("B", "M", "N", "K")
_CONV = ("B", "Input_Channel", "Output_Channel", "Kernel_Szie", "Input_Size", "Stride", "Padding")
TABLES: dict[str, tuple[tuple[str, ...], Callable[[Table], Parts]]] = {
    "linear": (_PRODUCT, _linear),
    "bmm": (_PRODUCT, _bmm),
    "conv": (_CONV, _conv),
    "elem": (("B", "H"), _elementwise),
    "ln": (("B", "H"), _norm),
    "softmax": (("B", "H"), _softmax),
}
"""Numbers of each table, and what describes it."""

NEUSIGHT = Layout(sources)
