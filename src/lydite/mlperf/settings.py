"""The settings of a run, each with its value and where it came from.

Later layers win: default, round, model, system, scenario, user file, command line. A row of the
table is a setting; nothing else knows their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

from lydite.errors import InputError, placed, unknown_name
from lydite.mlperf.batching import Batching
from lydite.mlperf.evidence import Limits
from lydite.mlperf.round import SCENARIOS, Benchmark, Round
from lydite.mlperf.schedule import Plan, ScenarioName
from lydite.mlperf.user_conf import Line
from lydite.records import dataclass

LAYERS = ("default", "round", "model", "system", "scenario", "user file", "command line")
"""Where a value may come from, weakest first."""


@dataclass(frozen=True)
class Row:
    """One setting.

    Attributes:
        name: Name.
        kind: Type of the value.
        default: Value where no layer gives one; None for none.
        text: What it is, with its unit.
        sinian: Names in the Sinian harness's config.json.
        conf: Name in user.conf; "" where it has none.
        scale: What a value of another file is multiplied with.
        low: Least value.
    """

    name: str
    kind: type
    default: Any
    text: str
    sinian: tuple[str, ...] = ()
    conf: str = ""
    scale: float = 1.0
    low: float | None = None


ROWS = (
    Row(
        "precision", str, "fp32", "Precision of the engine: fp32, fp16, bf16, int8.", ("precision",)
    ),
    Row("backend", str, "onnxruntime", "Backend that runs the engine."),
    Row("threads", int, 1, "Number of threads per worker.", low=1),
    Row("batch_size", int, 1, "Most samples in a batch.", ("gpu_batch_size", "batch_size"), low=1),
    Row(
        "workers",
        int,
        1,
        "Number of batches that run at once.",
        ("gpu_inference_streams", "instance_group_count"),
        low=1,
    ),
    Row(
        "batch_delay_us",
        float,
        0.0,
        "How long the oldest sample may wait for a batch to fill, in microseconds.",
        ("deque_timeout_us", "deque_timeout_usec", "max_queue_delay_usec"),
        low=0,
    ),
    Row(
        "target_qps",
        float,
        None,
        "Queries per second to issue in Server.",
        ("server_target_qps",),
        low=1e-9,
    ),
    Row(
        "expected_qps",
        float,
        None,
        "Samples per second to expect in Offline; measured by a pilot where nothing is said.",
        ("offline_expected_qps",),
        low=1e-9,
    ),
    Row(
        "expected_latency_ms",
        float,
        None,
        "Latency to expect in SingleStream and MultiStream, in milliseconds; measured by a pilot "
        "where nothing is said.",
        (),
        "target_latency",
        low=1e-9,
    ),
    Row(
        "min_duration_ms",
        int,
        600_000,
        "Minimum duration in milliseconds.",
        ("min_duration",),
        "min_duration",
        low=0,
    ),
    Row(
        "min_queries",
        int,
        100,
        "Minimum number of queries.",
        ("min_query_count",),
        "min_query_count",
        low=1,
    ),
    Row("min_samples", int, 1, "Minimum number of samples in Offline.", low=1),
    Row(
        "samples",
        int,
        None,
        "Samples of the data set that performance runs use.",
        ("performance_sample_count",),
        "performance_sample_count_override",
        low=1,
    ),
    Row("total_samples", int, None, "Samples of the data set.", low=1),
    Row(
        "samples_per_query",
        int,
        8,
        "Samples of a query in MultiStream.",
        (),
        "samples_per_query",
        low=1,
    ),
    Row(
        "percentile",
        float,
        0.99,
        "Percentile of the latency that counts.",
        (),
        "target_latency_percentile",
    ),
    Row(
        "latency_limit_ms",
        float,
        None,
        "Limit of the latency in Server, in milliseconds.",
        (),
        "",
        low=0,
    ),
    Row(
        "ttft_limit_ms",
        float,
        None,
        "Limit of the time to the first token, in milliseconds.",
        (),
        "ttft_latency",
        low=0,
    ),
    Row(
        "tpot_limit_ms",
        float,
        None,
        "Limit of the time per output token, in milliseconds.",
        (),
        "tpot_latency",
        low=0,
    ),
    Row(
        "equal_issue",
        bool,
        False,
        "Whether all samples are issued equally often.",
        (),
        "sample_concatenate_permutation",
    ),
    Row(
        "tokens", bool, False, "Whether the output is counted in tokens.", (), "use_token_latencies"
    ),
)
"""All settings."""

BY_NAME = {row.name: row for row in ROWS}
IGNORED_SINIAN = {
    "active_sms",
    "assume_contiguous",
    "coalesced_tensor",
    "complete_threads",
    "config_ver",
    "cudnn",
    "dla_batch_size",
    "dla_core",
    "gpu_copy_streams",
    "input_dtype",
    "input_format",
    "log_dir",
    "map_path",
    "numa_config",
    "run_infer_on_copy_streams",
    "scenario",
    "benchmark",
    "start_from_device",
    "tensor_path",
    "use_batcher_thread_per_device",
    "use_cuda_thread_per_device",
    "use_deque_limit",
    "use_graphs",
    "use_jemalloc",
    "use_triton",
    "verbose",
    "warmup_duration",
    "workspace_size",
    "model_path",
    "system_id",
    "platform",
}
"""Fields of config.json that say how TensorRT or CUDA work, and have no counterpart here."""


@dataclass(frozen=True)
class Setting:
    """A value and its origin.

    Attributes:
        name: Name of the setting.
        value: Its value; None where nothing was said.
        origin: Layer that it came from.
        source: Where in that layer: file and line, or the round's source.
    """

    name: str
    value: Any
    origin: str
    source: str = ""


@dataclass(frozen=True)
class Settings:
    """All settings of one run, resolved.

    Attributes:
        scenario: Scenario.
        interactive: Whether the limits are those of Interactive.
        values: Settings by name.
        audit: Text of audit.config; "" for none.
        seeds: Seeds of LoadGen by their names, instead of the round's.
    """

    scenario: ScenarioName
    interactive: bool
    values: Mapping[str, Setting]
    audit: str = ""
    seeds: Mapping[str, int] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.values[name].value

    def needed(self, name: str, hint: str) -> Any:
        """A value that the run cannot do without.

        Raises:
            InputError: no layer gives it.
        """
        value = self[name]
        if value is None:
            raise InputError(f"no {name} is given", where=self.scenario, hint=hint)
        return value

    @property
    def batching(self) -> Batching:
        """How samples are gathered."""
        delay_ns = round(self["batch_delay_us"] * 1000)
        return Batching(self.largest_batch, delay_ns, self["workers"])

    @property
    def largest_batch(self) -> int:
        """Most samples that a batch can hold: no more than a query does where one waits."""
        widths = {"SingleStream": 1, "MultiStream": self["samples_per_query"]}
        return min(self["batch_size"], widths.get(self.scenario, self["batch_size"]))

    def plan(self, chosen: Round, qps: float) -> Plan:
        """What decides the schedule, with the rate that is issued or expected."""
        samples = self.needed("samples", "--samples")
        return Plan(
            self.scenario,
            chosen.seeds_of(),
            qps,
            self["min_duration_ms"],
            self["min_queries"],
            samples,
            self["total_samples"] or samples,
            self["samples_per_query"],
            self["min_samples"],
            self["equal_issue"],
        )

    def limits(self) -> Limits:
        """What the run has to meet."""

        def ns(name: str) -> int | None:
            return None if self[name] is None else round(self[name] * 1e6)

        queries = 1 if self.scenario == "Offline" else self["min_queries"]
        return Limits(
            self["min_duration_ms"],
            queries,
            self["percentile"],
            ns("latency_limit_ms"),
            ns("ttft_limit_ms"),
            ns("tpot_limit_ms"),
        )


def resolve(scenario: str, layers: Iterable[tuple[str, str, Mapping[str, Any]]]) -> Settings:
    """Lay the layers over the defaults.

    Args:
        scenario: Scenario; "Interactive" is Server with its own limits.
        layers: Origin, source and values of each layer, weakest first; None says nothing.

    Raises:
        InputError: a name that is no setting, a value of another type or out of range.
    """
    values = {row.name: Setting(row.name, row.default, "default") for row in ROWS}
    for origin, source, given in layers:
        for name, value in given.items():
            if value is not None:
                values[name] = Setting(
                    name, _checked(name, value, source or origin), origin, source
                )
    wanted = "Server" if scenario == "Interactive" else scenario
    base = SCENARIOS[SCENARIOS.index(wanted)]
    return Settings(base, scenario == "Interactive", values)


def _checked(name: str, value: Any, where: str) -> Any:
    row = BY_NAME.get(name)
    if row is None:
        raise placed(unknown_name("setting", name, list(BY_NAME)), where)
    try:
        made = row.kind(value)
    except (TypeError, ValueError):
        raise InputError(
            f"{name} '{value}' is no {row.kind.__name__}", where=where, allowed=row.text
        ) from None
    if row.low is not None and made < row.low:
        raise InputError(
            f"{name} {value} is impossible", where=where, allowed=f"{row.low:g} or more"
        )
    return made


def of_round(chosen: Round, row: Benchmark, scenario: str) -> dict[str, Any]:
    """What a round says about a benchmark in a scenario."""
    base = "Server" if scenario == "Interactive" else scenario
    limit = row.latency_limit(scenario)
    minimum = row.min_duration_ms
    return {
        "min_duration_ms": chosen.min_duration_ms if minimum is None else minimum,
        "min_queries": chosen.min_queries.get(base),
        "min_samples": row.min_samples,
        "percentile": row.percentile.get(base, chosen.percentile.get(base)),
        "samples": (row.samples_interactive if scenario == "Interactive" else 0) or row.samples,
        "total_samples": row.total,
        "equal_issue": row.equal_issue,
        "tokens": row.tokens,
        "latency_limit_ms": limit and limit.value,
        "ttft_limit_ms": limit and limit.ttft,
        "tpot_limit_ms": limit and limit.tpot,
    }


def of_user_file(lines: Mapping[str, Line], scenario: str) -> dict[str, Any]:
    """The lines of a user.conf as settings.

    `target_qps` is issued in Server and expected in Offline; `target_latency` is in milliseconds:
    the limit in Server, the expected latency elsewhere.
    """
    names = {row.conf: row for row in ROWS if row.conf}
    given: dict[str, Any] = {}
    for key, line in lines.items():
        if key == "target_qps":
            given["target_qps" if scenario == "Server" else "expected_qps"] = line.value
        elif key == "target_latency":
            limit = "latency_limit_ms" if scenario == "Server" else "expected_latency_ms"
            given[limit] = line.value
        elif key == "target_latency_percentile":
            given["percentile"] = line.value / 100
        elif key in names:
            row = names[key]
            given[row.name] = line.value * row.scale if row.scale != 1 else line.value
    return given


def of_sinian(fields: Mapping[str, Any], where: str) -> tuple[dict[str, Any], list[str]]:
    """Fields of a config.json as settings, and the fields that have no counterpart.

    Fields have the Sinian harness's names or our own.

    Raises:
        InputError: a field that nobody knows.
    """
    names = {alias: row.name for row in ROWS for alias in (row.name, *row.sinian)}
    given: dict[str, Any] = {}
    left: list[str] = []
    for key, value in fields.items():
        if key == "single_stream_expected_latency_ns":
            given["expected_latency_ms"] = value * 1e-6
        elif key in names:
            given[names[key]] = value
        elif key in IGNORED_SINIAN:
            left.append(key)
        else:
            known = [*names, "single_stream_expected_latency_ns", *IGNORED_SINIAN]
            raise placed(unknown_name("field", key, known), where)
    return given, left
