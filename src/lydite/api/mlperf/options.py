"""Options of MLPerf runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from lydite.api.options import Help, Options
from lydite.records import dataclass


@dataclass(frozen=True)
class RunOptions(Options):
    """Settings of a run; None leaves a setting to the layers below (see `mlperf explain`).

    Attributes:
        round: Round of MLPerf Inference.
        target_qps: Queries per second to issue in Server.
        expected_qps: Samples per second to expect in Offline.
        expected_latency: Latency to expect in SingleStream and MultiStream, in milliseconds.
        min_duration: Minimum duration in seconds.
        min_queries: Minimum number of queries.
        fast: Whether to run for 60 s only, with one query at least in Offline and MultiStream.
        batch_size: Most samples in a batch.
        batch_delay: How long the oldest sample may wait for a batch to fill, in microseconds.
        workers: Number of batches that run at once.
        threads: Number of threads per worker.
        precision: Precision of the engine: fp32, fp16, bf16 or int8.
        backend: Backend that runs the engine.
        device: GPUs by index or UUID, or "cpu", separated by commas, each with all workers; ""
            for the one device that the verb names.
        samples: Samples of the data set that performance runs use.
        latency_limit: Limit of the latency in Server, in milliseconds.
        ttft_limit: Limit of the time to the first token in Server, in milliseconds.
        tpot_limit: Limit of the time per output token in Server, in milliseconds.
        data: Folder of the prepared data set; None draws samples. With an adapter, the folder that
            it reads.
        adapter: Benchmark of the user's own, as "package.module:NAME".
        calibration: Calibration table of an int8 engine; None for the model's last one.
        built_only: Whether an engine that is not in the cache is an error.
        config_ver: Versions of the configuration: "default", "high_accuracy" (99.9 %) and others.
        user_conf: A user.conf.
        config: A config.json of the Sinian harness.
        system: Name of the system, as in that file.
    """

    round: Annotated[str, Help("Round of MLPerf Inference.")] = "v6.1"
    target_qps: Annotated[
        float | None, Help("Queries per second to issue in Server.", min=1e-6, unit="/s")
    ] = None
    expected_qps: Annotated[
        float | None,
        Help("Samples per second to expect in Offline; default: a pilot.", min=1e-6, unit="/s"),
    ] = None
    expected_latency: Annotated[
        float | None,
        Help(
            "Latency to expect in SingleStream and MultiStream, in milliseconds; default: a pilot.",
            min=1e-6,
            unit="ms",
        ),
    ] = None
    min_duration: Annotated[
        float | None,
        Help("Minimum duration in seconds; default: the round's, 600.", min=0, unit="s"),
    ] = None
    min_queries: Annotated[
        int | None, Help("Minimum number of queries; default: the round's.", min=1)
    ] = None
    fast: Annotated[bool, Help("Run for 60 s only; not valid for a submission.")] = False
    batch_size: Annotated[int | None, Help("Most samples in a batch; default: 1.", min=1)] = None
    batch_delay: Annotated[
        float | None,
        Help(
            "Microseconds that the oldest sample waits for a batch to fill; default: 0.",
            min=0,
            unit="us",
        ),
    ] = None
    workers: Annotated[
        int | None, Help("Number of batches that run at once; default: 1.", min=1)
    ] = None
    threads: Annotated[int | None, Help("Number of threads per worker; default: 1.", min=1)] = None
    precision: Annotated[
        str | None, Help("Precision of the engine: fp32, fp16, bf16 or int8; default: fp32.")
    ] = None
    backend: Annotated[str | None, Help("Backend that runs the engine; default: onnxruntime.")] = (
        None
    )
    device: Annotated[
        str,
        Help(
            "GPUs by index or UUID, or cpu, separated by commas, each with all workers; default: "
            "the device of --on.",
        ),
    ] = ""
    samples: Annotated[
        int | None, Help("Samples that performance runs use; default: the round's.", min=1)
    ] = None
    latency_limit: Annotated[
        float | None, Help("Limit of the latency in Server, in milliseconds.", min=1e-6, unit="ms")
    ] = None
    ttft_limit: Annotated[
        float | None,
        Help(
            "Limit of the time to the first token in Server, in milliseconds.", min=1e-6, unit="ms"
        ),
    ] = None
    tpot_limit: Annotated[
        float | None,
        Help("Limit of the time per output token in Server, in milliseconds.", min=1e-6, unit="ms"),
    ] = None
    data: Annotated[
        Path | None, Help("Folder of the prepared data set; default: samples are drawn.")
    ] = None
    adapter: Annotated[
        str, Help("Benchmark of your own: package.module:NAME of an Adapter; default: none.")
    ] = ""
    calibration: Annotated[
        Path | None,
        Help("Calibration table of an int8 engine; default: the last of `mlperf calibrate`."),
    ] = None
    dim: Annotated[
        tuple[str, ...],
        Help("Size of a symbolic dimension in a model file, as NAME=SIZE (repeatable)."),
    ] = ()
    built_only: Annotated[bool, Help("Refuse to run an engine that is not built yet.")] = False
    config_ver: Annotated[
        str,
        Help(
            "Version of the configuration: default, high_accuracy (99.9 %), ...",
            aliases=("--config_ver",),
        ),
    ] = "default"
    user_conf: Annotated[Path | None, Help("A user.conf, read strictly.")] = None
    config: Annotated[Path | None, Help("A config.json of the Sinian harness.")] = None
    system: Annotated[str, Help("Name of the system in that file.")] = ""

    def given(self) -> dict[str, object]:
        """What was said on the command line or in Python, as settings."""
        seconds = 60.0 if self.fast and self.min_duration is None else self.min_duration
        return {
            "target_qps": self.target_qps,
            "expected_qps": self.expected_qps,
            "expected_latency_ms": self.expected_latency,
            "min_duration_ms": None if seconds is None else round(seconds * 1000),
            "min_queries": self.min_queries,
            "min_samples": 1 if self.fast else None,
            "batch_size": self.batch_size,
            "batch_delay_us": self.batch_delay,
            "workers": self.workers,
            "threads": self.threads,
            "precision": self.precision,
            "backend": self.backend,
            "samples": self.samples,
            "latency_limit_ms": self.latency_limit,
            "ttft_limit_ms": self.ttft_limit,
            "tpot_limit_ms": self.tpot_limit,
        }


@dataclass(frozen=True)
class CalibrateOptions(Options):
    """How an int8 engine is calibrated.

    Attributes:
        calibration_list: File that names the calibration samples, one a line.
        calibration_samples: Number of calibration samples where no list is given: the first ones.
        method: "minmax", "entropy" or "percentile".
        per_channel: Whether each channel of a weight has a scale of its own.
        operators: Operator types to quantise, separated by commas, or "all".
        keep: Names of nodes to keep in fp32, separated by commas.
        gate: Share of the fp32 model's accuracy that the int8 model has to reach.
        search: Whether to look for nodes to keep in fp32 if it does not.
        evaluate: Most samples that the gate is judged on.
    """

    calibration_list: Annotated[
        Path | None,
        Help("File that names the calibration samples, one a line (cal_map.txt)."),
    ] = None
    calibration_samples: Annotated[
        int, Help("Calibration samples where no list is given: the first ones; 100.", min=1)
    ] = 100
    method: Annotated[str, Help("minmax, entropy or percentile; minmax by default.")] = "minmax"
    per_channel: Annotated[
        bool,
        Help(
            "Scale each channel of a weight by itself (default).", flag="--per-channel/--per-tensor"
        ),
    ] = True
    operators: Annotated[
        str, Help("Operator types to quantise, separated by commas, or 'all'.")
    ] = "Conv,MatMul,Gemm"
    keep: Annotated[str, Help("Nodes to keep in fp32, separated by commas; none by default.")] = ""
    gate: Annotated[
        float, Help("Share of fp32's accuracy to reach; 0.99 by default.", min=0, max=1)
    ] = 0.99
    search: Annotated[
        bool,
        Help(
            "Look for nodes to keep in fp32 if the gate fails (default).",
            flag="--search/--no-search",
        ),
    ] = True
    evaluate: Annotated[
        int, Help("Most samples that the gate is judged on; 2000 by default.", min=1)
    ] = 2000


@dataclass(frozen=True)
class TuneOptions(Options):
    """What is tried, each as a list separated by commas.

    Attributes:
        batch_sizes: Most samples in a batch.
        thread_counts: Number of threads per worker.
        worker_counts: Number of batches that run at once.
        batch_delays: Microseconds that the oldest sample waits for a batch to fill.
    """

    batch_sizes: Annotated[str, Help("Batch sizes to try; 1,2,4,8,16 by default.")] = "1,2,4,8,16"
    thread_counts: Annotated[str, Help("Threads per worker to try; 1 by default.")] = "1"
    worker_counts: Annotated[str, Help("Numbers of workers to try; 1 by default.")] = "1"
    batch_delays: Annotated[
        str, Help("Delays to try where batches fill, in microseconds or as 2ms; 0 by default.")
    ] = "0"


@dataclass(frozen=True)
class PreprocessOptions(Options):
    """How images become inputs; size, layout and element type are the model's.

    Attributes:
        map: List of names and labels; None for val_map.txt in the folder, or the folder tree.
        annotations: COCO JSON file with the boxes of the images, of a detection net; whole images
            are then stretched to the input's size, and nothing is cropped.
        resize: Length of the shorter side in pixels before the centre is cropped; None for 8/7 of
            the input's size.
        mean: Mean of the red, green and blue channel, of values between 0 and 1.
        std: Standard deviation of the same.
        count: Number of images that there have to be; None for the benchmark's, or any.
        jobs: Number of processes; None for one a core.
    """

    map: Annotated[
        Path | None,
        Help("List of names and labels; default: val_map.txt there, or one folder a class."),
    ] = None
    annotations: Annotated[
        Path | None,
        Help("COCO JSON file with the boxes of the images; nothing is cropped then."),
    ] = None
    resize: Annotated[
        int | None,
        Help("Shorter side in pixels before cropping; default: 8/7 of the input's size.", min=1),
    ] = None
    mean: Annotated[str, Help("Mean of red, green and blue, of values between 0 and 1.")] = (
        "0.485,0.456,0.406"
    )
    std: Annotated[str, Help("Standard deviation of the same.")] = "0.229,0.224,0.225"
    count: Annotated[
        int | None,
        Help("Number of images that there have to be; default: the benchmark's.", min=1),
    ] = None
    jobs: Annotated[int | None, Help("Number of processes; default: one a core.", min=1)] = None
