"""The cluster catalog against what the vendors print, and clusters by what users type."""

from __future__ import annotations

from importlib import resources

import numpy as np
import pytest
import yaml

from lydite.errors import InputError
from lydite.hardware import find_device
from lydite.hardware.cluster import (
    LINK_KINDS,
    NODE_KINDS,
    best_ring,
    json_schema,
    known_clusters,
    make_cluster,
    path_cost,
    paths,
    read_cluster,
)

G = 1e9
NAMES = sorted(known_clusters())


def out_of(cluster, rank, *kinds):
    """Bandwidth that leaves a rank over links of some kinds."""
    links = cluster.links
    chosen = (links.source == cluster.rank_node(rank)) & np.isin(
        links.kind, [LINK_KINDS.index(kind) for kind in kinds]
    )
    return links.bandwidth_bytes_per_s[chosen].sum()


# One direction of all NVLinks or xGMI links of a device: half of what the data sheets print.
EACH_WAY = {
    "dgx-1v": 300 * G / 2,
    "dgx-a100": 600 * G / 2,
    "dgx-a100-80gb": 600 * G / 2,
    "a100-superpod": 600 * G / 2,
    "dgx-h100": 900 * G / 2,
    "h100-superpod": 900 * G / 2,
    "dgx-h200": 900 * G / 2,
    "dgx-b200": 1800 * G / 2,
    "mi100-box": 276 * G / 2,
    "mi250-box": 600 * G / 2,
    "v100-pcie": 0.0,
    "hgx-h20": 900 * G / 2,
    "hgx-h800": 400 * G / 2,
    "hgx-a800": 400 * G / 2,
    "dgx-b300": 1800 * G / 2,
    "gb200-nvl72": 1800 * G / 2,
    "gb300-nvl72": 1800 * G / 2,
    "mi300x-box": 896 * G / 2,
    "mi325x-box": 896 * G / 2,
    "mi355x-box": 1075.2 * G / 2,
}
# Rate of all network cards of a host, as the data sheets print it.
NETWORK = {
    "dgx-1v": 4 * 100e9 / 8,
    "dgx-a100": 8 * 200e9 / 8,
    "dgx-h100": 8 * 400e9 / 8,
    "dgx-b200": 8 * 400e9 / 8,
    "dgx-b300": 8 * 800e9 / 8,
    "gb200-nvl72": 72 * 400e9 / 8,
    "gb300-nvl72": 72 * 800e9 / 8,
}
# The data sheets' figures of eight devices: memory in GB, power of the system in W.
SYSTEM = {
    "dgx-1v": (256, 3500),
    "dgx-a100": (320, 6500),
    "dgx-a100-80gb": (640, 6500),
    "dgx-h100": (640, 10200),
    "dgx-h200": (1128, 10200),
    "dgx-b200": (1440, 14300),
    "dgx-b300": (2160, 14000),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_device_has_the_links_of_its_data_sheet(name):
    cluster = read_cluster(name)
    for rank in range(cluster.ranks):
        each_way = out_of(cluster, rank, "nvlink", "nvswitch", "xgmi")
        assert each_way == pytest.approx(EACH_WAY[name])


@pytest.mark.parametrize("name", NETWORK)
def test_a_host_has_the_network_of_its_data_sheet(name):
    cluster = read_cluster(name)
    links = cluster.links
    cables = (cluster.nodes.host[links.source] == 0) & (cluster.nodes.host[links.target] == -1)
    assert links.bandwidth_bytes_per_s[cables].sum() == pytest.approx(NETWORK[name])


@pytest.mark.parametrize("name", SYSTEM)
def test_a_host_has_the_memory_and_power_of_its_data_sheet(name):
    cluster = read_cluster(name)
    memory, power = SYSTEM[name]
    assert 8 * cluster.device.memory_bytes == pytest.approx(memory * 1e9)
    assert cluster.economics.host_power_w == power


@pytest.mark.parametrize("name", NAMES)
def test_a_catalog_cluster_is_complete(name):
    cluster = read_cluster(name)
    assert cluster.devices_per_host == (72 if "nvl72" in name else 8)
    assert cluster.ranks == cluster.devices_per_host * cluster.hosts
    for field in ("fabric", "latency", "pcie.bandwidth_each_way", "mesh", "nics", "grid", "price"):
        assert len(cluster.source(field)) > 10
    assert cluster.economics.grid_kg_per_kwh == 0.48
    priced = cluster.economics.price_per_device_hour_usd
    assert (priced is None) == ("price_per_device_hour" not in cluster.sources)
    assert priced is None or 2 < priced < 20


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("hosts", [1, 2, 5])
def test_every_link_has_its_twin_and_every_pair_a_path(name, hosts):
    """Of five hosts, pairs with the first one and with some devices of the others."""
    cluster = read_cluster(f"{name} x {hosts}")
    links = cluster.links
    assert (links.twin[links.twin] == np.arange(len(links))).all()
    assert (links.source[links.twin] == links.target).all()
    assert (links.bandwidth_bytes_per_s[links.twin] == links.bandwidth_bytes_per_s).all()
    nodes, first = cluster.device_node, cluster.devices_per_host
    some = nodes if hosts < 5 else np.append(nodes[:first], nodes[first::7])
    one, other = np.meshgrid(nodes, some)
    found = paths(cluster, one.ravel(), other.ravel())
    assert (found.hops[one.ravel() != other.ravel()] > 0).all()
    assert (found.hops[one.ravel() == other.ravel()] == 0).all()


def test_files_are_named_after_their_cluster_and_aliases_are_unique():
    names = []
    for entry in (resources.files("lydite.hardware.catalog.clusters")).iterdir():
        if entry.name.endswith(".yaml"):
            raw = yaml.safe_load(entry.read_text())
            assert entry.name == f"{raw['name']}.yaml"
            assert find_device(raw["device"]).name == raw["device"]
            names += [raw["name"], *raw["aliases"]]
    assert len(names) == len(set(names))


def test_a_dgx_1_is_a_hybrid_cube_mesh():
    cluster = read_cluster("dgx-1")
    links = cluster.links
    mesh = np.zeros((8, 8))
    nvlink = links.kind == LINK_KINDS.index("nvlink")
    mesh[links.source[nvlink], links.target[nvlink]] = links.bandwidth_bytes_per_s[nvlink] / 25e9
    assert (mesh == mesh.T).all()
    assert (mesh.sum(1) == 6).all()  # six NVLinks a V100
    assert ((mesh > 0).sum(1) == 4).all()  # to four neighbours
    assert (mesh[:4, :4] == mesh[4:, 4:]).all()  # two equal quads, each fully connected
    assert (mesh[:4, :4] + np.eye(4) > 0).all()
    assert ((mesh[:4, 4:] > 0) == np.eye(4, dtype=bool)).all()  # joined corner to corner


def test_a_superpod_has_the_switches_of_its_reference_architecture():
    # RA-11333, table of compute fabric switches: hosts, leaves, spines.
    for hosts, leaves, spines in ((32, 8, 4), (64, 16, 8), (128, 32, 16)):
        kind = read_cluster(f"h100-superpod x {hosts}").nodes.kind
        assert (kind == NODE_KINDS.index("leaf")).sum() == leaves
        assert (kind == NODE_KINDS.index("spine")).sum() == spines


@pytest.mark.parametrize("hosts", [32, 128, 512, 1024])
def test_a_superpod_blocks_nothing_and_no_switch_has_too_many_ports(hosts):
    cluster = read_cluster(f"h100-superpod x {hosts}")
    assert cluster.ranks == 8 * hosts
    links, kind, host = cluster.links, cluster.nodes.kind, cluster.nodes.host
    ports = np.bincount(links.source, minlength=len(kind))
    assert ports[host < 0].max() <= 64
    upward = kind[links.source] < kind[links.target]
    down = (kind[links.source] == NODE_KINDS.index("nic")) & (host[links.target] < 0)
    leaves = kind[links.source] == NODE_KINDS.index("leaf")
    assert (leaves & upward).sum() >= down.sum()
    assert cluster.bisection_bytes_per_s == hosts / 2 * 400e9


def test_the_second_card_is_on_the_second_rail():
    cluster = read_cluster("h100-superpod x 64")
    same = paths(cluster, cluster.device_node[3], cluster.device_node[8 * 31 + 3])
    assert [cluster.link_name(int(link)) for link in same[0]] == [
        "/server/host0/GPU/3/ -> /switch/host0/pcie3/",
        "/switch/host0/pcie3/ -> /switch/host0/nic3/",
        "/switch/host0/nic3/ -> /switch/leaf3/",
        "/switch/leaf3/ -> /switch/host31/nic3/",
        "/switch/host31/nic3/ -> /switch/host31/pcie3/",
        "/switch/host31/pcie3/ -> /server/host31/GPU/3/",
    ]
    beyond = paths(cluster, cluster.device_node[3], cluster.device_node[8 * 32 + 3])
    assert beyond.hops[0] == 8  # by a spine


@pytest.mark.parametrize(
    ("text", "ranks", "hosts"),
    [
        ("dgx-a100", 8, 1),
        ("DGX-A100", 8, 1),
        ("p4d", 8, 1),
        ("dgx-a100 x 16", 128, 16),
        ("dgx-a100 x16", 128, 16),
        (" h100-superpod ", 256, 32),
        ("h100 x 64", 64, 64),
        ("amd-mi210 x 3", 3, 3),
        ("t4 x 1", 1, 1),
    ],
)
def test_selection(text, ranks, hosts):
    cluster = read_cluster(text)
    assert (cluster.ranks, cluster.hosts) == (ranks, hosts)
    assert cluster.host_of_rank.tolist() == sorted(cluster.host_of_rank.tolist())


def test_only_some_devices_and_another_device():
    cluster = read_cluster("dgx-a100 x 2", devices=12, device="h100")
    assert (cluster.ranks, cluster.hosts, cluster.devices_per_host) == (12, 2, 8)
    assert cluster.device.name == "nvidia-h100-sxm5-80gb"
    assert cluster.rank_node(11) == cluster.device_node[11]


def test_a_device_of_the_users_own(tmp_path):
    spec = {
        "name": "mine",
        "title": "Mine",
        "kind": "npu",
        "vendor": "me",
        "units": 1,
        "peak": {"float32": "2 TFLOP/s"},
        "memory": "16 GiB",
        "memory_bandwidth": "100 GB/s",
        "sources": {"": "me"},
    }
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(spec))
    cluster = read_cluster(f"{path} x 64")
    assert (cluster.ranks, cluster.device.name) == (64, "mine")
    assert "assumed" in cluster.source("bandwidth")
    assert best_ring(cluster, range(64)).bandwidth_bytes_per_s == 50e9


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("dgx-a10", {}, "unknown cluster 'dgx-a10'; allowed: .*did you mean 'dgx-a100'"),
        ("h100", {}, "'h100' is a device, not a cluster; allowed: .*dgx-h100.*'h100 x N'"),
        ("dgx-a100 x 0", {}, "'dgx-a100 x 0' has 0 hosts; allowed: 1 to 65536"),
        ("dgx-a100 x 9999999999", {}, "has 9999999999 hosts; allowed: 1 to 65536"),
        ("none.yaml", {}, "none.yaml: cannot be read: No such file"),
        ("none.yaml x 3", {}, "none.yaml: cannot be read: No such file"),
        (
            "dgx-a100",
            {"devices": 16},
            "16 devices requested, but 'dgx-a100' has 8; allowed: 1 to 8",
        ),
        ("dgx-a100", {"devices": 0}, "0 devices requested"),
        ("dgx-a100", {"device": "h10"}, "unknown device 'h10'"),
        ("", {}, "unknown cluster ''"),
    ],
)
def test_what_cannot_be_selected(text, options, words):
    with pytest.raises(InputError, match=words) as caught:
        read_cluster(text, **options)
    assert "\n" not in str(caught.value)


def test_no_such_rank():
    with pytest.raises(InputError, match="no rank 8 in 'dgx-a100'; allowed: 0 to 7"):
        read_cluster("dgx-a100").rank_node(8)


def test_a_plain_cluster_by_counts_and_rates():
    cluster = make_cluster("mi100", 4, 8, 100e9, 25e9, 1e-6, 3e-6, nics_per_host=2)
    near, far = paths(cluster, 0, cluster.device_node[1]), paths(cluster, 0, cluster.device_node[9])
    bandwidth, latency = path_cost(cluster, near)
    assert (bandwidth[0], latency[0]) == (100e9, pytest.approx(1e-6))
    bandwidth, latency = path_cost(cluster, far)
    assert (bandwidth[0], latency[0]) == (25e9, pytest.approx(3e-6))
    assert cluster.bisection_bytes_per_s == 2 * 2 * 25e9
    ring = best_ring(cluster, range(32))
    assert (ring.cards, ring.hosts, ring.bandwidth_bytes_per_s) == (2, 4, 50e9)
    assert ring.across_latency_s == pytest.approx(3e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hosts": 0}, "hosts is 0; allowed: 1 or more"),
        ({"devices_per_host": -1}, "devices_per_host is -1"),
        ({"intra_bandwidth": 0.0}, "intra_bandwidth is 0; allowed: > 0"),
        ({"inter_bandwidth": -1.0}, "inter_bandwidth is -1; allowed: > 0"),
        ({"inter_bandwidth": float("nan")}, "inter_bandwidth is nan; allowed: > 0"),
        ({"inter_latency": -1e-6}, "inter_latency is -1e-06; allowed: >= 0"),
    ],
)
def test_counts_and_rates_that_cannot_be(changes, words):
    given = {"hosts": 2, "devices_per_host": 2, "intra_bandwidth": 1e9, "inter_bandwidth": 1e9}
    with pytest.raises(InputError, match=words):
        make_cluster("t4", **{**given, **changes})


def test_the_schema_for_editors_names_every_section():
    schema = json_schema()
    assert set(schema["required"]) == {"name", "title", "device", "devices_per_host", "sources"}
    assert {"switch", "mesh", "pcie", "nics", "fabric"} <= set(schema["properties"])
