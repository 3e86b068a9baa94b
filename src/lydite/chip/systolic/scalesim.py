"""SCALE-Sim's files: a configuration (`.cfg`) and a topology (`.csv`), as 3.0.0 reads them.

Whatever a configuration says is honoured, ignored with a note that names it, or refused. A word is
a byte there, and a kB 1,024 of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lydite.chip.systolic.array import DATAFLOWS, Array, Product
from lydite.chip.systolic.products import Window, unfolded
from lydite.chip.systolic.stalls import Memory
from lydite.chip.systolic.traffic import Buffers
from lydite.errors import InputError, unknown_name


@dataclass(frozen=True, slots=True)
class Settings:
    """A configuration.

    Attributes:
        name: of the run.
        array: whose folds do not overlap.
        buffers: SRAM sizes.
        memory: SRAMs and ports where bandwidth is limited (USER); None where it is not (CALC).
        notes: what was ignored, by name, and why.
    """

    name: str
    array: Array
    buffers: Buffers
    memory: Memory | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """A row of a topology.

    Attributes:
        name: as it stands there.
        window: the convolution, without padding; its last windows may stick out of the picture.
        filters: their number.
        count: how many such layers, one after the other: a row whose name holds "DP" is one for
            each of its channels.
    """

    name: str
    window: Window
    filters: int
    count: int = 1

    @property
    def product(self) -> Product:
        """The same as a matrix product."""
        (out_y, out_x), (high, wide) = self.window.ofmap, self.window.kernel
        window = high * wide * self.window.channels
        return Product(out_y * out_x, window, self.filters, self.count)

    @property
    def ifmap(self) -> np.ndarray:
        """Addresses of the unfolded ifmap, int32 [m, k]."""
        return unfolded(self.window)


_NO_ADDRESSES = "operands have ports of their own, so that their addresses do not meet"
_RAMULATOR = "it takes part with Ramulator's traces only"
_CUSTOM = "banks take part with a custom layout only"
_DENSE = "weights are dense"
_IGNORED: Mapping[str, Mapping[str, str]] = {
    "architecture_presets": {
        "ifmapoffset": _NO_ADDRESSES, "filteroffset": _NO_ADDRESSES, "ofmapoffset": _NO_ADDRESSES,
        "memorybanks": "SCALE-Sim does not read it",
        "readrequestbuffer": _RAMULATOR, "writerequestbuffer": _RAMULATOR,
    },
    "layout": {
        "ifmapsrambanknum": _CUSTOM, "ifmapsrambankport": _CUSTOM, "filtersrambanknum": _CUSTOM,
        "filtersrambankport": _CUSTOM,
    },
    "sparsity": {
        "sparserep": _DENSE, "optimizedmapping": _DENSE, "blocksize": _DENSE,
        "randomnumbergeneratorseed": _DENSE,
    },
    "network_presets": {"topologycsvloc": "the topology is read by itself"},
}  # fmt: skip
_HONOURED: Mapping[str, tuple[str, ...]] = {
    "general": ("run_name",),
    "architecture_presets": (
        "arrayheight", "arraywidth", "ifmapsramszkb", "filtersramszkb", "ofmapsramszkb",
        "bandwidth", "dataflow",
    ),
    "layout": (
        "ifmapcustomlayout", "filtercustomlayout", "ifmapsrambankbandwidth",
        "filtersrambankbandwidth",
    ),
    "sparsity": ("sparsitysupport",),
    "run_presets": ("interfacebandwidth", "useramulatortrace"),
    "network_presets": (),
}  # fmt: skip
_REFUSED = {
    ("layout", "ifmapcustomlayout"): "custom layouts are not simulated",
    ("layout", "filtercustomlayout"): "custom layouts are not simulated",
    ("sparsity", "sparsitysupport"): "sparse weights are not simulated",
    ("run_presets", "useramulatortrace"): "Ramulator's traces are not simulated",
}


class _Fields:
    """The fields of a file: (section, field) to its spelling, value and line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[tuple[str, str], tuple[str, str, int]] = {}
        section = ""
        for number, line in enumerate(_lines(path), start=1):
            text = line.strip()
            if not text or text[0] in "#;":
                continue
            if text[0] == "[" and text[-1] == "]":
                section = text[1:-1].strip()
                if section not in _HONOURED:
                    raise _at(path, number, unknown_name("section", section, _HONOURED))
                continue
            self._add(section, text, number)

    def _add(self, section: str, text: str, number: int) -> None:
        cut = min((text.find(mark) for mark in ":=" if mark in text), default=-1)
        if not section or cut < 1:
            raise InputError(
                f"'{text}' is not a field", where=f"{self.path}:{number}",
                allowed="'name: value' under a [section]",
            )  # fmt: skip
        name, value = text[:cut].strip(), text[cut + 1 :].strip()
        known = (*_HONOURED[section], *_IGNORED.get(section, {}))
        if name.lower() not in known:
            raise _at(self.path, number, unknown_name(f"field of [{section}]", name, known))
        if (section, name.lower()) in self.found:
            raise InputError(f"'{name}' stands twice", where=f"{self.path}:{number}")
        self.found[section, name.lower()] = (name, value, number)

    def text(self, section: str, name: str) -> str:
        if (section, name) not in self.found:
            raise InputError(f"[{section}] has no '{name}'", where=str(self.path))
        return self.found[section, name][1]

    def choice(self, section: str, name: str, allowed: tuple[str, ...]) -> str:
        value = self.text(section, name)
        if value not in allowed:
            raise _at(self.path, self.found[section, name][2], unknown_name(name, value, allowed))
        return value

    def whole(self, section: str, name: str) -> int:
        # SCALE-Sim takes the first of several bandwidths
        text = self.text(section, name).partition(",")[0]
        return _whole(text, name, self.path, self.found[section, name][2])


def read_config(path: Path) -> Settings:
    """Read a configuration.

    The port of the ofmap has `Bandwidth` words per cycle, those of ifmap and filter have their
    `SRAMBankBandwidth` of [layout], odd as it is.

    Raises:
        InputError: not there, not such a file, a field that is missing, unknown, twice there or out
            of range, or one that asks for what is not simulated; with file and line.
    """
    fields = _Fields(path)
    for (section, name), why in _REFUSED.items():
        spelling, value, number = fields.found.get((section, name), (name, "false", 0))
        if value.lower() != "false":
            raise InputError(
                f"{spelling} is {value}: {why}", where=f"{path}:{number}", allowed="false"
            )
    presets = "architecture_presets"
    array = Array(
        fields.whole(presets, "arrayheight"),
        fields.whole(presets, "arraywidth"),
        fields.choice(presets, "dataflow", DATAFLOWS),
    )
    sizes = [1024 * fields.whole(presets, f"{x}sramszkb") for x in ("ifmap", "filter", "ofmap")]
    limited = fields.choice("run_presets", "interfacebandwidth", ("USER", "CALC")) == "USER"
    return Settings(
        fields.text("general", "run_name"),
        array,
        Buffers(*sizes, element_bytes=1, partial_sum_bytes=1),
        _memory(fields, sizes) if limited else None,
        tuple(_notes(fields, limited)),
    )


def _memory(fields: _Fields, sizes: list[int]) -> Memory:
    ifmap, filters, ofmap = sizes
    return Memory(
        ifmap,
        filters,
        ofmap,
        fields.whole("layout", "ifmapsrambankbandwidth"),
        fields.whole("layout", "filtersrambankbandwidth"),
        fields.whole("architecture_presets", "bandwidth"),
    )


def _notes(fields: _Fields, limited: bool) -> list[str]:
    unlimited = "" if limited else "InterfaceBandwidth is CALC: nothing waits for memory"
    found: list[str] = []
    for (section, name), (spelling, value, _) in fields.found.items():
        why = _IGNORED.get(section, {}).get(name, unlimited if "bandwidth" in name else "")
        if name == "bandwidth" and "," in value and limited:
            why = "all but the first"
        if why and name != "interfacebandwidth":
            found.append(f"[{section}] {spelling} is ignored: {why}")
    return found


def read_topology(path: Path) -> list[Layer]:
    """Read a topology: its first line is a heading, each other a layer.

    Two forms, told apart by their number of fields: a convolution (name, ifmap height and width,
    filter height and width, channels, filters, stride) and a matrix product (name, M, N, K); after
    either perhaps the sparsity, which must be dense, as "1:1".

    Raises:
        InputError: not there, or a row that is no layer; with file and line.
    """
    layers: list[Layer] = []
    for number, line in enumerate(_lines(path)[1:], start=2):
        fields = [field.strip() for field in line.split(",")]
        while fields and not fields[-1]:
            fields.pop()
        if not fields:
            continue
        forms = {4: _matrices, 5: _matrices, 8: _convolution, 9: _convolution}
        if len(fields) not in forms:
            raise InputError(
                f"a layer of {len(fields)} fields", where=f"{path}:{number}",
                allowed="name, 7 sizes and perhaps a sparsity; or name, M, N, K and perhaps one",
            )  # fmt: skip
        if len(fields) in (5, 9):
            _dense(fields.pop(), f"{path}:{number}")
        sizes = [_whole(field, "a size", path, number) for field in fields[1:]]
        layers.append(forms[len(fields)](fields[0], sizes, f"{path}:{number}"))
    if not layers:
        raise InputError("no layers", where=str(path), allowed="a heading, then a layer a line")
    return layers


def _convolution(name: str, sizes: list[int], where: str) -> Layer:
    height, width, high, wide, channels, filters, stride = sizes
    if high > height or wide > width:
        raise InputError(f"a filter of {high}x{wide} on {height}x{width}", where=where)
    ofmap = (-(-(height - high + stride) // stride), -(-(width - wide + stride) // stride))
    alone = "DP" in name
    window = Window(
        (height, width), 1 if alone else channels, (high, wide), (stride, stride), ofmap
    )
    return Layer(name, window, filters, channels if alone else 1)


def _matrices(name: str, sizes: list[int], where: str) -> Layer:
    del where
    m, n, k = sizes
    return Layer(name, Window((m, k), 1, (1, k), (1, 1), (m, 1)), n)


def _dense(text: str, where: str) -> None:
    kept, colon, of = text.partition(":")
    if not colon or kept.strip() != of.strip():
        raise InputError(f"sparsity {text} is not simulated", where=where, allowed="1:1 (dense)")


def _whole(text: str, what: str, path: Path, number: int) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise InputError(
            f"{what} is '{text}'", where=f"{path}:{number}", allowed="a whole number from 1"
        )
    return int(text)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror or error}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise InputError("not a text file", where=str(path)) from error


def _at(path: Path, number: int, error: InputError) -> InputError:
    return InputError(error.what, where=f"{path}:{number}", allowed=error.allowed, hint=error.hint)
