"""`sweep`: simulate many designs of a chip, and find the Pareto-optimal ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from typing_extensions import TypedDict

from lydite.api.chip import DesignOptions, designed_options, model_for
from lydite.api.keywords import DesignKeywords
from lydite.api.load import ModelLike
from lydite.api.options import ModelOptions
from lydite.errors import InputError
from lydite.exhibits import Curve, Exhibit
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.hardware.chip import Chip

BEATEN_IN = ("seconds", "energy_j", "area_mm2")


class SweepDocument(TypedDict):
    """Each design with its figures, or the error that prevented it from running."""

    model: str
    chip: str
    dtype: str
    dtype_reason: str
    source: str
    varied: list[str]
    designs: list[dict[str, Any]]


@dataclass(frozen=True, eq=False, repr=False)
class SweepResult(Result):
    """Designs of a chip; `pareto` marks those that none dominates in time, energy and area.

    Attributes:
        facts: The document.
    """

    verb = "sweep"
    exhibits = (
        Exhibit(
            "Designs",
            "/designs",
            {
                "seconds": "time",
                "energy_j": "energy",
                "area_mm2": "area, mm2",
                "utilisation": "utilisation",
                "pareto": "Pareto-optimal",
                "*": "",
            },
            curve=Curve("seconds", {"energy_j": "points"}, front="min-min"),
        ),
    )

    facts: SweepDocument

    def document(self) -> SweepDocument:
        """All designs."""
        return self.facts

    def summary(self) -> str:
        """A table of the Pareto-optimal designs, fastest first."""
        from lydite.report.text.chip import sweep_text

        return sweep_text(dict(self.facts))

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per design."""
        return self.facts["designs"]

    def write_report(self, path: Path | str) -> Path:
        """Write a self-contained HTML page."""
        from lydite.report.sweep import write_sweep_page

        return write_sweep_page(dict(self.facts), Path(path))


def sweep(
    session: Session,
    model: ModelLike,
    *,
    vary: Mapping[str, Sequence[Any]] | Sequence[str],
    tiling: str = "usual",
    array_only: bool = False,
    kept: Path | str | None = None,
    ray: str | None = None,
    options: ModelOptions | None = None,
    design: DesignOptions | Chip | None = None,
    **given: Unpack[DesignKeywords],
) -> SweepResult:
    """Simulate every design of a chip over one network.

    Args:
        session: Session that shows the progress.
        model: Network to simulate; see `load`.
        vary: Values by parameter, or texts such as "pes=4,8,16".
        tiling, array_only: As for `chip`.
        kept: File of finished designs, to which new ones are added, so that an interrupted sweep
            resumes.
        ray: Ray cluster that simulates; see `lydite.pool.open_pool`. By default, all cores of this
            machine do.
        options: Options of the model.
        design: Options of the chip, or a `Chip`.
        given: Fields of `DesignOptions` and `ModelOptions`.

    Raises:
        InputError: there is nothing to vary, a parameter is unknown, no design runs, or the Ray
            cluster cannot be used.
    """
    from lydite.chip.sweep import pareto, parse_vary
    from lydite.chip.sweep import sweep as simulate_all
    from lydite.pool import open_pool

    net, made, threads = designed_options(options, design, given)
    built = model_for(model, net, made)
    if isinstance(vary, Mapping):
        varied = parse_vary([f"{k}={','.join(str(v) for v in vs)}" for k, vs in vary.items()], made)
    else:
        varied = parse_vary(list(vary), made)
    if not varied:
        raise InputError("the sweep has nothing to vary", hint="add --vary pes=4,8,16")
    settings = {"threads": threads, "soc": not array_only, "tiling": tiling}
    file = None if kept is None else Path(kept)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    with open_pool(ray) as pool, session.bar("sweep") as progress:
        rows = simulate_all(
            built.graph, made, varied, settings=settings, kept=file, pool=pool, progress=progress
        )
    if all("error" in row for row in rows):
        raise InputError(f"none of {len(rows)} designs runs: {rows[0]['error']}")
    for row, good in zip(rows, pareto(rows, BEATEN_IN), strict=True):
        row["pareto"] = bool(good)
    return SweepResult(
        {
            "model": built.graph.name,
            "chip": made.name,
            "dtype": built.dtype,
            "dtype_reason": built.dtype_reason,
            "source": "simulated",
            "varied": list(varied),
            "designs": rows,
        }
    )
