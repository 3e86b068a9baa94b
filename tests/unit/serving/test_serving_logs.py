"""Logs of vLLM against their simulation with a profile of the same GPU (LLMServingSim's data)."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from lydite.errors import InputError
from lydite.serving import Replica, Scheduler, read_profile, simulate_serving
from lydite.serving.traces import read_log

DATA = Path(os.environ.get("LYDITE_REFERENCE_DATA", Path(__file__).parents[4] / "shared" / "data"))
FOLDER = DATA / "llmservingsim"
LAYERS = 32


def with_blocks(log, workload, out):
    """The log with the blocks that prompts have in common, which the workload's file names."""
    with gzip.open(workload, "rt") as lines:
        blocks = [json.loads(line)["prefix_blocks_of_16"] for line in lines]
    with gzip.open(log, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    for row in rows:
        row["prefix_blocks_of_16"] = blocks[int(row["request_id"].rpartition("-")[2])]
    out.write_text("\n".join(map(json.dumps, rows)))
    return out


@pytest.mark.parametrize(
    ("gpu", "sequences", "kv_tokens", "limits"),
    [
        ("RTXPRO6000", 128, 440_000, (0.04, 0.015, 0.018)),
        ("RTX4090", 256, 41_408, (0.01, 0.01, 0.01)),
    ],
)
def test_a_profile_of_the_same_gpu_gives_its_log(tmp_path, gpu, sequences, kv_tokens, limits):
    if not FOLDER.is_dir():
        pytest.skip(f"no reference data in {FOLDER}: set LYDITE_REFERENCE_DATA")
    profile = FOLDER / "profile" / gpu / "meta-llama" / "Llama-3.1-8B" / "bf16" / "tp1"
    log = FOLDER / "runs" / gpu / "Llama-3.1-8B" / "requests.jsonl.gz"
    workload = FOLDER / "workloads" / "sharegpt-llama-3.1-8b-300-sps10.jsonl.gz"
    requests, measured = read_log(with_blocks(log, workload, tmp_path / "log.jsonl"))
    replica = Replica(Scheduler(max_num_seqs=sequences), read_profile(profile, LAYERS), kv_tokens)
    outcome = simulate_serving(requests, [replica])
    more = requests.output > 1
    tpot = ((measured.latency_s - measured.ttft_s) / (requests.output - 1))[more]
    pairs = (
        (measured.ttft_s, outcome.ttft_s),
        (tpot, outcome.tpot_s[more]),
        (measured.latency_s, outcome.latency_s),
    )
    for (seen, played), limit in zip(pairs, limits, strict=True):
        assert played.mean() == pytest.approx(seen.mean(), rel=limit)
    assert np.median(np.abs(outcome.latency_s / measured.latency_s - 1)) < 0.05


def test_a_profile_that_is_not_whole_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no dense\.csv"):
        read_profile(tmp_path, LAYERS)
    (tmp_path / "dense.csv").write_text("layer,tokens,time_us\nqkv,1,x\n")
    (tmp_path / "attention.csv").write_text("a\n1\n")
    (tmp_path / "per_sequence.csv").write_text("layer,sequences,time_us\nlm_head,1,5\n")
    with pytest.raises(InputError, match="no number in the column"):
        read_profile(tmp_path, LAYERS)
    with pytest.raises(InputError, match="0 layers"):
        read_profile(tmp_path, 0)
