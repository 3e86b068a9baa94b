"""The reader of SCALE-Sim's topologies, for the registry of model readers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lydite.errors import InputError
from lydite.graph.formats import ModelReader

if TYPE_CHECKING:
    from lydite.graph import Graph


class _ScaleSim(ModelReader):
    """A topology (`.csv`): layers one after the other, none of which feeds another."""

    title = "SCALE-Sim"
    suffixes = (".csv",)
    listed = False

    def claims(self, path: Path) -> bool:
        """Whether the file is no folder."""
        return path.is_file()

    def read(self, path: Path, params: Path | None, dims: Mapping[str, int]) -> Graph:
        """A convolution or a matrix product for each layer.

        Windows that reach beyond the image are padded on the right and below. Sparsity is not kept.

        Raises:
            InputError: the file is no topology.
        """
        from lydite.compat.scalesim.files import read_topology
        from lydite.graph import Builder

        del params, dims
        g = Builder(path.stem, dtype="float32")
        outputs = []
        for number, layer in enumerate(read_topology(path)):
            if layer.sparsity[0] != layer.sparsity[1]:
                raise InputError(
                    f"{layer.name}: sparse weights",
                    where=str(path),
                    allowed="dense layers",
                    hint="--compat scalesim counts sparse ones",
                )
            window, count = layer.window, layer.count
            (height, width), (high, wide) = window.ifmap, window.kernel
            if window.channels == 1 and high == 1 and wide == width and window.ofmap[1] == 1:
                x = g.input(f"x{number}", (height, width))
                w = g.weight((width, layer.filters), f"w{number}")
                outputs.append(g.op("MatMul", x, w, name=layer.name))
                continue
            x = g.input(f"x{number}", (1, window.channels * count, height, width))
            w = g.weight((layer.filters * count, window.channels, high, wide), f"w{number}")
            beyond = [
                max(0, (out - 1) * step + taps - size)
                for out, step, taps, size in zip(
                    window.ofmap, window.strides, window.kernel, window.ifmap, strict=True
                )
            ]
            attrs = {"strides": list(window.strides), "pads": [0, 0, *beyond], "group": count}
            outputs.append(g.op("Conv", x, w, name=layer.name, **attrs))
        return g.build(*outputs)


SCALESIM = _ScaleSim()
