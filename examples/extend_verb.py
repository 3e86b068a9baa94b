"""A verb that Lydite has never heard of, in one file: a method, a function and a command at once.

A package ships both through entry points instead of `added`:

    [project.entry-points."lydite.verbs"]
    intensity = "my_package:intensity"

    [project.entry-points."lydite.commands"]
    intensity = "my_package:INTENSITY"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import lydite as ly
from lydite.api import COMMANDS, VERBS, Command, Help, Session
from lydite.exhibits import Exhibit
from lydite.results import Result


@dataclass(frozen=True, repr=False)
class Intensity(Result):
    """FLOPs per byte of a model.

    Attributes:
        model: its name.
        flops_per_byte: FLOPs by bytes moved, of all operators.
    """

    verb = "intensity"
    exhibits = (Exhibit("Intensity", "", {"model": "model", "flops_per_byte": "FLOP/B"}),)

    model: str
    flops_per_byte: float

    def document(self) -> Mapping[str, Any]:
        """Both figures."""
        return {"model": self.model, "flops_per_byte": self.flops_per_byte}

    def summary(self) -> str:
        """One line."""
        return f"{self.model}: {self.flops_per_byte:.1f} FLOP/B"

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row."""
        return [self.document()]


def intensity(
    session: Session,
    model: Annotated[str, Help("Name of the model set, or a file.")],
    *,
    batch: Annotated[int, Help("Number of samples; 1 by default.", min=1)] = 1,
) -> Intensity:
    """How much a model computes with each byte that it moves."""
    told = session.inspect(model, batch=batch).to_dict()
    return Intensity(str(model), told["flops"] / (told["read_bytes"] + told["written_bytes"]))


INTENSITY = Command(intensity)


def main() -> None:
    """Call it from Python, then as `lydite intensity resnet50 --batch 8`."""
    with (
        VERBS.added("intensity", f"{__name__}:intensity"),
        COMMANDS.added("intensity", f"{__name__}:INTENSITY"),
    ):
        print(repr(ly.intensity("resnet50", batch=8)))
        from lydite.cli.app import app

        app(["intensity", "resnet50", "--batch", "8"], standalone_mode=False)


if __name__ == "__main__":
    main()
