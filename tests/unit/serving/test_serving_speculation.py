"""Speculation: closed forms of tokens, steps, times and slots in the KV cache."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from serving_cases import STEP_S, TOKEN_S, plain_times, workload

from lydite.errors import InputError
from lydite.serving import Replica, Scheduler, Speculation, made, simulate_serving


def drafting(acceptance, kv_tokens=100_000, times=None, lookahead=True, seed=0, **options):
    ahead = Speculation(len(acceptance), tuple(acceptance), times, lookahead, seed)
    return [Replica(Scheduler(**options), plain_times(), kv_tokens, speculation=ahead)]


def alone(prompt, output):
    return made(np.zeros(1), np.array([prompt]), np.array([output]))


def test_drafts_that_are_never_right_give_a_token_a_step():
    outcome = simulate_serving(alone(100, 20), drafting([0.0, 0.0, 0.0]), gaps=100)
    assert outcome.steps == 20
    assert (outcome.drafted, outcome.accepted) == (19 * 3, 0)
    # all are computed: the prompt, then a token and three drafts in each step
    assert outcome.tokens == 100 + 19 * 4
    assert outcome.tpot_s[0] == pytest.approx(STEP_S + 4 * TOKEN_S, rel=1e-6)
    assert outcome.itls_s(0) == pytest.approx(np.full(19, STEP_S + 4 * TOKEN_S), rel=1e-6)


def test_drafts_that_are_always_right_give_all_tokens_of_a_step():
    outcome = simulate_serving(alone(100, 21), drafting([1.0, 1.0, 1.0]), gaps=100)
    assert outcome.steps == 1 + 20 // 4
    assert outcome.accepted == outcome.drafted == 15
    assert len(outcome.itls_s(0)) == 5
    assert outcome.gap_count.sum() == 5
    # the last step may be right beyond the answer's end, which is cut there
    cut = simulate_serving(alone(100, 19), drafting([1.0, 1.0, 1.0]))
    assert (cut.steps, cut.accepted) == (1 + 5, 15)


def test_the_mean_number_of_accepted_drafts_is_the_sum_of_products():
    chances = [0.8, 0.6, 0.4]
    ahead = Speculation(3, tuple(chances))
    expected = 0.8 + 0.8 * 0.6 + 0.8 * 0.6 * 0.4
    assert ahead.mean_accepted == pytest.approx(expected)
    outcome = simulate_serving(alone(10, 60_000), drafting(chances))
    verified = outcome.drafted / 3
    # standard deviation of one verification: 1.1
    assert outcome.accepted / verified == pytest.approx(expected, abs=4 * 1.1 / verified**0.5)
    assert outcome.steps == pytest.approx(60_000 / (1 + expected), rel=0.02)


@pytest.mark.parametrize("lookahead", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_all_tokens_come_out_when_memory_is_short(seed, lookahead):
    requests = workload(seed, shared=64)
    few = simulate_serving(requests, drafting([0.7, 0.5], 900, None, lookahead), gaps=10**6)
    assert few.preempted.sum() > 0
    assert not np.isnan(few.last_s).any()
    for request in range(len(requests)):
        span = few.last_s[request] - few.first_s[request]
        assert few.itls_s(request).sum() == pytest.approx(span, abs=1e-9)
    again = simulate_serving(requests, drafting([0.7, 0.5], 900, None, lookahead))
    assert few.last_s.tobytes() == again.last_s.tobytes()


def test_other_seeds_draw_other_tokens():
    ends = {simulate_serving(alone(10, 500), drafting([0.5], seed=seed)).end_s for seed in range(4)}
    assert len(ends) == 4


def test_drafts_have_slots_in_the_cache():
    """After a prompt of 16 tokens and one more, a step holds its drafts, and those behind it."""
    requests, never = alone(16, 3), [0.0] * 8
    usual = simulate_serving(requests, [replace(each, speculation=None) for each in drafting([1])])
    assert usual.peak_tokens[0] == 32  # 18 tokens
    assert simulate_serving(requests, drafting(never, lookahead=False)).peak_tokens[0] == 32
    assert simulate_serving(requests, drafting(never)).peak_tokens[0] == 48  # 17 + 8 + 8 and more


def test_the_budget_of_a_step_counts_drafts():
    """Ten requests that decode with three drafts each are 40 tokens, in two steps of 20."""
    requests = made(np.zeros(10), np.full(10, 1), np.full(10, 2))
    replicas = drafting([0.0] * 3, max_num_batched_tokens=20)
    outcome = simulate_serving(requests, replicas, decisions=100, trace=10)
    assert outcome.trace[:, 3].tolist() == [10, 20, 20]


def test_a_drafting_model_takes_a_pass_over_the_step_and_one_for_each_further_draft():
    """Its tables say 100 us a pass and 1 us a token."""
    times = plain_times(1e-4, 1e-6)
    outcome = simulate_serving(alone(100, 4), drafting([0.0] * 3, times=times))
    prompt = (1e-4 + 100 * 1e-6) + 2 * (1e-4 + 1e-6)
    step = (1e-4 + 4 * 1e-6) + 2 * (1e-4 + 1e-6)
    assert outcome.first_s[0] == pytest.approx(STEP_S + 100 * TOKEN_S + prompt, rel=1e-5)
    assert outcome.tpot_s[0] == pytest.approx(STEP_S + 4 * TOKEN_S + step, rel=1e-5)
    assert times.drafting_s(1, 100.0, 3) == pytest.approx(step, rel=1e-5)


def test_a_verification_has_attention_and_logits_of_its_own():
    plain = plain_times()
    verify = np.full_like(plain.decode_s, 5e-4)
    times = replace(plain, verify_s=verify, head_s=1e-5 * np.arange(2048))
    (replica,) = drafting([0.0] * 3)
    outcome = simulate_serving(alone(100, 4), [replace(replica, times=times)])
    step = STEP_S + 4 * TOKEN_S + 4 * 1e-5 + 5e-4
    assert outcome.tpot_s[0] == pytest.approx(step, rel=1e-5)


@pytest.mark.parametrize(
    ("ahead", "rules", "line"),
    [
        (Speculation(2, (0.5,)), {}, "1 chances of acceptance for 2 drafts"),
        (Speculation(1, (1.5,)), {}, "not between 0 and 1"),
        (Speculation(17, (0.5,) * 17), {}, "17 draft tokens"),
        (Speculation(1, (0.5,), seed=-1), {}, "a seed of -1"),
        (Speculation(1, (0.5,)), {"policy": "sglang"}, "speculation is not modelled for sglang"),
    ],
)
def test_what_cannot_be_drafted_is_refused(ahead, rules, line):
    replica = Replica(Scheduler(**rules), plain_times(), 9999, speculation=ahead)
    with pytest.raises(InputError) as refused:
        simulate_serving(alone(10, 10), [replica])
    assert line in str(refused.value)


def test_room_for_drafts_is_part_of_what_must_fit():
    with pytest.raises(InputError, match=r"has room for 40 beside 8 for drafts"):
        simulate_serving(alone(30, 20), drafting([0.5] * 4, kv_tokens=64))
