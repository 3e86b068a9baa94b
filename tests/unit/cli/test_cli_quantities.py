"""Options that take a quantity: a bare number in the unit of the help text, or one with a unit."""

import json
from types import SimpleNamespace

import pytest

from lydite.cli.app import Commands
from lydite.errors import InputError

WITHOUT_A_UNIT = {
    "--gain",
    "--memory-share",
    "--lora-share",
    "--images",
    "--isl",
    "--osl",
    "--burstiness",
    "--spread",
    "--shared-prefix",
    "--gate",
    "--compute-slowdown",
    "--exchange-slowdown",
}
"""Shares, factors and mean counts."""
NAMES = {
    "s": "second",
    "ms": "millisecond",
    "us": "microsecond",
    "/s": "per second",
    "USD": "US dollars",
    "USD/h": "USD",
    "kg/kWh": "kg CO2 per kWh",
    "g/kWh": "grams per kWh",
}


def parameters(name, command):
    for parameter in command.params:
        yield name, parameter
    for inner in getattr(command, "commands", {}):
        yield from parameters(f"{name} {inner}", command.commands[inner])


def numbers():
    """Every option of every command that takes a number that is no count."""
    commands = Commands()
    for name in commands:
        for words, parameter in parameters(name, commands[name]):
            told = getattr(parameter, "type_descriptor", SimpleNamespace(annotation=None))
            if told.annotation is float:
                yield words, parameter, told.parameter_info.parser


def test_all_numbers_with_a_unit_are_quantities():
    plain = {p.opts[0] for _, p, parser in numbers() if parser is None}
    assert plain == WITHOUT_A_UNIT


def test_all_say_their_unit_and_refuse_nonsense():
    seen = 0
    for words, parameter, parser in numbers():
        if parser is not None:
            unit = parameter.metavar.removeprefix("NUMBER[").removesuffix("]")
            assert NAMES[unit].lower() in parameter.help.lower(), (words, parameter.opts)
            with pytest.raises(InputError) as refused:
                parser("soon")
            assert str(refused.value) == (
                f"{parameter.opts[0]}: 'soon' is not a quantity; allowed: such as '2 {unit}'"
            )
            assert parser("10") == parser(10.0) == 10.0
            seen += 1
    assert seen > 40


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        (["--latency-limit", "4ms"], "latency_limit_ms", 4.0),
        (["--latency-limit", "4"], "latency_limit_ms", 4.0),
        (["--latency-limit", "0.02 s"], "latency_limit_ms", 20.0),
        (["--min-duration", "10s"], "min_duration_ms", 10_000),
        (["--min-duration", "2 min"], "min_duration_ms", 120_000),
        (["--batch-delay", "2ms"], "batch_delay_us", 2000.0),
        (["--target-qps", "1.2k/s"], "target_qps", 1200.0),
        (["--target-qps", "600/min"], "target_qps", 10.0),
        (["--target-qps", "50 qps"], "target_qps", 50.0),
    ],
)
def test_units_of_mlperf_settings(lydite, given, name, value):
    ran = lydite("mlperf", "explain", "resnet", "--scenario", "server", "--json", *given)
    assert ran.code == 0, ran
    rows = {row["setting"]: row["value"] for row in json.loads(ran.out)["settings"]}
    assert rows[name] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("bench", "lenet5", "--budget", "3 GB"), "--budget: '3 GB' is not in s; allowed: such"),
        (("bench", "lenet5", "--budget", "1ms"), "--budget is 0.001 s; allowed: 0.01 s and more"),
        (("mlperf", "explain", "--min-duration", "-3"), "--min-duration: '-3' is not a finite"),
        (("place", "lenet5", "--time-limit", "nan"), "--time-limit: 'nan' is not a quantity"),
        (("farm", "worker", "--idle", "x"), "--idle: 'x' is not a quantity; allowed: such as '2"),
        (("score", "--interval", "2 h"), "--interval is 7200 s; allowed: 0.01 to 60 s"),
    ],
)
def test_what_is_none_is_refused_with_what_is_allowed(refused, words, message):
    assert refused(*words).startswith(message)


def test_emissions_in_either_unit():
    from lydite.units import parse_number

    assert parse_number("400 g/kWh", "kg/kWh") == pytest.approx(0.4)
    assert parse_number("0.4 kg/kWh", "g/kWh") == pytest.approx(400)
    assert parse_number("0.4", "kg/kWh") == 0.4


def test_durations_within_other_options():
    from lydite.serving.fleet import read_failures, read_scale

    (first, second) = read_failures("1@30s:5min,2@500ms", 2)
    assert (first.at_s, first.duration_s) == (30.0, 300.0)
    assert (second.at_s, second.duration_s) == (0.5, float("inf"))
    scale, _ = read_scale("1:4,queue=2,idle=2 min")
    assert scale.idle_s == 120.0
