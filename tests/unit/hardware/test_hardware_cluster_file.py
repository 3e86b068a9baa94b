"""Cluster files: what the sections mean, and files that are wrong."""

from __future__ import annotations

import copy

import pytest
import yaml

from lydite.errors import InputError, UnitError
from lydite.hardware.cluster import LINK_KINDS, best_ring, path_cost, paths, read_cluster

GOOD = {
    "name": "mine",
    "title": "Mine",
    "device": "t4",
    "devices_per_host": 4,
    "hosts": 2,
    "mesh": {
        "kind": "xgmi",
        "link_bandwidth_each_way": "10 GB/s",
        "latency": "1 us",
        "links": [[0, 1, 1], [2, 3, 2]],
    },
    "pcie": {
        "bandwidth_each_way": "8 GB/s",
        "latency": "2 us",
        "switches": [[0, 1], [2, 3]],
        "cpus": [[0], [1]],
        "cpu_bandwidth_each_way": "4 GB/s",
        "cpu_latency": "3 us",
    },
    "nics": {
        "count": 2,
        "kind": "ethernet",
        "rate": "16 Gb/s",
        "latency": "5 us",
        "sharing": "fifo",
    },
    "fabric": {
        "kind": "leaf-spine",
        "hosts_per_leaf": 1,
        "oversubscription": 2,
        "latency": "7 us",
        "radix": 4,
    },
    "host_power": "1.2 kW",
    "price_per_device_hour": "0.5 USD/h",
    "grid": "100 g/kWh",
    "pue": 1.1,
    "sources": {"": "me"},
}


def write(path, **changes):
    """GOOD with "section.field" changed; None takes it out."""
    raw = copy.deepcopy(GOOD)
    for field, value in changes.items():
        *sections, last = field.split("__")
        inner = raw
        for section in sections:
            inner = inner[section]
        inner[last] = value
        if value is None:
            del inner[last]
    path.write_text(yaml.safe_dump(raw))
    return str(path)


def between(cluster, one, other):
    found = paths(cluster, cluster.device_node[one], cluster.device_node[other])
    bandwidth, latency = path_cost(cluster, found)
    return found.hops[0], bandwidth[0], latency[0]


def test_what_the_sections_mean(tmp_path):
    cluster = read_cluster(write(tmp_path / "mine.yaml"))
    assert (cluster.name, cluster.ranks, cluster.hosts) == ("mine", 8, 2)
    assert between(cluster, 0, 1) == (1, 10e9, pytest.approx(1e-6))  # one xGMI link
    assert between(cluster, 2, 3) == (1, 20e9, pytest.approx(1e-6))  # two, side by side
    # Up two PCIe hops, over to the other CPU, down two.
    assert between(cluster, 0, 2) == (5, 4e9, pytest.approx(4 * 2e-6 + 3e-6))
    # PCIe switch, card, leaf, the one spine, leaf, card, PCIe switch; 16 Gb/s are 2 GB/s.
    assert between(cluster, 0, 4) == (8, 2e9, pytest.approx(4 * 2e-6 + 2 * 5e-6 + 2 * 7e-6))
    economics = cluster.economics
    assert (economics.host_power_w, economics.price_per_device_hour_usd) == (1200, 0.5)
    assert (economics.grid_kg_per_kwh, economics.pue) == (0.1, 1.1)
    fifo = cluster.links.fifo[cluster.links.kind == LINK_KINDS.index("ethernet")]
    assert fifo.any()
    assert not cluster.links.fifo[cluster.links.kind == LINK_KINDS.index("pcie")].any()
    # Two cards down and one port up in each leaf.
    assert cluster.bisection_bytes_per_s == 2e9


def test_the_file_may_be_multiplied(tmp_path):
    assert (
        read_cluster(write(tmp_path / "mine.yaml", fabric__hosts_per_leaf=1) + " x 3").ranks == 12
    )


def test_the_device_file_may_stand_beside(tmp_path):
    spec = {
        "name": "npu",
        "title": "NPU",
        "kind": "npu",
        "vendor": "me",
        "units": 1,
        "peak": {"float32": "2 TFLOP/s"},
        "memory": "16 GiB",
        "memory_bandwidth": "100 GB/s",
        "sources": {"": "me"},
    }
    (tmp_path / "npu.yaml").write_text(yaml.safe_dump(spec))
    assert read_cluster(write(tmp_path / "mine.yaml", device="npu.yaml")).device.name == "npu"


def test_oversubscription_halves_what_leaves_a_leaf(tmp_path):
    changes = {"mesh": None, "pcie": None, "fabric__radix": 64, "fabric__hosts_per_leaf": 4}
    for ratio in (1.0, 2.0, 4.0):
        path = write(tmp_path / "m.yaml", hosts=8, fabric__oversubscription=ratio, **changes)
        assert read_cluster(path).bisection_bytes_per_s == pytest.approx(8 * 2e9 / ratio)


def test_devices_without_links_inside_talk_over_the_network(tmp_path):
    path = write(tmp_path / "m.yaml", mesh=None, pcie=None, hosts=1, fabric={"kind": "switch"})
    cluster = read_cluster(path)
    assert between(cluster, 0, 1)[0] == 2  # one card serves both
    assert between(cluster, 0, 3)[0] == 4  # two cards and the switch
    assert best_ring(cluster, range(4)).bandwidth_bytes_per_s == 2e9


def test_devices_pass_messages_on_only_where_there_is_no_other_way(tmp_path):
    line = {"mesh__links": [[0, 1, 1], [1, 2, 1], [2, 3, 1]], "hosts": 1, "fabric": None}
    alone = read_cluster(write(tmp_path / "a.yaml", pcie=None, nics=None, **line))
    assert between(alone, 0, 3) == (3, 10e9, pytest.approx(3e-6))
    beside = read_cluster(write(tmp_path / "b.yaml", nics=None, **line))
    assert between(beside, 0, 2)[0] == 5  # over the CPUs


@pytest.mark.parametrize(
    ("changes", "kind", "line"),
    [
        (
            {"colour": "red"},
            InputError,
            "mine.yaml:1: unknown field 'colour' of a cluster; allowed: aliases, collectives",
        ),
        (
            {"device": None, "devcie": "x"},
            InputError,
            "'devcie' of a cluster; allowed: aliases, collectives, device",
        ),
        ({"device": None, "devcie": "x"}, InputError, "did you mean 'device'?"),
        ({"device": None}, InputError, "field 'device': field required"),
        ({"device": "h10"}, InputError, "mine.yaml: device: unknown device 'h10'"),
        ({"mesh__links": []}, InputError, "field 'mesh.links': list should have at least 1 item"),
        ({"hosts": 0}, InputError, "field 'hosts': input should be greater than or equal to 1"),
        (
            {"nics__speed": "1 GB/s"},
            InputError,
            "unknown field 'speed' of nics; allowed: count, kind, latency, rate, sharing, under",
        ),
        (
            {"fabric__kind": "torus"},
            InputError,
            "unknown fabric.kind 'torus'; allowed: leaf-spine, none, rail-optimised, switch",
        ),
        (
            {"mesh__kind": "string"},
            InputError,
            "unknown mesh.kind 'string'; allowed: ethernet, nvlink, pcie, xgmi",
        ),
        (
            {"pcie__sharing": "evil"},
            InputError,
            "unknown pcie.sharing 'evil'; allowed: fair, fifo",
        ),
        ({"mesh__links": [[0, 1]]}, InputError, "field 'mesh.links.0.2': field required"),
        (
            {"mesh__links": [[0, 1, 0]]},
            InputError,
            "field 'mesh.links.0.2': input should be greater",
        ),
        ({"mesh__links": [[0, 4, 1]]}, InputError, "mesh.links: no device 4; allowed: 0 to 3"),
        (
            {"mesh__links": [[1, 1, 1]]},
            InputError,
            "mesh.links: link [1, 1, 1] joins a device to itself",
        ),
        (
            {"mesh__links": [[0, 1, 1], [1, 0, 1]]},
            InputError,
            "mesh.links: link [1, 0, 1] is listed "
            "twice; allowed: each pair of devices once; links go both ways",
        ),
        ({"pcie__switches": [[0, 1], [2]]}, InputError, "pcie.switches: device 3 is not listed"),
        (
            {"pcie__switches": [[0, 1], [1, 2, 3]]},
            InputError,
            "pcie.switches: device 1 is listed more than once; allowed: each of 0 to 3 once",
        ),
        ({"pcie__cpus": [[0], [2]]}, InputError, "pcie.cpus: no switch 2; allowed: 0 to 1"),
        (
            {"pcie__cpu_bandwidth_each_way": None},
            InputError,
            "pcie: 2 CPUs that nothing joins; allowed: cpu_bandwidth_each_way",
        ),
        ({"nics__under": [0]}, InputError, "nics.under: 1 places for 2 cards"),
        ({"nics__under": [0, 2]}, InputError, "nics.under: no PCIe switch 2; allowed: 0 to 1"),
        ({"nics__rate": "16 Gb"}, UnitError, "nics.rate: '16 Gb' is not in B/s"),
        (
            {"nics__rate": "0 Gb/s"},
            UnitError,
            "nics.rate: the bandwidth '0 Gb/s' is zero; allowed: > 0",
        ),
        (
            {"nics__rate": "-1 Gb/s"},
            UnitError,
            "nics.rate: '-1 Gb/s' is not a finite quantity >= 0",
        ),
        ({"nics__latency": "5 GB"}, UnitError, "nics.latency: '5 GB' is not in s"),
        ({"nics__rate": 16}, InputError, "nics.rate: '16' has no unit; allowed: such as"),
        (
            {"mesh__link_bandwidth_each_way": "0 B/s"},
            UnitError,
            "mesh.link_bandwidth_each_way: the bandwidth '0 B/s'",
        ),
        (
            {"price_per_device_hour": "3 EUR/h"},
            UnitError,
            "price_per_device_hour: '3 EUR/h' is not in",
        ),
        ({"grid": "1 kg"}, UnitError, "grid: '1 kg' is not in g/kWh"),
        ({"pue": 0.5}, InputError, "field 'pue': input should be greater than or equal to 1"),
        ({"nics": None}, InputError, "fabric: a fabric needs network cards; allowed: nics"),
        ({"fabric": None}, InputError, "2 hosts cannot reach each other: no fabric; give 'fabric'"),
        ({"fabric__kind": "none"}, InputError, "2 hosts cannot reach each other: no fabric"),
        (
            {"fabric__hosts_per_leaf": 2},
            InputError,
            "fabric: a leaf needs 4 ports down and 2 up, and has 4; allowed: a larger radix",
        ),
        (
            {"pcie": None, "hosts": 1, "fabric": None},
            InputError,
            "mine: no path from /server/host0/GPU/0/ to /server/host0/GPU/2/",
        ),
        ({"schema_version": 2}, InputError, "field 'schema_version'"),
        ({"name": "Mine!"}, InputError, "field 'name'"),
    ],
)
def test_bad_files_name_the_field(tmp_path, changes, kind, line):
    with pytest.raises(kind) as caught:
        read_cluster(write(tmp_path / "mine.yaml", **changes))
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"name: [", "not YAML"),
        (b"- a\n", "not a cluster file; allowed: a mapping"),
        (b"\xff\xfe\x00\x00", "cannot be read"),
        (b"!!python/object/apply:os.system ['true']", "not YAML"),
        (b"{}", "field 'name': field required"),
    ],
)
def test_files_that_are_none(tmp_path, content, words):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read_cluster(str(path))
    assert "\n" not in str(caught.value)
