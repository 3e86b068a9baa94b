"""A strict reader of user.conf, whose faults LoadGen passes over in silence.

A line is `model.scenario.key = value`, where model and scenario may be `*`. LoadGen ignores lines
without spaces round "=", unknown keys, and other models' names; each is an error here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lydite.errors import InputError, placed, unknown_name
from lydite.mlperf.round import SCENARIOS
from lydite.records import dataclass

MOST_BYTES = 1 << 16

KEYS: dict[str, type] = {
    "mode": int,
    "sample_concatenate_permutation": int,
    "performance_sample_count_override": int,
    "min_duration": int,
    "max_duration": int,
    "min_query_count": int,
    "max_query_count": int,
    "target_qps": float,
    "target_latency": float,
    "target_latency_percentile": float,
    "samples_per_query": int,
    "coalesce_queries": int,
    "max_async_queries": int,
    "performance_issue_unique": int,
    "performance_issue_same": int,
    "performance_issue_same_index": int,
    "use_token_latencies": int,
    "infer_token_latencies": int,
    "token_latency_scaling_factor": int,
    "ttft_latency": int,
    "tpot_latency": int,
    "print_timestamps": int,
}
"""Keys that LoadGen honours in a user file, and the type of their values."""

IGNORED = (
    "qsl_rng_seed",
    "sample_index_rng_seed",
    "schedule_rng_seed",
    "accuracy_log_rng_seed",
    "accuracy_log_probability",
    "accuracy_log_sampling_target",
    "test05",
    "test05_qsl_rng_seed",
    "test05_sample_index_rng_seed",
    "test05_schedule_rng_seed",
)
"""Keys that LoadGen honours in the round's file alone."""

_LINE = re.compile(r"^(\S+?)\.(\S+?)\.(\S+)(\s+)=(\s+)(\S+)\s*$")


@dataclass(frozen=True)
class Line:
    """One setting of a user file.

    Attributes:
        number: Number of the line, from 1 on.
        model, scenario: Where it holds; "*" for everywhere.
        key: Name of the setting.
        value: Its value.
    """

    number: int
    model: str
    scenario: str
    key: str
    value: int | float


def parse_user_conf(text: str, where: str, models: Iterable[str]) -> list[Line]:
    """Read the text of a user.conf.

    Args:
        text: Text.
        where: Name of the file, for errors.
        models: Names under which the benchmark's settings may stand.

    Raises:
        InputError: a line that LoadGen would ignore, with its number.
    """
    if len(text) > MOST_BYTES:
        raise InputError(f"has {len(text):,} characters", where=where, allowed=f"{MOST_BYTES:,}")
    names = ("*", *models)
    lines: list[Line] = []
    for number, raw in enumerate(text.splitlines(), start=1):
        content = raw.split("#", 1)[0].rstrip()
        if content.strip():
            lines.append(_line(content.strip(), f"{where}:{number}", number, names))
    return lines


def _line(content: str, where: str, number: int, models: tuple[str, ...]) -> Line:
    match = _LINE.match(content)
    if match is None:
        spaced = re.sub(r"\s*=\s*", " = ", content, count=1)
        if spaced != content and _LINE.match(spaced):
            raise InputError("LoadGen wants spaces round '='", where=where, hint=spaced)
        raise InputError(
            f"'{content}' is no setting", where=where, allowed="model.scenario.key = value"
        )
    # a model's name may hold dots: scenario and key are the last two parts
    model, scenario, key = f"{match[1]}.{match[2]}.{match[3]}".rsplit(".", 2)
    if key in IGNORED:
        raise InputError(
            f"LoadGen ignores '{key}' in a user file; it stands in the round's own",
            where=where,
            hint="delete the line",
        )
    if key not in KEYS:
        raise placed(unknown_name("setting", key, sorted(KEYS)), where)
    if scenario not in ("*", *SCENARIOS):
        raise placed(unknown_name("scenario", scenario, [*SCENARIOS, "*"]), where)
    if model not in models:
        raise placed(unknown_name("model", model, list(models), of="of this run"), where)
    try:
        value = KEYS[key](match[6])
    except ValueError:
        kind = "a whole number" if KEYS[key] is int else "a number"
        raise InputError(f"'{match[6]}' is not {kind}", where=where) from None
    return Line(number, model, scenario, key, value)


def values_for(lines: Iterable[Line], model: str, scenario: str) -> dict[str, Line]:
    """The lines that hold for a model in a scenario, by key.

    As in LoadGen, a line for the model wins over one for all models, then one for the scenario
    over one for all scenarios, then the later one.
    """
    matching = [
        line for line in lines if line.model in ("*", model) and line.scenario in ("*", scenario)
    ]
    ordered = sorted(matching, key=lambda line: (line.model != "*", line.scenario != "*"))
    return {line.key: line for line in ordered}
