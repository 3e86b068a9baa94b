"""Vidur's profiles (github.com/microsoft/vidur, MIT): layers of Sarathi-Serve in float16, and NCCL.

`compute/<device>/<model>/mlp.csv` (also .csv.gz), and `network/<box>/{all_reduce,send_recv}.csv`
with sizes in bytes; medians in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lydite.errors import InputError
from lydite.store.foreign import forms
from lydite.store.foreign.forms import Pattern, named
from lydite.store.foreign.layers import BY, PARTS, SIZES, column, layers
from lydite.store.foreign.load import Found, Layout, Skipped, Source
from lydite.store.foreign.tables import Table, read_table
from lydite.store.records import Software

ORIGIN = "vidur"
DEVICES = {
    "a100": "nvidia-a100-sxm4-80gb",
    "a40": "nvidia-a40",
    "h100": "nvidia-h100-sxm5-80gb",
}
"""Name in the catalog by name of the folder, and by the first word of a box's."""
BACKEND = "sarathi"
_DTYPE = "float16"
_KINDS = {"all_reduce": "AllReduce", "send_recv": "Send"}

Parts = Iterator[Found | Skipped]


def sources(folder: Path) -> tuple[list[Source], dict[str, int]]:
    """The tables of a folder, and the number of files by reason why they are not read.

    Raises:
        InputError: the folder holds no such table.
    """
    found: list[Source] = []
    ignored: dict[str, int] = {}
    for path in sorted(folder.rglob("*.csv*")):
        parts, name = path.relative_to(folder).parts, path.name.partition(".")[0]
        compute = "compute" in parts[:-2] and name == "mlp"
        network = "network" in parts[:-1] and name in _KINDS
        at = (
            parts[parts.index("compute" if compute else "network") + 1]
            if compute or network
            else ""
        )
        device = DEVICES.get(at.partition("_")[0])
        if device is None:
            reason = f"{name}: no operator describes it" if not at else f"unknown device '{at}'"
            ignored[reason] = ignored.get(reason, 0) + 1
        elif compute:
            found.append(_source(name, device, Software(BACKEND), path))
        else:
            # Boxes of one device differ in their links, and so in the times of collectives.
            found.append(_source(name, device, Software(BACKEND, {"box": at}), path))
    if not found:
        raise InputError(
            "holds no table of Vidur",
            where=str(folder),
            allowed="compute/<device>/<model>/mlp.csv and network/<box>/all_reduce.csv",
        )
    return found, ignored


def _source(name: str, device: str, software: Software, path: Path) -> Source:
    def read() -> tuple[Table, Parts]:
        if name in _KINDS:
            numbers = ("num_workers", "size", "devices_per_node", column(name))
            table = read_table(path, numbers, ("collective",))
            return table, _collectives(table, name)
        table = read_table(
            path,
            (*SIZES, *BY),
            ("use_gated_mlp",),
            more_numbers=[column(part) for part in PARTS],
        )
        return table, layers(table, _DTYPE, heads_known=True)

    return Source(name, device, ORIGIN, [(software, read)])


def _collectives(table: Table, name: str) -> Parts:
    ranks, inside = table["num_workers"], table["num_workers"] <= table["devices_per_node"]
    if not inside.all():
        yield Skipped("a collective across hosts, whose network is not said", int((~inside).sum()))
    key = forms.collective(_KINDS[name], _DTYPE, *named("ranks", "elements"))
    sizes = {"ranks": ranks[inside], "elements": np.floor(table["size"][inside] / 2)}
    yield Found(Pattern(key), sizes, table[column(name)][inside])


VIDUR = Layout(sources)
