"""Simulations in the layout of vLLM's result files: values by hand, and read back."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from serving_cases import one, workload

from lydite.api.serving.replay import replay_document
from lydite.serving import made, simulate_serving
from lydite.serving.bench_written import vllm_result
from lydite.serving.traces import read_log


def by_hand():
    """Three requests at 0, 1 and 2 s: 3, 1 and 5 output tokens; and one that did not end."""
    requests = made(np.arange(4.0), np.array([10, 20, 30, 40]), np.array([3, 1, 5, 2]))
    outcome = simulate_serving(requests, one())
    nan = np.nan
    return replace(
        outcome,
        arrived_s=np.arange(4.0),
        first_s=np.array([0.5, 1.25, 2.75, nan]),
        last_s=np.array([1.5, 1.25, 4.0, nan]),
    )


def test_the_figures_are_vllms():
    result = vllm_result(by_hand(), "m", "vllm", "1xtp1")
    assert result["lydite_simulated"] is True
    assert (result["completed"], result["failed"], result["num_prompts"]) == (3, 1, 4)
    assert (result["total_input_tokens"], result["total_output_tokens"]) == (60, 9)
    assert result["duration"] == 4.0
    assert result["request_throughput"] == 0.75
    assert result["output_throughput"] == 2.25
    assert result["total_token_throughput"] == 17.25
    # TTFT 0.5, 0.25, 0.75 s; TPOT 1/2 and 1.25/4 s; latency 1.5, 0.25, 2 s; 6 gaps in 2.25 s.
    assert result["mean_ttft_ms"] == result["median_ttft_ms"] == 500.0
    assert result["std_ttft_ms"] == pytest.approx(250 * (2 / 3) ** 0.5)
    assert result["p99_ttft_ms"] == pytest.approx(500 + 0.98 * 250)
    assert result["mean_tpot_ms"] == 406.25
    assert result["std_tpot_ms"] == 93.75
    assert result["mean_e2el_ms"] == 1250.0
    assert result["median_e2el_ms"] == 1500.0
    assert result["p99_e2el_ms"] == pytest.approx(1500 + 0.98 * 500)
    assert result["mean_itl_ms"] == 375.0
    # Second 1 sees the first and second request; second 2 only the third.
    assert result["max_concurrent_requests"] == 2
    assert result["output_lens"] == [3, 1, 5, 0]
    assert not {"date", "itls", "p99_itl_ms", "generated_texts"} & set(result)


def test_gaps_between_tokens_are_written_where_all_are_kept():
    """Three tokens in steps of 1 ms and 10 us a token: two equal gaps; and one token: none."""
    requests = made(np.array([0.0, 1.0]), np.array([10, 20]), np.array([3, 1]))
    kept = simulate_serving(requests, one(), gaps=2)
    result = vllm_result(kept, "m", "vllm", "1xtp1")
    assert [len(gaps) for gaps in result["itls"]] == [2, 0]
    assert result["itls"][0] == pytest.approx([1.01e-3] * 2, rel=1e-5)
    assert result["median_itl_ms"] == pytest.approx(1.01, rel=1e-5)
    assert result["std_itl_ms"] == pytest.approx(0.0, abs=1e-9)
    few = simulate_serving(requests, one(), gaps=1)
    assert few.itls_s(0) is None
    assert not {"itls", "std_itl_ms"} & set(vllm_result(few, "m", "vllm", "1xtp1"))


def test_a_simulation_read_back_has_no_error(tmp_path):
    outcome = simulate_serving(workload(3), one())
    path = tmp_path / "vllm-bench.json"
    path.write_text(json.dumps(vllm_result(outcome, "m", "vllm", "1xtp1"), allow_nan=False))
    requests, measured = read_log(path)
    assert requests.notes == ("the times of the file were simulated by Lydite, not measured",)
    again = simulate_serving(requests, one())
    np.testing.assert_array_equal(again.ttft_s, measured.ttft_s)
    np.testing.assert_array_equal(again.latency_s, measured.latency_s)
    assert replay_document(measured, again)["log"] == "simulated"
    for figure in replay_document(measured, again)["figures"].values():
        assert figure["error_mean"] == figure["error_p90"] == figure["median_request_error"] == 0
