"""All-reduces as serving runtimes run them inside a host: kernels of their own over NVLink.

Every rank reads all of what the others have (one shot), or each sums its part and reads the other
sums (two shots); NCCL above that. The constants were chosen by AIConfigurator's tables of such
kernels in CUDA graphs on 2, 4 and 8 A100s and H100s (github.com/ai-dynamo/aiconfigurator,
custom_allreduce_perf), from 256 bytes to 64 MB. Their median error is 11 to 28 %, by runtime and
device; nine of ten lie within 20 to 60 % (`benchmarks/serving.py`).
"""

from __future__ import annotations

from collections.abc import Callable

from lydite.cluster.collectives.group import NVLINK, Group, group_of
from lydite.hardware import Device
from lydite.hardware.cluster.select import (
    PORT_BYTES_PER_S,
    known_clusters,
    read_cluster,
)

_START_S, _SECOND_S, _SHARE = 4e-6, 3e-6, 0.6
_LARGEST = 8


def own_all_reduce_s(group: Group, size_bytes: float) -> float:
    """Seconds of an all-reduce of a runtime's own kernels."""
    others, rate = group.ranks - 1, _SHARE * group.bandwidth_bytes_per_s
    one = _START_S + others * size_bytes / rate
    two = _START_S + _SECOND_S + 2 * others / group.ranks * size_bytes / rate
    return min(one, two)


def message_times(
    device: Device, ranks: int, tell: Callable[[str], None]
) -> Callable[[str, float], float]:
    """Seconds of a message between the ranks of a replica, by kind and bytes.

    The links are those of the catalog's host with this device. Where there is none, every rank has
    a port of a switch, and `tell` is called with that.

    Raises:
        InputError: a host of the device has fewer, and no network is known.
    """
    name = _box(device, ranks)
    if name is None:
        name = f"{device.name} x {ranks}"
        if ranks > 1:
            tell(
                f"no host of {device.name} is known: its ranks are taken to have a port of "
                f"{PORT_BYTES_PER_S / 1e9:.0f} GB/s each"
            )
    cluster = read_cluster(name, ranks)
    group = group_of(cluster, [range(ranks)])
    own = group.hosts == 1 and group.link == NVLINK and ranks <= _LARGEST

    def seconds(kind: str, size_bytes: float) -> float:
        usual = group.seconds(kind, size_bytes)
        if kind != "AllReduce" or not own or ranks < 2:
            return usual
        return min(usual, own_all_reduce_s(group, size_bytes))

    return seconds


def host_link(device: Device) -> tuple[float, str] | None:
    """Bandwidth of PCIe to a device each way in bytes per second, and the host it is of.

    It is that of the catalog's first host with this device and a PCIe tree; None where none has.
    """
    for name, design in sorted(known_clusters().items()):
        if design.device == device.name and design.host.pcie is not None:
            return design.host.pcie.wire.bandwidth_bytes_per_s, name
    return None


def _box(device: Device, ranks: int) -> str | None:
    """The catalog's hosts of this device that have as many; None where there are none."""
    for name, design in sorted(known_clusters().items()):
        if design.device == device.name:
            hosts = -(-ranks // design.host.devices)
            return name if hosts == 1 else f"{name} x {hosts}"
    return None
