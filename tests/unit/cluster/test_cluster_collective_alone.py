"""A collective by itself: nccl-tests' bandwidths, what binds it, message by message."""

from __future__ import annotations

import pytest

import lydite as ly
from lydite.errors import InputError

GB = 1e9


@pytest.mark.parametrize(
    ("kind", "factor"),
    [
        ("allreduce", 2 * 15 / 16),
        ("allgather", 15 / 16),
        ("reduce-scatter", 15 / 16),
        ("alltoall", 15 / 16),
        ("broadcast", 1),
        ("send", 1),
    ],
)
def test_bandwidths_are_those_of_nccl_tests(kind, factor):
    found = ly.collective(kind, bytes=1e9, on="dgx-h100 x 2").document()
    assert found["algorithm_bandwidth_bytes_per_s"] == pytest.approx(1e9 / found["seconds"])
    ratio = found["bus_bandwidth_bytes_per_s"] / found["algorithm_bandwidth_bytes_per_s"]
    assert ratio == pytest.approx(factor)
    assert found["hosts"] == 2
    assert found["ranks"] == (2 if kind == "send" else 16)


def test_what_was_chosen_is_the_fastest_that_nccl_has():
    found = ly.collective("allreduce", bytes="1 MiB", on="dgx-h100 x 16").document()
    known = [w for w in found["alternatives"] if w["algorithm"] in ("ring", "tree")]
    assert len(known) == 5
    assert all(way["seconds"] >= found["seconds"] for way in known)
    assert {"halving", "hierarchical"} <= {way["algorithm"] for way in found["alternatives"]}
    told = ly.collective(
        "allreduce", bytes="1 MiB", on="dgx-h100 x 16", algorithm="ring", protocol="LL"
    ).document()
    assert (told["algorithm"], told["protocol"]) == ("ring", "LL")
    assert told["reason"] == "ring and LL as requested"
    assert any(w["seconds"] == told["seconds"] for w in [*known, found])


def test_the_link_that_binds_has_the_largest_load():
    """Inside a host the switch; between two a card of 50 GB/s for each of eight rings."""
    inside, across = (
        ly.collective("allreduce", bytes="1 GiB", on=on).document()["binding_link"]
        for on in ("dgx-h100", "dgx-h100 x 2")
    )
    assert (inside["kind"], inside["bandwidth_bytes_per_s"]) == ("nvswitch", 450 * GB)
    assert across["bandwidth_bytes_per_s"] in (50 * GB, 450 * GB)


@pytest.mark.parametrize("on", ["dgx-h100", "dgx-a100 x 2", "dgx-1v"])
def test_a_ring_played_message_by_message_takes_its_closed_form(on):
    closed, links = (
        ly.collective(
            "allreduce", bytes="256 MiB", on=on, algorithm="ring", protocol="Simple", network=n
        )
        for n in ("closed", "links")
    )
    assert links.seconds == pytest.approx(closed.seconds, rel=1e-6)
    assert (closed.document()["source"], links.document()["source"]) == ("modelled", "simulated")


@pytest.mark.parametrize("algorithm", ["hierarchical", "halving"])
@pytest.mark.parametrize("on", ["dgx-h100 x 2", "dgx-h100 x 4", "dgx-h100"])
def test_algorithms_whose_ranks_all_send_across_share_the_cards(algorithm, on):
    how = {"bytes": "256 MiB", "on": on, "algorithm": algorithm, "protocol": "Simple"}
    closed, links = (
        ly.collective("allreduce", **how, network=n).seconds for n in ("closed", "links")
    )
    assert links == pytest.approx(closed, rel=0.05)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "allreduse"}, "unknown collective 'allreduse'.*did you mean 'allreduce'"),
        ({"bytes": "1 GHz"}, "--bytes"),
        ({"bytes": "7"}, "has no unit"),
        ({"bytes": 0}, "0 bytes; allowed: more than 0"),
        ({"ranks": 1}, "a collective of one rank"),
        ({"ranks": 9}, "9 devices requested"),
        ({"algorithm": "rings"}, "unknown algorithm of AllReduce 'rings'"),
        ({"protocol": "LL12"}, "unknown protocol 'LL12'"),
        ({"network": "link"}, "unknown network 'link'"),
        ({"on": "dgx-h100 x 128", "network": "links"}, "up to 512 ranks"),
    ],
)
def test_bad_input(given, message):
    usual = {"kind": "allreduce", "bytes": "1 GiB", "on": "dgx-h100"}
    with pytest.raises(InputError, match=message):
        ly.collective(**{**usual, **given})
