"""Result files of load generators, written by hand from their schemas."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from lydite.errors import InputError
from lydite.serving import bench_files
from lydite.serving.traces import read_log, read_trace

# vLLM 0.19.0, benchmarks/serve.py: `result` with --save-detailed. The second request was sent
# first; the third failed, the fourth never had a token.
VLLM = {
    "date": "20260101-000000",
    "backend": "vllm",
    "model_id": "m",
    "num_prompts": 4,
    "request_rate": "inf",
    "max_concurrency": 8,
    "duration": 4.0,
    "completed": 2,
    "failed": 2,
    "total_input_tokens": 300,
    "total_output_tokens": 5,
    "request_throughput": 0.5,
    "input_lens": [100, 200, 50, 60],
    "output_lens": [3, 2, 0, 0],
    "ttfts": [0.5, 0.25, 0.125, 0.0],
    "itls": [[0.25, 0.125], [0.5], [], []],
    "start_times": [1000.5, 1000.25, 1000.75, 1001.0],
    "generated_texts": ["a", "b", "", ""],
    "errors": ["", "", "Traceback ...", ""],
}


def guidellm_request(name, start, first, last, **other):
    """A request as `GenerativeRequestStats` of GuideLLM 0.8.1 is written."""
    return {
        "type_": "generative_request_stats",
        "request_id": name,
        "info": {"timings": {"request_start": start, "last_token_iteration": last}},
        "request_start_time": start,
        "request_latency": last + 0.5 - start,
        "prompt_tokens": 10,
        "output_tokens": 4,
        "time_to_first_token_ms": 1000 * (first - start),
        **other,
    }


def guidellm_run(*requests, **totals):
    by_status = {"successful": list(requests), "errored": [{}], "incomplete": []}
    return {
        "type_": "generative_benchmark",
        "metrics": {"request_totals": {"successful": len(requests), **totals}},
        "requests": by_status,
    }


def guidellm_report(*runs):
    return {"metadata": {"version": 2}, "config": {}, "benchmarks": list(runs)}


def aiperf_record(start_ns, ttft, latency, **other):
    """A line as `MetricRecordInfo` of AIPerf 0.13.0 is written."""
    metadata = {"session_num": 0, "x_request_id": f"r{start_ns % 1000}"}
    metadata |= {"request_start_ns": start_ns, "benchmark_phase": "profiling"}
    metadata |= {"was_cancelled": False, **other.pop("metadata", {})}
    metrics = {
        "time_to_first_token": ttft,
        "request_latency": latency,
        "input_sequence_length": {"value": 30, "unit": "tokens"},
        "output_sequence_length": {"value": 5, "unit": "tokens"},
        **other.pop("metrics", {}),
    }
    metrics = {name: value for name, value in metrics.items() if value is not None}
    return {"metadata": metadata, "metrics": metrics, "error": None, **other}


def ms(value):
    return {"value": value, "unit": "ms"}


def written(path, *objects):
    path.write_text("\n".join(map(json.dumps, objects)))
    return path


def test_vllms_requests_are_in_the_order_in_which_they_were_sent(tmp_path):
    requests, measured = read_log(written(tmp_path / "bench.json", VLLM))
    assert requests.arrival_s.tolist() == [0.0, 0.25]
    assert requests.prompt.tolist() == [200, 100]
    assert requests.output.tolist() == [2, 3]
    assert requests.ids == ("2", "1")
    assert measured.ttft_s.tolist() == [0.25, 0.5]
    assert measured.latency_s.tolist() == [0.75, 0.875]
    assert requests.origin == "vLLM's bench serve: bench.json"
    assert requests.notes == ("requests left out: 2 failed or without output",)


def test_a_document_over_many_lines_is_the_same(tmp_path):
    path = tmp_path / "bench.json.gz"
    with gzip.open(path, "wt") as file:
        json.dump(VLLM, file, indent=1)
    assert read_trace(path).prompt.tolist() == [200, 100]


def test_an_endpoint_that_does_not_stream_has_no_times_to_compare(tmp_path):
    path = written(tmp_path / "bench.json", VLLM | {"ttfts": [0.0] * 4, "itls": [[]] * 4})
    assert len(read_trace(path)) == 2
    with pytest.raises(InputError, match="holds no times of tokens"):
        read_log(path)


def test_a_benchmark_of_several_is_chosen(tmp_path):
    other = VLLM | {"input_lens": [7, 8, 9, 10]}
    path = written(tmp_path / "bench.json", VLLM, other)
    with pytest.raises(InputError, match=r"holds 2 benchmarks.*--benchmark 1 to 2"):
        read_trace(path)
    with pytest.raises(InputError, match="has no benchmark 3"):
        read_trace(path, 3)
    assert read_trace(path, 2).prompt.tolist() == [8, 7]
    rows = tmp_path / "trace.csv"
    rows.write_text("arrival_s,prompt,output\n0,5,1\n")
    with pytest.raises(InputError, match="--benchmark has no effect"):
        read_trace(rows, 1)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"start_times": None},
            "arrivals of its requests are not known; allowed: files of vllm bench serve "
            "--save-detailed that hold start_times; draw requests of its mean lengths instead: "
            "--concurrency 8 --isl 102 --osl 2",
        ),
        ({"start_times": [], "max_concurrency": None, "request_rate": 2.5}, "--rate 2.5 --isl"),
        ({"input_lens": None}, "--save-detailed"),
        ({"ttfts": [0.5]}, "lists of different lengths: input_lens 4"),
        ({"ttfts": [0.5, float("nan"), 0, 0]}, "request 2: ttfts is nan"),
        ({"ttfts": [-0.5, 0.5, 0, 0]}, "request 1: ttfts is -0.5"),
        ({"itls": [[0.1, "x"], [], [], []]}, 'request 1: itls is "x"'),
        ({"itls": [0.1, [], [], []]}, "request 1: itls is no list"),
        ({"input_lens": [1.5, 1, 1, 1]}, "request 1: input_lens is 1.5"),
        ({"input_lens": [0, 1, 1, 1]}, "tokens of prompt: 0"),
        ({"input_lens": [True, 1, 1, 1]}, "request 1: input_lens is true"),
        ({"output_lens": [10**400, 1, 1, 1]}, "request 1: output_lens is inf"),
        ({"output_lens": "many"}, "is no list"),
        ({"start_times": [1, None, 2, 3]}, "request 2: start_times is null"),
        ({"output_lens": [0, 0, 0, 0]}, "holds no answered requests; requests left out: 4"),
    ],
)
def test_a_bad_vllm_file_is_refused(tmp_path, change, line):
    whole = {name: value for name, value in (VLLM | change).items() if value is not None}
    path = written(tmp_path / "bench.json", whole)
    with pytest.raises(InputError) as refused:
        read_log(path)
    assert line in str(refused.value)


def test_guidellm(tmp_path):
    run = guidellm_run(
        guidellm_request("b", 12.0, 12.25, 13.0),
        guidellm_request("a", 10.0, 10.5, 11.5),
        guidellm_request("c", 13.0, 13.5, 14.0, time_to_first_token_ms=None, info={}),
        guidellm_request("d", 13.0, 13.5, 14.0, output_tokens=None),
    )
    requests, measured = read_log(written(tmp_path / "benchmarks.json", guidellm_report(run)))
    assert requests.ids == ("a", "b", "c")
    assert requests.arrival_s.tolist() == [0.0, 2.0, 3.0]
    assert requests.prompt.tolist() == [10] * 3
    assert requests.output.tolist() == [4] * 3
    np.testing.assert_allclose(measured.ttft_s, [0.5, 0.25, np.nan])
    assert measured.latency_s.tolist() == [1.5, 1.0, 1.5]
    assert requests.notes == ("requests left out: 1 without output, 1 errored",)


def test_a_bad_guidellm_report_is_refused(tmp_path):
    good = guidellm_request("a", 1.0, 2.0, 3.0)

    def refused(report):
        with pytest.raises(InputError) as error:
            read_log(written(tmp_path / "benchmarks.json", report))
        return str(error.value)

    run = guidellm_run(good)
    assert "holds no benchmarks" in refused(guidellm_report())
    assert "holds 2 benchmarks" in refused(guidellm_report(run, run))
    assert "holds 1 of 9 answered requests" in refused(
        guidellm_report(guidellm_run(good, successful=9))
    )
    for change, line in (
        ({"request_start_time": None}, "request 1: request_start_time is null"),
        ({"prompt_tokens": None}, "request 1: prompt_tokens is null"),
        ({"time_to_first_token_ms": -1}, "time_to_first_token_ms is -1"),
        ({"info": {"timings": {"last_token_iteration": 0.5}}}, "last_token_iteration is 0.5"),
        ({"info": 3}, "info is no JSON object"),
    ):
        assert line in refused(guidellm_report(guidellm_run(good | change)))
    run["requests"]["successful"] = None
    assert "requests.successful is no list" in refused(guidellm_report(run))


START_NS = 1_767_225_600_123_456_789


def test_aiperf(tmp_path):
    path = written(
        tmp_path / "profile_export.jsonl",
        aiperf_record(START_NS - 5, ms(1), ms(2), metadata={"benchmark_phase": "warmup"}),
        aiperf_record(START_NS + 1_000_000_001, ms(250.0), {"value": 1.5, "unit": "sec"}),
        aiperf_record(START_NS, {"value": 500_000_000, "unit": "ns"}, ms(2000)),
        aiperf_record(START_NS, ms(1), ms(2), error={"code": 500}),
        aiperf_record(START_NS, ms(1), ms(2), metadata={"was_cancelled": True}),
        aiperf_record(START_NS + 2_000_000_000, None, ms(750), metadata={"x_request_id": None}),
        aiperf_record(START_NS, ms(1), ms(2), metrics={"output_sequence_length": {"value": 0}}),
    )
    requests, measured = read_log(path)
    assert requests.ids == ("r789", "r790", "6")
    np.testing.assert_allclose(requests.arrival_s, [0, 1.000000001, 2], rtol=0, atol=1e-12)
    assert requests.prompt.tolist() == [30] * 3
    assert requests.output.tolist() == [5] * 3
    np.testing.assert_allclose(measured.ttft_s, [0.5, 0.25, np.nan])
    np.testing.assert_allclose(measured.latency_s, [2.0, 1.5, 0.75])
    assert requests.notes == (
        "requests left out: 1 of the warm-up, 2 failed or cancelled, 1 without output",
    )


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"metrics": {"input_sequence_length": None}}, "request 2: has no input_sequence_length"),
        ({"metrics": {"request_latency": {"value": 1, "unit": "h"}}}, "request_latency is in 'h'"),
        ({"metrics": {"request_latency": {"value": [1], "unit": "ms"}}}, "request_latency is [1]"),
        ({"metrics": {"request_latency": 5}}, "request_latency is no JSON object"),
        ({"metadata": {"request_start_ns": 1.5}}, "request_start_ns is 1.5"),
        ({"metadata": {"request_start_ns": -1}}, "request_start_ns is -1"),
    ],
)
def test_a_bad_aiperf_line_is_refused(tmp_path, change, line):
    good = aiperf_record(START_NS, ms(1), ms(2))
    bad = aiperf_record(START_NS, ms(1), ms(2), **change)
    path = written(tmp_path / "profile.jsonl", good, bad)
    with pytest.raises(InputError) as refused:
        read_log(path)
    assert line in str(refused.value)


def test_bad_json_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "profile.jsonl"
    path.write_text(json.dumps(aiperf_record(START_NS, ms(1), ms(2))) + "\n{")
    with pytest.raises(InputError, match="line 2: is no JSON"):
        read_trace(path)
    path.write_text("[" * 100_000)
    with pytest.raises(InputError, match="line 1: is no JSON"):
        read_trace(path)
    path.write_text(json.dumps(VLLM, indent=1) + "\n{")
    with pytest.raises(InputError, match="is no JSON from character"):
        read_trace(path)
    monkeypatch.setattr(bench_files, "MOST_CHARACTERS", 200)
    with pytest.raises(InputError, match="is too large for one JSON document"):
        read_trace(path)


def test_earlier_names_of_aiperf(tmp_path):
    """As releases of October 2025 write them: examples/artifacts of its repository."""

    def record(start_ns, ttft_ms, latency_ms, **other):
        metadata = {"x_request_id": "a", "timestamp_ns": start_ns, "credit_phase": "profiling"}
        metrics = {
            "input_sequence_length": {"value": 550, "unit": "tokens"},
            "output_sequence_length": {"value": 193, "unit": "tokens"},
            "ttft": {"value": ttft_ms, "unit": "ms"},
            "request_latency": {"value": latency_ms, "unit": "ms"},
        }
        return {"metadata": metadata, "metrics": metrics, "error": None, **other}

    cancelled = {"code": 499, "type": "RequestCancellationError", "message": "cancelled"}
    warm = record(START_NS, 1.0, 2.0)
    warm["metadata"]["credit_phase"] = "warmup"
    lines = [
        {**record(START_NS, 1.0, 2.0), "metrics": {}, "error": cancelled},
        warm,
        record(START_NS + 500_000_000, 1680.5, 7937.0),
        record(START_NS, 3340.5, 8214.0),
    ]
    path = tmp_path / "profile_export.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    requests, measured = read_log(path)
    assert requests.arrival_s.tolist() == pytest.approx([0.0, 0.5])
    assert requests.prompt.tolist() == [550, 550]
    assert measured.ttft_s.tolist() == pytest.approx([3.3405, 1.6805])
    assert measured.latency_s.tolist() == pytest.approx([8.214, 7.937])
    assert any("1 " in note for note in requests.notes)
