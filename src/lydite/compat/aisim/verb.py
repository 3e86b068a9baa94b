"""`aisim`: an AISim benchmark folder as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import TypedDict

from lydite.errors import InputError
from lydite.exhibits import Curve, Exhibit
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api import Session
    from lydite.compat.aisim import Report


class AisimDocument(TypedDict):
    """Coverage of the databases, steps by environment and model, accuracy."""

    coverage: dict[str, list[dict[str, Any]]]
    steps: list[dict[str, Any]]
    average_loss: float | None
    accuracy: dict[str, Any]
    assumed: dict[str, float]
    notes: list[str]
    refused: list[str]
    source: str


@dataclass(frozen=True, eq=False, repr=False)
class AisimResult(Result):
    """What an AISim benchmark says.

    Attributes:
        report: coverage, steps and accuracy.
    """

    verb = "aisim"
    deprecated: ClassVar[Mapping[str, str]] = {"kind": "source"}
    exhibits = (
        Exhibit(
            "Steps, simulated and measured",
            "/steps",
            {
                "model": "model",
                "environment": "environment",
                "gpus": "GPUs",
                "baseline_s": "measured",
                "predicted_s": "simulated",
                "error": "error",
                "is_lower_bound": "lower bound",
                "not_compared": "not compared, since",
            },
            curve=Curve("baseline_s", {"predicted_s": "points"}, log="xy"),
        ),
        *(
            Exhibit(
                f"Measured share of the graphs of {name}",
                f"/coverage/{place}",
                {
                    "model": "model",
                    "node_coverage": "of nodes",
                    "op_coverage": "of types",
                    "time_coverage": "of time",
                    "nodes": "nodes",
                },
            )
            for place, name in (("single_gpu", "one GPU"), ("multi_gpu", "several GPUs"))
        ),
    )

    report: Report

    def document(self) -> AisimDocument:
        """All of it."""
        found: Any = self.report.to_json()
        found["source"] = found.pop("kind")
        return found

    def summary(self) -> str:
        """Tables of coverage, steps and accuracy."""
        from lydite.compat.aisim.text import aisim_text

        return aisim_text(self.report)

    def headline(self) -> str:
        """How many steps and models."""
        models = {cell.model for cell in self.report.cells} or {c.model for c in self.report.single}
        return f"AISim benchmark: {len(self.report.cells)} steps of {len(models)} models"

    def advice(self) -> Sequence[str]:
        """What was assumed, where steps were simulated."""
        if not self.report.cells:
            return ()
        assumed = self.report.execution
        return (
            f"assumed: a launch takes {assumed.launch_s * 1e6:g} us; while both run, "
            f"computation takes {assumed.compute_slowdown:g} times as long and an exchange "
            f"{assumed.exchange_slowdown:g} times",
        )

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per step."""
        return [cell.to_json() for cell in self.report.cells]


def aisim(
    session: Session,
    config: Path | str,
    models: Sequence[str] = (),
    *,
    coverage: bool = True,
    accuracy: bool = True,
    nccl_logs: Path | str | None = None,
    database: Path | str | None = None,
    launch: str = "4 us",
    compute_slowdown: float = 1.3,
    exchange_slowdown: float = 2.2,
) -> AisimResult:
    """Run an AISim benchmark folder: coverage of its databases, step times, accuracy.

    Args:
        session: not used.
        config: AISim's config.yaml, or a folder with or without one.
        models: only these; all without any.
        coverage: whether the coverage of the databases is told.
        accuracy: whether steps are simulated and compared.
        nccl_logs: folder of nccl-tests' logs, in place of the configuration's.
        database: one database of a GPU type for all models, in place of the models' own.
        launch: time that the host takes to launch a node (assumed).
        compute_slowdown: by how much kernels slow down while gradients are exchanged (assumed).
        exchange_slowdown: by how much exchanges slow down while kernels run (assumed).

    Raises:
        InputError: a bad folder, an unknown model, or nothing to do.
    """
    from lydite.compat.aisim import Execution, read_benchmark, run_benchmark
    from lydite.units import parse_quantity

    del session
    if not (coverage or accuracy):
        raise InputError("nothing is left to do", where="--skip-coverage --skip-accuracy")
    assumed = Execution(
        parse_quantity(launch, "s", where="--launch"), compute_slowdown, exchange_slowdown
    )
    return AisimResult(
        run_benchmark(
            read_benchmark(Path(config), database),
            list(models),
            coverage=coverage,
            accuracy=accuracy,
            nccl_logs=None if nccl_logs is None else Path(nccl_logs),
            execution=assumed,
        )
    )
