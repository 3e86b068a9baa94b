"""Traces, logs, layouts and objectives as people write them."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from lydite.errors import InputError, UnitError
from lydite.serving.layout import read_layout, read_part
from lydite.serving.metrics import read_objectives
from lydite.serving.traces import read_log, read_trace
from lydite.serving.workloads import drawn

DATA = Path(os.environ.get("LYDITE_REFERENCE_DATA", Path(__file__).parents[4] / "shared" / "data"))


def test_azure(tmp_path):
    path = tmp_path / "azure.csv"
    path.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n"
    )
    requests = read_trace(path)
    assert requests.arrival_s[1] == pytest.approx(4.314579)
    assert requests.prompt.tolist() == [374, 396]
    assert requests.origin == "Azure: azure.csv"


def test_mooncakes_blocks_of_512_are_blocks_of_16(tmp_path):
    path = tmp_path / "mooncake.jsonl.gz"
    rows = [
        {"timestamp": 0, "input_length": 1100, "output_length": 5, "hash_ids": [0, 1, 2]},
        {"timestamp": 3000, "input_length": 600, "output_length": 5, "hash_ids": [0, 9]},
    ]
    with gzip.open(path, "wt") as lines:
        lines.write("\n".join(map(json.dumps, rows)))
    requests = read_trace(path)
    first, second = (
        requests.keys[requests.key_start[n] : requests.key_start[n + 1]] for n in (0, 1)
    )
    assert (len(first), len(second)) == (1100 // 16, 600 // 16)
    assert (first[:32] == second[:32]).all()
    assert not np.intersect1d(first[32:], second[32:]).size
    assert requests.arrival_s[1] == 3.0


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "holds no requests"),
        ("a,b\n1,2\n", "has the columns a, b"),
        ("arrival_s,prompt,output\n0,5,x\n", "request 1: has no number in 'output'"),
        ("arrival_s,prompt,output\n0,5,1\n-1,5,1\n", "request 2: arrives at -1 s"),
        ("arrival_s,prompt,output\n1,5,1\n0,5,1\n", "request 2 arrives before the one above it"),
        ("arrival_s,prompt,output\n0,0,1\n", "request 1 tokens of prompt: 0"),
        ("arrival_s,prompt,output\n0,5.5,1\n", "prompt is 5.5"),
        ("arrival_s,prompt,output\nnan,5,1\n", "arrival_s is nan"),
    ],
)
def test_a_bad_trace_is_refused(tmp_path, text, line):
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        read_trace(path)
    assert line in str(refused.value)


def test_a_bad_line_is_named(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text('{"timestamp": 0, "input_length": 1, "output_length": 1}\n{')
    with pytest.raises(InputError, match=r"line 2: is no JSON"):
        read_trace(path)
    with pytest.raises(InputError, match="holds no times of tokens"):
        path.write_text('{"timestamp": 0, "input_length": 1, "output_length": 1}\n')
        read_log(path)
    with pytest.raises(InputError, match="is no trace"):
        read_trace(tmp_path / "trace.txt")


@pytest.mark.parametrize(
    ("text", "told", "devices"),
    [
        ("tp2", "1xtp2", 2),
        ("tp2x4", "4xtp2", 8),
        ("4xtp2", "4xtp2", 8),
        ("3", None, 0),
        ("2xtp4+6xtp1", "2xtp4+6xtp1", 14),
        ("pd2:6", "prefill 2xtp1, decode 6xtp1", 8),
        ("pd2tp4:6tp2", "prefill 2xtp4, decode 6xtp2", 20),
        ("tp0", None, 0),
        ("pd0:6", None, 0),
        ("", None, 0),
    ],
)
def test_layouts(text, told, devices):
    if told is None:
        with pytest.raises(InputError):
            read_layout(text)
        return
    layout = read_layout(text)
    assert (str(layout), layout.devices) == (told, devices)


def test_a_part_has_a_role():
    assert read_part("4xtp2", "prefill").role == "prefill"


def test_objectives():
    first, second, third = read_objectives("ttft.p99=600ms, tpot.p90<=16 ms,latency.mean=2s")
    assert (first.figure, first.at, first.limit_s) == ("ttft", "p99", 0.6)
    assert (second.at, second.limit_s) == ("p90", 0.016)
    assert third.at == "mean"
    assert str(read_objectives("itl=50ms")[0]) == "itl.p99"


@pytest.mark.parametrize(
    "text", ["ttf.p99=1s", "ttft.p0=1s", "ttft.p100=1s", "ttft", ",", "tpot=0s"]
)
def test_bad_objectives(text):
    with pytest.raises(InputError):
        read_objectives(text)


@pytest.mark.parametrize("text", ["ttft.p99=600", "ttft.p99=600m", "ttft.p99=6 req/s"])
def test_objectives_have_a_unit(text):
    with pytest.raises((InputError, UnitError)):
        read_objectives(text)


def test_drawn_requests_have_the_asked_means():
    requests = drawn(20_000, isl=500, osl=100, rate=8.0, spread=0.5, arrival="gamma", seed=1)
    assert requests.prompt.mean() == pytest.approx(500, rel=0.02)
    assert requests.output.mean() == pytest.approx(100, rel=0.02)
    assert requests.rate == pytest.approx(8.0, rel=0.05)
    gaps = np.diff(requests.arrival_s)
    assert gaps.std() / gaps.mean() == pytest.approx(2.0, rel=0.05)


def test_a_conversation_repeats_what_was_said():
    requests = drawn(6, isl=160, osl=32, rate=1.0, turns=3, think_s=2.0)
    assert requests.prompt.tolist() == [160, 352, 544] * 2
    assert requests.successor.tolist() == [1, 2, -1, 4, 5, -1]
    first, second = (
        requests.keys[requests.key_start[n] : requests.key_start[n + 1]] for n in (0, 1)
    )
    assert (second[: len(first)] == first).all()
    assert len(first) == (160 + 32) // 16


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"rate": 1.0, "concurrency": 2},
        {"rate": 0.0},
        {"rate": 1.0, "arrival": "poison"},
        {"rate": 1.0, "prefix": 2.0},
        {"concurrency": 2, "turns": 2},
    ],
)
def test_bad_workloads(words):
    with pytest.raises(InputError):
        drawn(10, isl=10, osl=10, **words)


def test_published_traces():
    folder = DATA / "traces"
    if not folder.is_dir():
        pytest.skip(f"no reference data in {folder}: set LYDITE_REFERENCE_DATA")
    counts = {
        "azure_2023_code.csv.gz": 8819,
        "azure_2023_conv.csv.gz": 19366,
        "mooncake_conversation.jsonl.gz": 12031,
    }
    for name, count in counts.items():
        assert len(read_trace(folder / name)) == count
