import pytest

from lydite.api.mlperf.benchmark import scenarios_of, settings_of, target_of
from lydite.api.mlperf.options import RunOptions
from lydite.errors import InputError
from lydite.mlperf.round import find_round, round_names
from lydite.mlperf.user_conf import parse_user_conf, values_for

NAMES = ("resnet", "resnet50")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("resnet50.Server.target_qps=100", r"f:1: LoadGen wants spaces round '='.* = 100"),
        ("resnet50.Server.target_qsp = 100", r"unknown setting 'target_qsp'.*target_qps"),
        ("resnet50.Servr.target_qps = 100", r"unknown scenario 'Servr'.*Server"),
        ("bert.Server.target_qps = 100", r"unknown model 'bert' of this run"),
        ("*.*.qsl_rng_seed = 5", r"LoadGen ignores 'qsl_rng_seed'"),
        ("*.*.min_query_count = many", r"'many' is not a whole number"),
        ("target_qps = 5", r"is no setting.*model\.scenario\.key = value"),
    ],
)
def test_what_loadgen_would_ignore_is_refused_with_its_line(line, message):
    with pytest.raises(InputError, match=message):
        parse_user_conf(line, "f", NAMES)


def test_a_line_for_the_model_wins_then_one_for_the_scenario_then_the_later_one():
    text = """# a comment
    resnet50.*.target_qps = 3
    *.Server.target_qps = 2
    *.*.target_qps = 1
    *.*.min_duration = 5 # another
    *.*.min_duration = 6
    """
    lines = parse_user_conf(text, "f", NAMES)
    found = values_for(lines, "resnet50", "Server")
    assert (found["target_qps"].value, found["min_duration"].value) == (3, 6)
    assert values_for(lines, "resnet", "Server")["target_qps"].value == 2
    assert values_for(lines, "resnet", "Offline")["target_qps"].value == 1


def test_every_setting_says_where_it_came_from(tmp_path):
    conf = tmp_path / "user.conf"
    conf.write_text("resnet50.Server.target_qps = 70\n*.Server.target_latency = 9\n")
    options = RunOptions(user_conf=conf, threads=2)
    settings = settings_of(target_of("resnet50", options), "Server", options)
    origins = {name: (s.value, s.origin) for name, s in settings.values.items()}
    assert origins["target_qps"] == (70.0, "user file")
    assert origins["latency_limit_ms"] == (9.0, "user file")
    assert origins["threads"] == (2, "command line")
    assert origins["samples"] == (1024, "round")
    assert origins["batch_size"] == (1, "default")


def test_a_sinian_config_is_laid_over_by_system_and_version(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(
        '{"default": {"gpu_batch_size": 8, "precision": "fp16", "use_graphs": true},'
        ' "A10x2": {"gpu_batch_size": 216, "deque_timeout_us": 3000, "server_target_qps": 120088,'
        ' "config_ver": {"triton": {"instance_group_count": 2}}}}'
    )
    options = RunOptions(config=path, system="A10x2", config_ver="triton")
    settings = settings_of(target_of("resnet50", options), "Server", options)
    assert (settings["batch_size"], settings["workers"], settings["precision"]) == (216, 2, "fp16")
    assert settings.batching.delay_ns == 3_000_000
    assert settings["target_qps"] == 120088
    with pytest.raises(InputError, match=r"unknown system 'A10x3'.*A10x2"):
        settings_of(
            target_of("resnet50", options), "Server", RunOptions(config=path, system="A10x3")
        )
    path.write_text('{"default": {"gpu_batchsize": 8}}')
    with pytest.raises(InputError, match=r"unknown field 'gpu_batchsize'.*gpu_batch_size"):
        settings_of(target_of("resnet50", options), "Server", RunOptions(config=path))


def test_names_of_both_kinds_are_known_and_what_is_gone_is_said():
    options = RunOptions()
    assert target_of("resnet50", options).name == target_of("resnet", options).name == "resnet"
    assert target_of("llama3_1-8b", options).name == "llama3.1-8b"
    assert target_of("mobilenetv2", options).row is None
    assert target_of("bert", RunOptions(config_ver="high_accuracy")).name == "bert-99.9"
    with pytest.raises(InputError, match=r"retinanet.*gone since v6\.0"):
        target_of("retinanet", options)
    with pytest.raises(InputError, match=r"unknown round 'v9'.*v6\.1"):
        target_of("resnet50", RunOptions(round="v9"))
    with pytest.raises(InputError, match=r"no version of 99\.9"):
        target_of("resnet", RunOptions(config_ver="high_accuracy"))


def test_scenarios_by_any_spelling():
    assert scenarios_of("offline,Single-Stream,offline") == ["Offline", "SingleStream"]
    with pytest.raises(InputError, match=r"unknown scenario 'sever'.*server"):
        scenarios_of("sever")


def test_where_sources_disagree_the_stricter_one_rules():
    chosen = find_round("v6.1")
    assert round_names()
    assert chosen.named("3d-unet-99")[1].all_floors[0].reference == 0.8633
    assert chosen.named("dlrm-v3")[1].latency_limit("Server").value == 80
    assert chosen.named("gpt-oss-120b")[1].latency_limit("Interactive").tpot == 15
    assert chosen.named("resnet")[1].all_floors[0].least == pytest.approx(75.695, abs=1e-3)


@pytest.mark.parametrize("name", ["bert-99.9", "llama3.1-8b", "llama2-70b-99.9", "resnet50"])
def test_a_benchmark_whose_name_looks_like_a_file_is_one(name, tmp_path, monkeypatch):
    (tmp_path / "resnet50").mkdir()
    monkeypatch.chdir(tmp_path)
    assert target_of(name, RunOptions()).row is not None


def test_tokens_are_played_with_stated_times():
    import lydite as ly

    given = {"service": "ttft=200ms,tpot=50ms,tokens=101", "workers": 64, "min_duration": 60.0}
    found = ly.mlperf_run("llama2-70b", scenario="server,interactive", target_qps=5.0, **given)
    verdicts = {run.name: run.verdict for run in found.runs}
    assert verdicts["Server"].word == "VALID"
    assert verdicts["Server"].unit == "tokens/s"
    broken = [rule.name for rule in verdicts["Interactive"].rules if not rule.passed]
    assert "time per output token at 99 %" in broken  # 40 ms are allowed there
    peak = ly.mlperf_peak("llama2-70b", **given)
    assert 0.8 * 64 / 5.2 < peak.peak_qps < 64 / 5.2  # places over seconds of a sample
    with pytest.raises(InputError, match=r"have to be stated.*ttft="):
        ly.mlperf_run("gpt-oss-120b", scenario="server", target_qps=5.0, virtual=True)
    with pytest.raises(InputError, match="states no times of tokens"):
        ly.mlperf_run("llama2-70b", scenario="server", target_qps=5.0, service="3ms")


@pytest.mark.parametrize(
    ("name", "key", "scenario", "limit"),
    [
        ("v5.1", "dlrm-v2-99.9", "Server", 60),
        ("v5.1", "llama3.1-405b", "Interactive", (4500, 80)),
        ("v6.0", "gpt-oss-120b", "Interactive", (2000, 15)),
        ("v6.0", "resnet50", "Server", 15),
    ],
)
def test_earlier_rounds_have_their_own_limits(name, key, scenario, limit):
    found = find_round(name).named(key)[1].latency_limit(scenario)
    assert ((found.ttft, found.tpot) if isinstance(limit, tuple) else found.value) == limit


def test_what_a_round_does_not_state_is_refused_by_name():
    import lydite as ly

    with pytest.raises(InputError, match=r"v6\.0.*gptj-99|gptj-99.*gone since v5\.1"):
        target_of("gptj-99", RunOptions(round="v6.0"))
    times = {"service": "1s", "target_qps": 1.0, "round": "v6.0"}
    with pytest.raises(InputError, match="no limit of the latency is given"):
        ly.mlperf_run("qwen3-vl-235b-a22b", scenario="interactive", **times)


def test_a_round_that_the_wheel_does_not_embed_runs_in_virtual_time_alone(monkeypatch):
    import lydite as ly
    from lydite.api.mlperf import real

    monkeypatch.setattr(real, "embedded_seeds", lambda: (1, 2, 3))
    given = {"scenario": "singlestream", "min_duration": 1.0, "service": "1ms"}
    found = ly.mlperf_run("pointpainting", round="v5.1", **given)
    assert found.runs[0].settings["percentile"] == 0.999
    with pytest.raises(InputError, match=r"seeds of v6\.0.*no wheel is known"):
        ly.mlperf_run("resnet50", round="v6.0", scenario="offline")
