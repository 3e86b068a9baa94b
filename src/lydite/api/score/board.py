"""`score_board`: published results as a board, with our estimates beside them, marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NotRequired, cast

import numpy as np
from typing_extensions import TypedDict

from lydite.errors import LyditeError, unknown_name
from lydite.exhibits import Exhibit
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.hardware import Device

_KNOWN: Mapping[str, str] = {
    "llama3.1-8b": "llama3-8b",
    "llama3.1-8b-edge": "llama3-8b",
    "llama2-70b-99": "llama2-70b",
    "llama2-70b-99.9": "llama2-70b",
}
"""Our models of benchmarks of language models."""
_IMAGES = {"resnet": "resnet50", "bert-99": "bert-large-squad", "bert-99.9": "bert-large-squad"}
_BATCH = 64
_SAMPLES = 4096
"""Samples that are played for an estimate."""


class BoardDocument(TypedDict):
    """Published results; `cards` and `inconsistent` are of the cards' board only."""

    board: str
    source: str
    rows: list[dict[str, Any]]
    models: NotRequired[list[str]]
    cards: NotRequired[list[dict[str, Any]]]
    inconsistent: NotRequired[list[dict[str, Any]]]


@dataclass(frozen=True, eq=False, repr=False)
class Board(Result):
    """A board of published results.

    Attributes:
        board: The document: source, rows, and estimates where there are any.
    """

    verb = "score-board"
    exhibits = (
        Exhibit(
            "Cards",
            "/cards",
            {
                "card": "card",
                "device": "device",
                "models": "models",
                "printed_latency": "score, as printed",
                "recomputed_latency": "score, recomputed",
                "geometric_latency": "geometric mean",
                "printed_energy": "energy score, as printed",
                "recomputed_energy": "energy score, recomputed",
            },
        ),
        Exhibit(
            "Scores by model, as printed",
            "/rows",
            {"model": "model"},
            across="card",
            value="printed.latency",
        ),
        Exhibit(
            "Energy scores by model, as printed",
            "/rows",
            {"model": "model"},
            across="card",
            value="printed.energy",
        ),
        Exhibit(
            "Results",
            "/rows",
            {
                "submitter": "submitter",
                "system": "system",
                "accelerator": "accelerator",
                "model": "model",
                "scenario": "scenario",
                "value": "result",
                "unit": "unit",
                "per_accelerator": "per accelerator",
            },
        ),
    )

    board: BoardDocument

    def document(self) -> BoardDocument:
        """All rows."""
        return self.board

    def summary(self) -> str:
        """The rows as a table, the best first."""
        from lydite.report.text.board import board_text

        return board_text(self.board)

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per published result."""
        return self.board["rows"]


def score_board(session: Session, board: str, *, model: str | None = None) -> Board:
    """Show published results; for MLPerf with our estimates of the same devices, marked.

    Args:
        session: Session whose database may hold measurements of the devices.
        board: "sdu-cards" or "mlperf-v6.0".
        model: Model of the board; None for all.

    Raises:
        InputError: the board or the model is unknown.
    """
    from lydite.score.published import BOARDS, cards, mlperf_results

    if board not in BOARDS:
        raise unknown_name("board", board, BOARDS)
    if board == "mlperf-v6.0":
        found = mlperf_results(model)
        if model is not None:
            _estimate(session, model, found["rows"])
        return Board(cast(BoardDocument, found))
    found = cards()
    if model is not None:
        names = sorted({row["model"] for row in found["rows"]})
        if model not in names:
            raise unknown_name("model", model, names, of=f"of the board '{board}'")
        found = {**found, "rows": [row for row in found["rows"] if row["model"] == model]}
    return Board(cast(BoardDocument, found))


def _estimate(session: Session, model: str, rows: Sequence[dict[str, Any]]) -> None:
    """Give Offline rows an estimate of one accelerator, or the reason why there is none."""
    known: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["scenario"] != "Offline":
            continue
        name = row["accelerator"]
        if name not in known:
            known[name] = _estimated(session, model, name)
        row["estimate"] = known[name]


def _estimated(session: Session, model: str, accelerator: str) -> dict[str, Any]:
    from lydite.hardware import find_device

    try:
        device = find_device(_title(accelerator))
        if model in _KNOWN:
            return _tokens_per_s(session, device, _KNOWN[model], model)
        if model in _IMAGES:
            found = session.predict(_IMAGES[model], on=device.name, batch=_BATCH, dtype="float16")
            return _range(device, _BATCH, found.seconds, found.low_s, found.high_s, "float16")
    except LyditeError as error:
        return {"reason": error.what}
    return {"reason": f"no model of ours stands for {model}"}


def _title(accelerator: str) -> str:
    """The name in the catalog: "NVIDIA H200-SXM-141GB" is written nvidia-h200-sxm-141gb."""
    return accelerator.lower().replace(" ", "-")


def _tokens_per_s(session: Session, device: Device, model: str, benchmark: str) -> dict[str, Any]:
    """Output tokens/s of one accelerator: all samples at once, on the fewest that hold the model.

    The scheduler is vLLM's, in virtual time; step times come from the estimators. The bounds are
    those of a step.
    """
    from dataclasses import replace

    from lydite.api.serving.whole import replicas_of, usual_deployment
    from lydite.mlperf.served import lengths_of
    from lydite.serving import made, simulate_serving

    prompt, output, _ = lengths_of(benchmark, _SAMPLES, session.seed)
    deployer, part = usual_deployment(session, model, device.name, prompt, output)
    (replica,) = replicas_of(deployer, part)
    requests = made(np.zeros(len(prompt)), prompt, output)
    times = replica.times

    def seconds(factor: float) -> float:
        scaled = replace(replica, times=times.scaled(factor))
        return simulate_serving(requests, [scaled]).end_s * part.devices

    how = f"{deployer.dtype}, vllm's scheduler, tp{part.tp}"
    ends = seconds(1.0), seconds(times.low), seconds(times.high)
    return _range(device, float(output.sum()), *ends, how)


def _range(
    device: Device, units: float, seconds: float, low: float, high: float, how: str
) -> dict[str, Any]:
    return {
        "per_accelerator": units / seconds,
        "low": units / high,
        "high": units / low,
        "device": device.name,
        "how": how,
        "source": "estimated",
    }
