"""Options of `score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typing_extensions import TypedDict

from lydite.api.options import Help, Options
from lydite.records import dataclass

POLICIES = ("wait", "refuse", "warn")
INPUTS = ("resident", "copied")


@dataclass(frozen=True)
class ScoreOptions(Options):
    """What is run, on what, and for how long.

    Attributes:
        models: Names of models, separated by commas; "" for the whole set.
        size: Shipped set of models: "full" or "small".
        set: File of a set of one's own, instead of a shipped one.
        precision: Precisions, separated by commas; "" for each model's own of the set.
        batch: Batch sizes, separated by commas; only batch 1 is scored.
        minimum_time: Minimum seconds to measure each model; None for the set's.
        iterations: Minimum number of iterations of a model; None for the set's.
        few_iterations: The same for models of many calls; None for the set's.
        rounds: Number of turns that a model's time is spread over.
        backend: Backend that runs the models.
        device: Device of the backend: "cpu" or "cuda".
        threads: Number of threads; None for all physical cores.
        inputs: "resident" on the device, or "copied" there and back in every run.
        questions: File of questions for the language model, one a line.
        baseline: Shipped baseline or saved result that scores 1000; None for the set's.
        price: Price of the device in US dollars.
        interval: Seconds between two readings of the sensors.
        if_busy: What to do where others use the device: "wait", "refuse" or "warn".
        check: Whether answers are compared with float32 before timing.
    """

    models: Annotated[
        str, Help("Models of the set, separated by commas; default: the whole set.")
    ] = ""
    size: Annotated[str, Help("Set of models: full, or small for a laptop; default: full.")] = (
        "full"
    )
    set: Annotated[
        Path | None, Help("YAML file of a set of your own, instead of a shipped one.")
    ] = None
    precision: Annotated[
        str,
        Help(
            "Precisions, separated by commas: fp32, tf32, fp16, bf16, int8, int4; default: each "
            "model's own of the set.",
        ),
    ] = ""
    batch: Annotated[
        str, Help("Batch sizes, separated by commas; only batch 1 is scored; default: 1.")
    ] = "1"
    minimum_time: Annotated[
        float | None,
        Help(
            "Minimum seconds to measure each model; default: the set's (full 150, small 12).",
            min=0.01,
            aliases=("--minimum_time",),
            unit="s",
        ),
    ] = None
    iterations: Annotated[
        int | None,
        Help(
            "Minimum number of iterations of each model; default: the set's.",
            min=1,
            aliases=("--many-iterations", "--many_iterations"),
        ),
    ] = None
    few_iterations: Annotated[
        int | None,
        Help(
            "Minimum number of iterations of models of many calls (language, diffusion); "
            "default: the set's.",
            min=1,
            aliases=("--few_iterations",),
        ),
    ] = None
    rounds: Annotated[
        int, Help("Number of turns that a model's time is spread over; default: 8.", min=2)
    ] = 8
    backend: Annotated[str, Help("Backend that runs the models: onnxruntime or torch.")] = (
        "onnxruntime"
    )
    device: Annotated[str, Help("Device of the backend: cpu or cuda; default: cpu.")] = "cpu"
    threads: Annotated[
        int | None, Help("Number of threads; default: all physical cores.", min=1)
    ] = None
    inputs: Annotated[
        str,
        Help(
            "Place of the inputs: resident on the device, or copied there and back in every run; "
            "default: resident."
        ),
    ] = "resident"
    questions: Annotated[
        Path | None,
        Help("File of questions for the language model, one a line; default: twelve of our own."),
    ] = None
    baseline: Annotated[
        str | None,
        Help(
            "What scores 1000: rtx-2080-ti, rtx-2080-ti-image, or a saved result.json; "
            "default: the set's (full: rtx-2080-ti; small: none)."
        ),
    ] = None
    price: Annotated[
        float | None,
        Help("Price of the device in US dollars, for scores per dollar.", min=0.01, unit="USD"),
    ] = None
    interval: Annotated[
        float,
        Help(
            "Seconds between two readings of the sensors; default: 0.1.",
            min=0.01,
            max=60,
            aliases=("--device-monitor-interval", "--device_monitor_interval"),
            unit="s",
        ),
    ] = 0.1
    if_busy: Annotated[
        str,
        Help(
            "What to do where others use the device: wait (60 s, then refuse), refuse, or warn; "
            "default: wait."
        ),
    ] = "wait"
    check: Annotated[
        bool,
        Help(
            "Compare answers with float32 before timing; default: yes.", flag="--check/--no-check"
        ),
    ] = True


class ScoreKeywords(TypedDict, total=False):
    """The fields of `ScoreOptions` as keyword arguments."""

    models: str
    size: str
    set: Path | None
    precision: str
    batch: str
    minimum_time: float | None
    iterations: int | None
    few_iterations: int | None
    rounds: int
    backend: str
    device: str
    threads: int | None
    inputs: str
    questions: Path | None
    baseline: str | None
    price: float | None
    interval: float
    if_busy: str
    check: bool
