"""Experts spread over devices, and replicas that step together."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from serving_cases import STEP_S, TOKEN_S, plain_times, workload

import lydite as ly
from lydite.errors import InputError
from lydite.graph import keys_of
from lydite.models.huggingface import graph_from_config
from lydite.serving import Replica, Scheduler, made, simulate_serving
from lydite.serving.experts import Spread, busiest, expert_bytes, expert_ops, read_load
from lydite.serving.layout import read_layout

EXPERT_S = 1e-5
CONFIG = {
    "model_type": "qwen3_moe",
    "hidden_size": 256,
    "intermediate_size": 512,
    "moe_intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 32,
    "num_experts": 16,
    "num_experts_per_tok": 4,
    "vocab_size": 512,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}


def grouped(size: int, group: int | None = 0, **options) -> list[Replica]:
    times = replace(plain_times(), experts_s=EXPERT_S * np.arange(100_000))
    return [Replica(Scheduler(**options), times, 100_000, group=group)] * size


def test_a_step_lasts_as_long_as_its_longest_part_and_the_experts_of_all():
    """Two prompts at once: the longer one, and the experts of both, end the step."""
    outcome = simulate_serving(made([0.0, 0.0], [600, 800], [1, 1]), grouped(2), trace=10)
    begin, end = outcome.trace[:, 1], outcome.trace[:, 2]
    assert set(begin.tolist()) == {0}
    expected = STEP_S + 800 * TOKEN_S + 1400 * EXPERT_S
    assert (end * 1e-9).tolist() == pytest.approx([expected, expected], abs=1e-8)


def test_small_steps_are_padded_to_the_largest():
    outcome = simulate_serving(made([0.0, 0.0], [100, 20], [1, 1]), grouped(2), trace=10)
    expected = STEP_S + 100 * TOKEN_S + 2 * 100 * EXPERT_S
    assert outcome.first_s.tolist() == pytest.approx([expected] * 2, abs=1e-8)


def test_an_arrival_waits_for_the_step_of_its_group():
    """It would begin at once on an idle replica of its own."""
    requests = made([0.0, 0.001], [1000, 10], [1, 1])
    together = simulate_serving(requests, grouped(2))
    apart = simulate_serving(requests, grouped(2, group=None))
    first = STEP_S + 1000 * TOKEN_S
    assert together.started_s[1] == pytest.approx(first + 1000 * EXPERT_S, abs=1e-8)
    assert apart.started_s[1] == pytest.approx(0.001)


@pytest.mark.parametrize("seed", range(3))
def test_members_of_a_group_never_compute_apart(seed):
    outcome = simulate_serving(workload(seed), grouped(4), trace=100_000)
    by_begin: dict[int, set[int]] = {}
    for _, begin, end, *_ in outcome.trace.tolist():
        by_begin.setdefault(begin, set()).add(end)
    assert all(len(ends) == 1 for ends in by_begin.values())
    times = sorted((begin, *ends) for begin, ends in by_begin.items())
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(times))
    assert (outcome.last_s > 0).all()
    assert outcome.tokens == (outcome.requests.prompt + outcome.requests.output - 1).sum()


def test_a_group_of_one_is_none():
    times = plain_times()
    alone = [Replica(Scheduler(), times, 100_000)]
    group = [Replica(Scheduler(), times, 100_000, group=0)]
    first, second = (simulate_serving(workload(1), each) for each in (alone, group))
    assert first.last_s.tobytes() == second.last_s.tobytes()


@pytest.fixture
def config(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path / "config.json"


def spread(devices=4, groups=4, load=1.0):
    return Spread(devices, groups, load, lambda kind, size: size * 1e-12)


def test_the_busiest_device_has_its_share_of_experts_and_tokens(config):
    graph = graph_from_config(config, batch=32, phase="decode", context=10)
    (first, *_) = expert_ops(graph)
    key = keys_of(graph)[first.name]
    part = spread().on_busiest(key, 32)
    x, scores, up, _, down = (operand.type for operand in part.inputs[:5])
    assert x.shape[-2:] == (32 * 4 // 4, 256)
    assert scores.shape[-1] == up.shape[0] == down.shape[0] == 16 // 4
    assert part.attrs["k"] == 1
    more = spread(load=2.5).on_busiest(key, 32)
    assert more.inputs[0].type.shape[-2] == 2.5 * 32


def test_messages_carry_what_runtimes_send(config):
    graph = graph_from_config(config, batch=4, phase="decode", context=10)
    key = keys_of(graph)[expert_ops(graph)[0].name]
    row = 256 * 2
    assert spread(8, 8).exchange_s(key, 64) == pytest.approx(2 * 64 * row * 1e-12)
    assert spread(16, 16).exchange_s(key, 64) == pytest.approx(2 * 64 / 16 * 4 * row * 1e-12)
    assert spread(8, 1).exchange_s(key, 64) == 0.0


def test_a_rank_holds_its_experts_and_all_else(config):
    graph = graph_from_config(config, batch=8, phase="decode", context=10, dtype="bfloat16")
    experts = 2 * 16 * 3 * 256 * 128 * 2  # layers, experts, matrices, bytes
    assert expert_bytes(graph) == experts
    served = ly.serve(str(config), on="h100", ep=4, rate=1.0, requests=5, isl=100, osl=10).served
    (row,) = served["deployments"]
    assert row["weights_bytes"] == graph.parameter_bytes - experts + experts / 4
    assert row["devices"] == 4
    assert row["step"]["experts_s"] > 0


def test_more_load_on_one_device_is_never_faster(config):
    def tpot(load):
        given = {"on": "h100", "ep": 8, "concurrency": 64, "requests": 128, "isl": 100, "osl": 10}
        served = ly.serve(str(config), expert_load=load, **given).served
        return served["deployments"][0]["figures"]["tpot_s"]["mean"]

    times = [tpot(load) for load in ("balanced", "power-law:0.5", "power-law:2")]
    assert times == sorted(times)


def test_loads_of_experts(tmp_path):
    assert busiest([1, 1, 1, 1], 2) == 1.0
    assert busiest([3, 1, 0, 0], 2) == 2.0
    assert read_load("balanced", 16, 4) == 1.0
    assert read_load("power-law:0", 16, 4) == 1.0
    shares = np.arange(1, 17) ** -1.2
    assert read_load("power-law:1.2", 16, 16) == pytest.approx(shares.max() / shares.mean())
    file = tmp_path / "loads.txt"
    file.write_text("3 1 0 0")
    assert read_load(str(file), 4, 2) == 2.0


@pytest.mark.parametrize(
    ("content", "line"),
    [("1 2 3", "3 numbers for 4 experts"), ("1 2 x 4", "not a list"), ("1 2 -1 4", "negative")],
)
def test_loads_that_are_refused(tmp_path, content, line):
    file = tmp_path / "loads.txt"
    file.write_text(content)
    with pytest.raises(InputError, match=line):
        read_load(str(file), 4, 2)


@pytest.mark.parametrize("text", ["power-law:x", "power-law:-1", "nothing", "power-law:nan"])
def test_words_for_loads_that_are_refused(text):
    with pytest.raises(InputError, match="expert load"):
        read_load(text, 4, 2)


@pytest.mark.parametrize(
    ("text", "devices", "groups"),
    [("ep8", 8, 8), ("2xep8", 16, 8), ("tp2ep8", 8, 4), ("tp8ep8x3", 24, 1), ("tp4", 4, 1)],
)
def test_layouts_with_experts_spread(text, devices, groups):
    layout = read_layout(text)
    assert (layout.devices, layout.parts[0].groups) == (devices, groups)
    assert read_layout(str(layout)) == layout


@pytest.mark.parametrize("text", ["tp3ep8", "ep0", "tp8ep4", "2xep"])
def test_layouts_that_are_refused(text):
    with pytest.raises(InputError):
        read_layout(text)
