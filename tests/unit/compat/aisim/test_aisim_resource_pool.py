"""AISim's resource_pool.yaml: every field, both ways, and pools that are wrong."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from lydite.compat.aisim import read_resource_pool, write_resource_pool
from lydite.errors import InputError, UnitError
from lydite.hardware import find_device
from lydite.hardware.cluster import best_ring, degraded, path_cost, paths, read_cluster

MI100 = find_device("mi100")
Gib = 2.0**30 / 8


def link(dest, rate="192Gibps", kind="PCIE", latency="1us", scheduler="FIFO"):
    return {
        "dest": dest,
        "type": kind,
        "rate": rate,
        "propagation_latency": latency,
        "scheduler": scheduler,
    }


def node(*links, performance="12Tibps"):
    return {"links": list(links), "properties": {"average_performance": performance}}


def pool(hosts=2, gpus=2):
    """Hosts with a switch each that is linked to every other switch."""
    raw = {"Server": {}, "Switch": {}}
    for h in range(hosts):
        mine = f"/switch/h{h}/s/"
        names = [f"/server/h{h}/GPU/{g}/" for g in range(gpus)]
        raw["Server"][f"h{h}"] = {
            "CPU": {0: node(link(mine), performance="192Gibps")},
            "GPU": {
                g: node(link(mine), *(link(o, "300Gibps") for o in names if o != names[g]))
                for g in range(gpus)
            },
        }
        others = [f"/switch/h{o}/s/" for o in range(hosts) if o != h]
        raw["Switch"][f"h{h}/s"] = {
            "links": [
                link(f"/server/h{h}/CPU/0/"),
                *(link(name) for name in names),
                *(link(o, "100Gibps", "RDMA", "2us", "FairSharing") for o in others),
            ]
        }
    return raw


def read(tmp_path, raw):
    path = tmp_path / "resource_pool.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return read_resource_pool(path, MI100)


def columns(cluster):
    links = cluster.links
    return [
        *(getattr(links, name) for name in links.__dataclass_fields__),
        cluster.nodes.kind,
        cluster.nodes.host,
        cluster.performance,
        cluster.device_node,
        cluster.device_factor,
        np.array(cluster.labels),
    ]


def test_every_field_is_honoured(tmp_path):
    cluster = read(tmp_path, pool())
    assert (cluster.ranks, cluster.hosts, cluster.device.name) == (4, 2, "amd-mi100")
    assert cluster.node_name(cluster.rank_node(3)) == "/server/h1/GPU/1/"
    found = paths(cluster, [cluster.rank_node(0)] * 2, [cluster.rank_node(1), cluster.rank_node(2)])
    bandwidth, latency = path_cost(cluster, found)
    assert found.hops.tolist() == [1, 3]
    assert bandwidth.tolist() == [300 * Gib, 100 * Gib]
    assert latency.tolist() == [pytest.approx(1e-6), pytest.approx(1e-6 + 2e-6 + 1e-6)]
    assert cluster.links.fifo[found[1]].tolist() == [True, False, True]
    assert cluster.performance is not None
    assert cluster.performance[cluster.rank_node(0)] == 12 * 2.0**40
    assert cluster.warnings == ()
    assert best_ring(cluster, range(4)).bandwidth_bytes_per_s == 100 * Gib


def test_average_performance_is_relative_speed(tmp_path):
    raw = pool()
    raw["Server"]["h1"]["GPU"][0]["properties"]["average_performance"] = "3Tibps"
    assert read(tmp_path, raw).device_factor.tolist() == [1, 1, 0.25, 1]


def test_both_ways(tmp_path):
    cluster = read(tmp_path, pool(3, 4))
    written = write_resource_pool(cluster, tmp_path / "again.yaml")
    assert yaml.safe_load(written.read_text()) == pool(3, 4)
    for mine, again in zip(
        columns(cluster), columns(read_resource_pool(written, MI100)), strict=True
    ):
        np.testing.assert_array_equal(mine, again)


def test_odd_rates_survive_exactly(tmp_path):
    cluster = degraded(read(tmp_path, pool()), link_factors={0: 1 / 3, 5: 0.7})
    again = read_resource_pool(write_resource_pool(cluster, tmp_path / "a.yaml"), MI100)
    assert (again.links.bandwidth_bytes_per_s == cluster.links.bandwidth_bytes_per_s).all()


def test_a_catalog_cluster_as_a_pool(tmp_path):
    cluster = read_cluster("dgx-a100 x 2")
    path = write_resource_pool(cluster, tmp_path / "dgx.yaml")
    again = read_cluster(str(path), devices=16, device="a100")
    assert [again.node_name(int(n)) for n in again.device_node] == [
        cluster.node_name(int(n)) for n in cluster.device_node
    ]
    assert len(again.links) == len(cluster.links)
    assert sorted(again.links.bandwidth_bytes_per_s) == sorted(cluster.links.bandwidth_bytes_per_s)
    ends = again.device_node[[0, 0]], again.device_node[[1, 8]]
    assert path_cost(again, paths(again, *ends))[0].tolist() == [300e9, 25e9]


def test_one_way_links_of_cpus_are_told_and_others_refused(tmp_path):
    raw = pool()
    raw["Server"]["h1"]["CPU"][1] = node(link("/switch/h0/s/"), performance="192Gibps")
    cluster = read(tmp_path, raw)
    assert cluster.warnings == (
        "1 links of CPUs have no twin back, such as /server/h1/CPU/1/ to /switch/h0/s/",
    )
    assert (cluster.links.twin < 0).sum() == 1
    raw = pool()
    del raw["Switch"]["h1/s"]["links"][-1]
    with pytest.raises(InputError) as caught:
        read(tmp_path, raw)
    assert str(caught.value).endswith(
        "resource_pool.yaml: the link from /switch/h0/s/ to /switch/h1/s/ has no twin back"
    )


GPU = ("Server", "h0", "GPU", 0)
LINK = (*GPU, "links", 0)
UNITS, INPUT = UnitError, InputError


@pytest.mark.parametrize(
    ("where", "field", "value", "kind", "words"),
    [
        (LINK, "rate", "0Gibps", UNITS, "'0Gibps' moves nothing; allowed: > 0"),
        (LINK, "rate", "-5Gibps", UNITS, "'-5Gibps' is not a finite quantity >= 0"),
        (LINK, "rate", "5us", UNITS, "rate: '5us' is not in B/s"),
        (LINK, "rate", 5, UNITS, "rate: '5' has no unit"),
        (LINK, "propagation_latency", "1Gibps", UNITS, "'1Gibps' is not in s"),
        (LINK, "type", "USB", INPUT, "h0/s/: 'USB' is no type; allowed: PCIE, RDMA"),
        (LINK, "scheduler", "LIFO", INPUT, "'LIFO' is no scheduler; allowed: FIFO"),
        (LINK, "colour", "red", INPUT, "with other fields; allowed: dest, type"),
        (LINK, "dest", "/switch/h0/t/", INPUT, "unknown destination .*did you mean"),
        ((*GPU, "properties"), "average_performance", None, INPUT, "average_performance: miss"),
        ((*GPU, "properties"), "average_performance", "0Tibps", UNITS, "'0Tibps' does nothing"),
        (GPU, "links", "none", INPUT, "/server/h0/GPU/0/: 'links' is no list"),
        (("Server", "h0"), "TPU", {0: {}}, INPUT, "unknown kind of device 'TPU'"),
        (("Server", "h0", "GPU"), "x", {"links": []}, INPUT, "/server/h0/GPU/x/' is no device"),
        (("Switch",), "h0/s", 3, INPUT, "'/switch/h0/s/' has no fields"),
        ((), "Server", None, INPUT, "no GPU; allowed: Server.<host>.GPU.<index>"),
        ((), "Server", [1], INPUT, "'Server' is no mapping"),
    ],
)
def test_bad_pools(tmp_path, where, field, value, kind, words):
    raw = pool()
    inner = raw
    for key in where:
        inner = inner[key]
    inner[field] = value
    with pytest.raises(kind, match=words) as caught:
        read(tmp_path, raw)
    assert "\n" not in str(caught.value)


def test_gpus_that_nothing_reaches(tmp_path):
    raw = pool()
    for name, other in (("h0/s", "/switch/h1/s/"), ("h1/s", "/switch/h0/s/")):
        links = raw["Switch"][name]["links"]
        raw["Switch"][name]["links"] = [one for one in links if one["dest"] != other]
    with pytest.raises(InputError, match="no path from /server/h0/GPU/0/ to /server/h1/GPU/0/"):
        read(tmp_path, raw)


def test_a_pool_needs_a_device_and_is_not_multiplied(tmp_path):
    path = tmp_path / "resource_pool.yaml"
    path.write_text(yaml.safe_dump(pool()))
    with pytest.raises(InputError, match="name no device"):
        read_cluster(str(path))
    with pytest.raises(InputError, match="do not take a number of hosts"):
        read_cluster(f"{path} x 2", device="mi100")
    assert read_cluster(str(path), 3, device="mi100").ranks == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"Server: [", "not YAML"),
        (b"a: 1", "not a resource pool"),
        (b"\xff\xfe\x00\x00", "cannot be read"),
    ],
)
def test_files_that_are_no_pool(tmp_path, content, words):
    path = tmp_path / "resource_pool.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_resource_pool(path, MI100)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_resource_pool(tmp_path / "none.yaml", MI100)
