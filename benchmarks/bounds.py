"""How often operators that nobody measured on a device lie within the bounds of their estimate.

NeuSight's float32 operators (read through LYDITE_REFERENCE_DATA) on the GPUs of its training set
that the catalog has, 400 of each kind and device; the estimate knows the device's data sheet alone.
The bounds' constants were chosen with the 5th and 95th percentiles of these rows in view.
"""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from _figures import Figure, publish

from lydite.estimate.roofline import Roofline
from lydite.graph import Builder, Tensor, key_of
from lydite.hardware import Device, find_device
from lydite.opkey import OpKey

DATA = Path(os.environ.get("LYDITE_REFERENCE_DATA", "../shared/data")) / "neusight"
DEVICES = {
    "Tesla V100-PCIE-32GB": "nvidia-v100-pcie-32gb",
    "Tesla T4": "nvidia-t4",
    "NVIDIA A100-PCIE-40GB": "nvidia-a100-sxm4-40gb",
}
EACH = 400
LAUNCH_S = 20e-6
"""Rows whose roofline is shorter measure launches."""
_UNARY = {"relu": "Relu", "tanh": "Tanh", "gelu": "Gelu"}
_BINARY = {"add": "Add", "mul": "Mul", "div": "Div"}

Row = Mapping[str, str]


def _sizes(row: Row, *names: str) -> list[int]:
    return [int(float(row[name])) for name in names]


def linear(row: Row) -> OpKey:
    """Rows by a weight."""
    rows, width, inner = _sizes(row, "M", "N", "K")
    g = Builder("net")
    return _last(g, g.linear(g.input("x", (rows, inner)), width, bias=False))


def bmm(row: Row) -> OpKey:
    """A batch of products."""
    b, m, n, k = _sizes(row, "B", "M", "N", "K")
    g = Builder("net")
    return _last(g, g.op("MatMul", g.input("x", (b, m, k)), g.input("y", (b, k, n))))


def conv(row: Row) -> OpKey:
    """A convolution of square images."""
    names = ("B", "Input_Channel", "Output_Channel", "Kernel_Szie", "Input_Size", "Stride")
    b, channels, filters, kernel, size, stride = _sizes(row, *names)
    g = Builder("net")
    x = g.input("x", (b, channels, size, size))
    pad = _sizes(row, "Padding")[0]
    return _last(g, g.conv(x, filters, kernel, stride=stride, pad=pad, bias=False))


def elementwise(row: Row) -> OpKey | None:
    """One or two operands; powers and operands that are broadcast are left out."""
    b, h = _sizes(row, "B", "H")
    g = Builder("net")
    x, name = g.input("x", (b, h)), row["OPName"]
    if name in _BINARY:
        return _last(g, g.op(_BINARY[name], x, g.input("y", (b, h))))
    return _last(g, g.op(_UNARY[name], x)) if name in _UNARY else None


def norm(row: Row) -> OpKey:
    """A layer norm of rows."""
    b, h = _sizes(row, "B", "H")
    g = Builder("net")
    x = g.input("x", (b, h))
    return _last(g, g.op("LayerNormalization", x, g.weight((h,), "scale"), axis=-1))


def softmax(row: Row) -> OpKey:
    """A softmax of rows."""
    b, h = _sizes(row, "B", "H")
    g = Builder("net")
    return _last(g, g.op("Softmax", g.input("x", (b, h)), axis=-1))


def _last(g: Builder, out: Tensor) -> OpKey:
    graph = g.build(out)
    return key_of(graph.ops[-1], graph)


KINDS: Mapping[str, tuple[str, Callable[[Row], OpKey | None]]] = {
    "linear": ("linear/{}.csv.gz", linear),
    "bmm": ("bmm/{}.csv.gz", bmm),
    "conv": ("conv/{}.csv.gz", conv),
    "elementwise": ("elem.csv.gz", elementwise),
    "layer norm": ("ln.csv.gz", norm),
    "softmax": ("softmax.csv.gz", softmax),
}


def rows_of(pattern: str, device: str) -> Iterator[Row]:
    """Rows of a device, in a fixed order of chance."""
    path = DATA / "train" / pattern.format(device.replace(" ", "_"))
    if not path.exists():
        return
    with gzip.open(path, "rt") as file:
        found = [row for row in csv.DictReader(file) if row["Device"] == device]
    for at in np.random.default_rng(1).permutation(len(found)).tolist():
        yield found[at]


def judged(kind: str, name: str, device: Device) -> list[tuple[bool, float]]:
    """Whether each row lies within the bounds, and the estimate over the measured time."""
    pattern, made = KINDS[kind]
    found: list[tuple[bool, float]] = []
    model = Roofline()
    for row in rows_of(pattern, name):
        key = made(row)
        (answer,) = model.estimate([key], device) if key is not None else (None,)
        if answer is None or answer.low < LAUNCH_S / 2:
            continue
        seconds = 1e-3 * float(row["Latency"])
        found.append((answer.low <= seconds <= answer.high, answer.seconds / seconds))
        if len(found) == EACH:
            break
    return found


def main() -> None:
    """All kinds on all devices."""
    if not DATA.exists():
        print(f"no rows of NeuSight: {DATA} is not there (LYDITE_REFERENCE_DATA)")
        return
    figures: list[Figure] = []
    for kind in KINDS:
        found = [
            one for name, ours in DEVICES.items() for one in judged(kind, name, find_device(ours))
        ]
        ratios = np.array([ratio for _, ratio in found])
        at = {
            "rows": len(found),
            "median_ratio": float(np.median(ratios)),
            "median_error": float(np.median(np.abs(ratios - 1))),
            "devices": list(DEVICES),
        }
        inside = float(np.mean([one for one, _ in found]))
        what = f"{kind}, float32, three GPUs: within the bounds of the data sheet alone"
        figures.append(Figure(what, inside, "share", 0.9, "higher", at))
    publish("bounds", figures)


if __name__ == "__main__":
    main()
