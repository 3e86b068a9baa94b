"""Tiers by their options: sizes of blocks, links from the catalog, and the document."""

from __future__ import annotations

import json

import pytest

import lydite as ly
from lydite.errors import InputError
from lydite.hardware import find_device
from lydite.serving.messages import host_link

LAYERS, KV_HEADS, HEAD = 4, 4, 64
CONFIG = {
    "model_type": "llama",
    "hidden_size": 512,
    "intermediate_size": 512,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 8,
    "num_key_value_heads": KV_HEADS,
    "vocab_size": 512,
    "max_position_embeddings": 4096,
}
BLOCK_BYTES = 16 * 2 * LAYERS * KV_HEADS * HEAD * 2
"""16 tokens, keys and values, two bytes each."""
LOAD = {"on": "h100", "rate": 20.0, "requests": 60, "isl": 300, "osl": 10, "turns": 3}
SHORT = {**LOAD, "think": 1.0, "kv_tokens": 2000}


@pytest.fixture
def llama(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG))
    return str(path)


def told_of(row):
    assert row["tiers"] is not None
    return row["tiers"]


def test_no_room_is_no_tier_to_the_byte(llama):
    none, empty = ly.serve(llama, **SHORT), ly.serve(llama, kv_host="0GiB", **SHORT)
    assert json.dumps(none.to_dict()) == json.dumps(empty.to_dict())
    assert none.served["deployments"][0]["tiers"] is None


@pytest.mark.parametrize("tp", [1, 2])
def test_blocks_are_of_all_ranks_and_each_has_a_link(llama, tp):
    result = ly.serve(llama, tp=tp, kv_host="1GiB", kv_host_link="10GB/s", **SHORT)
    row = result.served["deployments"][0]
    told = told_of(row)
    assert told["block_bytes"] == pytest.approx(BLOCK_BYTES, rel=0.01)
    assert told["host_link_bytes_per_s"] == tp * 10e9
    for moved in told["moved_bytes"].values():
        assert moved % told["block_bytes"] == 0
    assert told["moved_bytes"]["from host"] > 0
    found = told["device_hit_tokens"] + told["host_hit_tokens"] + told["disk_hit_tokens"]
    assert found == sum(each["cached"] for each in result.requests())
    assert told["host_hit_tokens"] == told["moved_bytes"]["from host"] // told["block_bytes"] * 16
    without = ly.serve(llama, tp=tp, **SHORT).served["deployments"][0]
    assert row["cached_share"] > without["cached_share"]
    assert "prompt tokens found" in result.summary()


def test_stages_copy_the_parts_of_a_block_over_links_of_their_own(llama):
    """Two stages of two layers each: a block is as large as without, and has two links."""
    given = {**SHORT, "kv_host": "1GB", "kv_host_link": "10GB/s"}
    (plain,) = ly.serve(llama, **given).served["deployments"]
    (staged,) = ly.serve(llama, pp=2, **given).served["deployments"]
    assert staged["unfinished"] == 0
    assert told_of(staged)["block_bytes"] == told_of(plain)["block_bytes"]
    assert told_of(staged)["block_bytes"] == pytest.approx(BLOCK_BYTES, rel=0.01)
    assert told_of(staged)["host_link_bytes_per_s"] == 20e9
    assert told_of(staged)["host_hit_tokens"] > 0


def test_a_slow_link_is_named(llama):
    slow = ly.serve(llama, kv_host="1GiB", kv_host_link="20MB/s", **SHORT)
    why = slow.served["deployments"][0]["why"]
    assert any("KV tiers" in line for line in why)
    fast = ly.serve(llama, kv_host="1GiB", kv_host_link="1TB/s", **SHORT)
    assert not any("KV tiers" in line for line in fast.served["deployments"][0]["why"])


def test_a_disk_takes_what_host_memory_does_not(llama):
    blocks = f"{20 * BLOCK_BYTES * 1.01:.0f}B"
    disk = {"kv_disk": "1GB", "kv_disk_link": "10GB/s"}
    told = told_of(ly.serve(llama, kv_host=blocks, **disk, **SHORT).served["deployments"][0])
    assert told["disk_hit_tokens"] > 0
    assert told["moved_bytes"]["from disk"] == told["disk_hit_tokens"] // 16 * told["block_bytes"]
    assert told["disk_link_bytes_per_s"] == 10e9


def test_the_link_is_that_of_the_catalogs_host():
    """PCI Express 5.0, 16 lanes: 32 GT/s x 128 / 130."""
    known = host_link(find_device("h100"))
    assert known == (pytest.approx(16 * 32e9 * 128 / 130 / 8, rel=1e-4), "dgx-h100")
    assert host_link(find_device("rtx-4090")) is None


def test_only_replicas_that_prefill_have_tiers(llama):
    row = ly.serve(llama, layout="pd1:1", kv_host="1GiB", **SHORT).served["deployments"][0]
    told = told_of(row)
    assert told["host_hit_tokens"] > 0
    with pytest.raises(InputError, match="not modelled for sglang"):
        ly.serve(llama, runtime="sglang", kv_host="1GiB", **SHORT)
