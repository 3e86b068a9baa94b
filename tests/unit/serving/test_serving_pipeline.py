"""Pipeline stages: closed forms of latencies and occupancy, layers, weights and messages."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from serving_cases import STEP_S, TOKEN_S, plain_times, workload

import lydite as ly
from lydite.errors import InputError
from lydite.serving import Replica, Scheduler, Speculation, made, simulate_serving
from lydite.serving.layout import read_layout, read_part
from lydite.serving.stages import stages_of


def staged(shares=(0.5, 0.5), send_s=0.0, head_s=0.0, kv_tokens=100_000, **options):
    times = replace(
        plain_times(),
        stages=shares,
        send_s=np.full(2, send_s),
        head_s=np.full(2048, head_s),
    )
    return [Replica(Scheduler(**options), times, kv_tokens)]


def test_a_request_alone_passes_all_stages_and_the_messages_between_them():
    requests = made(np.zeros(1), np.array([100]), np.array([5]))
    outcome = simulate_serving(requests, staged((0.25,) * 4, 1e-4, 2e-4))
    step = STEP_S + TOKEN_S + 2e-4 + 3 * 1e-4
    assert outcome.ttft_s[0] == pytest.approx(step + 99 * TOKEN_S, rel=1e-6)
    assert outcome.tpot_s[0] == pytest.approx(step, rel=1e-6)
    assert outcome.steps == 5


def test_two_requests_in_two_batches_do_not_slow_each_other():
    """The second comes half a step later, when the first stage is free."""
    step = STEP_S + TOKEN_S
    requests = made(np.array([0.0, step / 2]), np.ones(2, int), np.array([50, 50]))
    outcome = simulate_serving(requests, staged())
    assert outcome.latency_s == pytest.approx([50 * step] * 2, rel=1e-6)
    assert outcome.steps == 100
    # stages are busy but for half a step at each end
    assert outcome.busy_s[0] / outcome.end_s == pytest.approx(50 / 50.5, rel=1e-6)


def test_the_longest_stage_sets_the_pace():
    """Prompts of 2,000 tokens, a batch each: the fuller stage is always busy."""
    requests = made(np.zeros(20), np.full(20, 2000), np.ones(20, int))
    outcome = simulate_serving(requests, staged((0.25, 0.75), max_num_batched_tokens=2000))
    step = STEP_S + 2000 * TOKEN_S
    assert outcome.end_s == pytest.approx(0.25 * step + 20 * 0.75 * step, rel=1e-6)


def test_chunks_of_a_prompt_follow_each_other_through_the_stages():
    requests = made(np.zeros(1), np.array([800]), np.array([1]))
    outcome = simulate_serving(requests, staged(max_num_batched_tokens=100))
    chunk = STEP_S + 100 * TOKEN_S
    assert outcome.ttft_s[0] == pytest.approx(4.5 * chunk, rel=1e-6)
    assert outcome.steps == 8


@pytest.mark.parametrize("seed", range(3))
def test_all_tokens_come_out_when_memory_is_short(seed):
    requests = workload(seed, shared=64)
    outcome = simulate_serving(requests, staged((0.25,) * 4, kv_tokens=800))
    assert outcome.preempted.sum() > 0
    assert not np.isnan(outcome.last_s).any()
    assert outcome.gap_count.sum() == (requests.output - 1).sum()


CONFIG = {
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 4096,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}


def graph_of(folder, layers):
    (folder / "config.json").write_text(json.dumps(CONFIG | {"num_hidden_layers": layers}))
    given = {"phase": "decode", "context": 64, "batch": 2, "dtype": "bfloat16"}
    return ly.load(str(folder), **given).graph


def test_layers_weights_and_messages_of_stages(tmp_path):
    seven, one = graph_of(tmp_path, 7), graph_of(tmp_path, 1)
    sizes = []

    def across(kind, size):
        sizes.append((kind, size))
        return 1e-6

    stages = stages_of(seven, 3, 2, across, across, "seven")
    # vLLM's get_pp_indices(7, rank, 3): 2, 3 and 2 layers
    assert np.array(stages.shares) * 7 == pytest.approx([2, 3, 2])
    layer = (seven.parameter_bytes - one.parameter_bytes) / 6
    end = 4096 * 256 * 2
    assert stages.weights_of(seven) == pytest.approx(2 * layer + end, rel=0.001)
    assert stages.send_s(10) == pytest.approx(2e-6)
    # hidden states and residual of ten tokens in 16 bits, half on each rank; then gathered
    assert sizes == [("Send", 2 * 10 * 256 * 2 / 2), ("AllGather", 2 * 10 * 256 * 2)]
    with pytest.raises(InputError, match="1 to 7, as it has layers"):
        stages_of(seven, 8, 1, across, across, "seven")


@pytest.mark.parametrize(
    ("text", "told", "devices"),
    [("pp2", "1xtp1pp2", 2), ("tp4pp2", "1xtp4pp2", 8), ("2xtp4pp2", "2xtp4pp2", 16)],
)
def test_layouts(text, told, devices):
    layout = read_layout(text)
    assert (str(layout), layout.devices) == (told, devices)


def test_bad_layouts():
    for text in ("pp0", "tp2pp", "pp2ep2"):
        with pytest.raises(InputError):
            read_part(text)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"scheduler": Scheduler("trtllm")}, "not modelled for trtllm"),
        ({"speculation": Speculation(1, (0.5,))}, "speculation in pipeline stages"),
        ({"group": 0}, "that step together"),
    ],
)
def test_what_stages_do_not_do_is_refused(changes, line):
    (replica,) = staged()
    with pytest.raises(InputError, match=line):
        simulate_serving(workload(0), [replace(replica, **changes)])


def test_layers_with_a_state_count_as_layers(tmp_path):
    """A model of selective scans alone divides as one with attention does."""
    path = tmp_path / "config.json"
    sizes = {"hidden_size": 128, "num_hidden_layers": 6, "vocab_size": 256, "state_size": 16}
    path.write_text(json.dumps({"model_type": "mamba", **sizes}))
    given = {"on": "h100", "rate": 1.0, "requests": 5, "isl": 50, "osl": 5}
    (row,) = ly.serve(str(path), pp=3, **given).served["deployments"]
    (alone,) = ly.serve(str(path), **given).served["deployments"]
    assert row["weights_bytes"] < 0.7 * alone["weights_bytes"]
    with pytest.raises(InputError, match="1 to 6, as it has layers"):
        ly.serve(str(path), pp=7, **given)
