"""Offload to the host: bytes over its link and through its memory, and what the device saves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lydite.cluster import ASSUMED, Plan, simulate_step
from lydite.cluster.offload import HOST_MEMORY_BYTES_PER_S
from lydite.errors import InputError
from lydite.estimate.roofline import Roofline
from lydite.hardware.cluster import make_cluster, read_cluster
from lydite.models.decoder import decoder
from lydite.models.dimensions import Decoder

SIZE = Decoder(layers=4, hidden=256, heads=8, feed_forward=1024, vocabulary=32000, positions=256)
PCIE_4 = 31.508e9 * 0.85
"""Sixteen lanes of PCIe 4.0 as the cluster file has them, at the share assumed."""


def net(dtype: str = "bfloat16"):
    return decoder(SIZE, batch=1, sequence=128, phase="forward", dtype=dtype)


PARAMETERS = net().parameter_count


def step(cluster: str = "dgx-a100", dtype: str = "bfloat16", **given):
    rest = {name: given.pop(name) for name in ("unfolded", "constants") if name in given}
    plan = Plan(**given)
    found = read_cluster(cluster, plan.ranks)
    return simulate_step(net(dtype), found, plan, Roofline(), **rest)


def spans(result, *ends: str) -> float:
    tasks, span = result.played.tasks, result.timeline.span_ps
    return sum(int(span[at]) for at in range(len(span)) if tasks.names[at].endswith(ends)) * 1e-12


@pytest.mark.parametrize(
    ("dtype", "kept", "moved", "weight"),
    [
        ("bfloat16", 12, 4 + 2 * 12 + 2, 2),
        ("float32", 12, 4 + 2 * 12, 4),
    ],
)
def test_bytes_of_adam_on_the_host(dtype, kept, moved, weight):
    """A parameter's gradient comes (4 bytes), master and two states are read and written."""
    found = step(dtype=dtype, offload="optimizer")
    assert spans(found, "to host") == pytest.approx(4 * PARAMETERS / PCIE_4, rel=1e-6)
    assert spans(found, "weights from host") == pytest.approx(
        weight * PARAMETERS / PCIE_4, rel=1e-6
    )
    update = moved * PARAMETERS / HOST_MEMORY_BYTES_PER_S
    assert spans(found, "update on host") == pytest.approx(update, rel=1e-6)
    assert found.host_memory_bytes == (kept + 4) * PARAMETERS
    assert found.memory[0]["optimizer"] == 0
    assert step(dtype=dtype).memory[0] | {"optimizer": 0} == found.memory[0]


@pytest.mark.parametrize("zero", [1, 2, 3])
def test_each_rank_moves_its_shard_and_shares_links_and_memory(zero):
    """Two GPUs of a DGX A100 share a switch's way to the processor; eight share its memory."""
    found = step(dp=8, batch=8, zero=zero, offload="optimizer")
    to_host = 4 * PARAMETERS / 8 / (PCIE_4 / 2)
    assert spans(found, "to host") == pytest.approx(to_host, rel=1e-6)
    update = 30 * PARAMETERS / HOST_MEMORY_BYTES_PER_S
    assert spans(found, "update on host") == pytest.approx(update, rel=1e-6)
    assert found.host_memory_bytes == pytest.approx(16 * PARAMETERS)


def test_parameters_are_fetched_before_each_gather():
    plan = {"dp": 8, "batch": 16, "zero": 3}
    states, both = (step(**plan, offload=o) for o in ("optimizer", "parameters"))
    fetched = 4 * 2 * PARAMETERS / 8 / (PCIE_4 / 2)  # two micro-batches, forward and backward
    assert spans(both, "fetch") == pytest.approx(fetched, rel=1e-6)
    assert spans(states, "fetch") == spans(both, "weights from host") == 0
    assert (both.memory[0]["weights"], states.memory[0]["weights"]) == (0, PARAMETERS * 2 / 8)
    assert both.host_memory_bytes - states.host_memory_bytes == pytest.approx(2 * PARAMETERS)


@pytest.mark.parametrize("zero", [0, 1, 2, 3])
@pytest.mark.parametrize("overlap", [True, False])
def test_more_offload_never_needs_more_memory_nor_less_time(zero, overlap):
    wanted = ("none", "optimizer", "parameters")[: 3 if zero == 3 else 2]
    steps = [step(dp=4, batch=8, zero=zero, overlap=overlap, offload=o) for o in wanted]
    memory = [each.peak_memory_bytes for each in steps]
    assert memory == sorted(memory, reverse=True)
    assert all(each.seconds >= steps[0].seconds for each in steps)
    for each in steps:
        spent = sum(v for k, v in each.breakdown_s.items() if k != "of it launches")
        assert spent == pytest.approx(each.seconds)


@pytest.mark.parametrize(
    "plan",
    [
        {"dp": 2, "pp": 2, "tp": 2, "batch": 8, "offload": "optimizer"},
        {"dp": 8, "zero": 2, "shard_size": 4, "batch": 8, "offload": "optimizer"},
        {"dp": 4, "zero": 1, "batch": 8, "offload": "optimizer", "lora_rank": 4},
    ],
)
def test_folded_steps_equal_unfolded_ones(plan):
    one, every = (step(**plan, unfolded=unfolded) for unfolded in (False, True))
    assert one.timeline.makespan_ps == every.timeline.makespan_ps


def test_a_faster_host_updates_faster():
    fast = replace(ASSUMED, host_memory_bytes_per_s=2 * HOST_MEMORY_BYTES_PER_S)
    slow, quick = (step(offload="optimizer", constants=c) for c in (ASSUMED, fast))
    assert spans(slow, "update on host") == pytest.approx(2 * spans(quick, "update on host"))


def test_what_cannot_be_offloaded():
    with pytest.raises(InputError, match="which keeps whole weights; add --zero 3"):
        Plan(dp=2, zero=1, offload="parameters")
    with pytest.raises(InputError, match=r"unknown offload 'optimiser'.*did you mean 'optimizer'"):
        Plan(offload="optimiser")
    bare = make_cluster("nvidia-a100-sxm4-40gb", 1, 2, 300e9, 25e9)
    with pytest.raises(InputError, match="no link from devices to a host; give 'pcie'"):
        simulate_step(net(), bare, Plan(offload="optimizer"), Roofline())
