"""Options of tiers of the KV cache beyond the devices, and what went there."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from typing_extensions import TypedDict

from lydite.api.options import Help, Options
from lydite.errors import InputError
from lydite.records import dataclass
from lydite.units import parse_quantity

if TYPE_CHECKING:
    from lydite.hardware import Device
    from lydite.serving import KvTiers, Outcome
    from lydite.serving.layout import Part

RULE = "modelled after vLLM's SimpleCPUOffloadConnector, lazy"
DISK_RULE = "the disk is no part of it and follows the same rules"


@dataclass(frozen=True)
class TierOptions(Options):
    """Tiers of the KV cache beyond the devices.

    Attributes:
        kv_host: Host memory of a replica for blocks of the prefix cache that leave its devices,
            such as "64GiB"; None for none.
        kv_host_link: Bandwidth between a device and host memory, each way; None for that of the
            device's host in the catalog.
        kv_disk: Disk of a replica for blocks that leave host memory, such as "2TB".
        kv_disk_link: Bandwidth between a replica's host memory and its disk, each way.
    """

    kv_host: Annotated[
        str | None,
        Help(
            "Host memory of a replica for blocks of the prefix cache that leave its devices, such "
            "as 64GiB (vllm only)."
        ),
    ] = None
    kv_host_link: Annotated[
        str | None,
        Help(
            "Bandwidth between a device and host memory, each way, such as 50GB/s; default: the "
            "PCIe of the catalog's host with this device."
        ),
    ] = None
    kv_disk: Annotated[
        str | None,
        Help(
            "Disk of a replica for blocks that leave host memory, such as 2TB; with --kv-disk-link."
        ),
    ] = None
    kv_disk_link: Annotated[
        str | None,
        Help("Bandwidth between a replica's host memory and disk, each way, such as 6GB/s."),
    ] = None


class TiersDocument(TypedDict):
    """Blocks of the prefix cache beyond the devices.

    Attributes:
        rule: What is modelled.
        block_bytes: Bytes of a block on all devices of a replica.
        host_bytes, disk_bytes: Room of each tier of a replica.
        host_link_bytes_per_s, disk_link_bytes_per_s: Bandwidth of a replica's links, each way.
        device_hit_tokens, host_hit_tokens, disk_hit_tokens: Prompt tokens that requests found in
            each tier when they first ran.
        moved_bytes: Bytes that went "to host", "from host", "to disk" and "from disk".
        busy_share: Share of the time in which the link of the busiest replica copied each way.
        dropped_blocks: Blocks that the disk was too slow to take.
        loads: How often a request loaded blocks.
        load_wait_s: Time that requests waited for these, in all.
        write_wait_s: Time that steps lasted longer until blocks were written, in all.
        write_wait_share: The same as a share of the time of all steps.
    """

    rule: str
    block_bytes: int
    host_bytes: float
    disk_bytes: float
    host_link_bytes_per_s: float
    disk_link_bytes_per_s: float | None
    device_hit_tokens: int
    host_hit_tokens: int
    disk_hit_tokens: int
    moved_bytes: dict[str, int]
    busy_share: dict[str, float]
    dropped_blocks: int
    loads: int
    load_wait_s: float
    write_wait_s: float
    write_wait_share: float


def read_bandwidth(text: str, where: str) -> float:
    """Bytes per second from words such as "400Gb/s" or "50GB/s".

    Raises:
        InputError: it cannot be read, or is 0.
    """
    unit = "b/s" if text.strip().lower().endswith("b/s") and "B/s" not in text else "B/s"
    bandwidth = parse_quantity(text, unit, where=where) / (8 if unit == "b/s" else 1)
    if not bandwidth > 0:
        raise InputError(f"{where} {text}", allowed="more than 0")
    return bandwidth


def tiers_of(
    options: TierOptions,
    device: Device,
    part: Part,
    block_bytes: int,
    tell: Callable[[str], None],
) -> KvTiers | None:
    """The tiers of a group of a replica; None for none.

    Args:
        options: Options of the tiers.
        device: Device of every rank.
        part: The replica.
        block_bytes: Bytes of a block on all devices of a group.
        tell: Called with what is assumed.

    Raises:
        InputError: an option cannot be read or has no effect, or a link is not known.
    """
    from lydite.serving import KvTiers
    from lydite.serving.messages import host_link

    host = _bytes(options.kv_host, "--kv-host")
    disk = _bytes(options.kv_disk, "--kv-disk")
    _refuse_ignored(options, host, disk)
    if not host:
        return None
    if options.kv_host_link is None:
        known = host_link(device)
        if known is None:
            raise InputError(
                f"no host of {device.name} is known, so its link to host memory is not",
                hint="--kv-host-link 50GB/s",
            )
        link, source = known
        tell(f"--kv-host-link: {link / 1e9:.3g} GB/s a device each way, the PCIe of {source}")
    else:
        link = read_bandwidth(options.kv_host_link, "--kv-host-link")
    disk_link = math.inf
    if disk:
        assert options.kv_disk_link is not None
        disk_link = read_bandwidth(options.kv_disk_link, "--kv-disk-link") / part.groups
    tell(f"--kv-host: {RULE}{f'; {DISK_RULE}' if disk else ''}")
    devices = part.tp * part.pp
    return KvTiers(block_bytes, host / part.groups, link * devices, disk / part.groups, disk_link)


def _bytes(text: str | None, where: str) -> float:
    return 0.0 if text is None else parse_quantity(text, "B", where=where)


def _refuse_ignored(options: TierOptions, host: float, disk: float) -> None:
    if options.kv_host is None:
        for name in ("kv_host_link", "kv_disk", "kv_disk_link"):
            if getattr(options, name) is not None:
                word = "--" + name.replace("_", "-")
                raise InputError(f"{word} has no effect here", hint="add --kv-host")
    if disk and not host:
        raise InputError("a disk without host memory before it is not modelled", hint="--kv-host")
    if disk and options.kv_disk_link is None:
        raise InputError("--kv-disk needs the bandwidth of its link", hint="--kv-disk-link 6GB/s")
    if options.kv_disk is None and options.kv_disk_link is not None:
        raise InputError("--kv-disk-link has no effect here", hint="add --kv-disk")


def tiers_document(kept: KvTiers | None, groups: int, outcome: Outcome) -> TiersDocument | None:
    """What went to and from the tiers of replicas of some groups; None without."""
    use = outcome.tiers
    if use is None or kept is None:
        return None
    found = int(outcome.hits[outcome.hits > 0].sum())
    return {
        "rule": RULE,
        "block_bytes": kept.block_bytes,
        "host_bytes": kept.host_bytes * groups,
        "disk_bytes": kept.disk_bytes * groups,
        "host_link_bytes_per_s": kept.host_bytes_per_s * groups,
        "disk_link_bytes_per_s": kept.disk_bytes_per_s * groups if kept.disk_bytes else None,
        "device_hit_tokens": found - use.host_hit_tokens - use.disk_hit_tokens,
        "host_hit_tokens": use.host_hit_tokens,
        "disk_hit_tokens": use.disk_hit_tokens,
        "moved_bytes": use.moved_bytes,
        "busy_share": use.busy_share,
        "dropped_blocks": use.dropped_blocks,
        "loads": use.loads,
        "load_wait_s": use.load_wait_s,
        "write_wait_s": use.write_wait_s,
        "write_wait_share": use.write_wait_s / max(float(outcome.busy_s.sum()), 1e-12),
    }


def tier_reasons(told: TiersDocument, first_s: float) -> list[str]:
    """Whether the links limit.

    Args:
        told: What went to and from the tiers.
        first_s: Mean time to the first token.
    """
    from lydite.units import format_percent, format_seconds

    lines = []
    busiest = max(told["busy_share"], key=lambda name: told["busy_share"][name])
    share = told["busy_share"][busiest]
    wait = told["load_wait_s"] / max(1, told["loads"])
    if share > 0.8:
        lines.append(f"KV tiers: the link {busiest} copies {format_percent(share)} of the time")
    if told["write_wait_share"] > 0.01:
        lines.append(
            f"KV tiers: {format_percent(told['write_wait_share'])} of the steps' time is waiting "
            "until blocks are written to host memory"
        )
    if told["loads"] and wait > 0.2 * first_s:
        lines.append(
            f"KV tiers: a load takes {format_seconds(wait)} in the mean, the first token "
            f"{format_seconds(first_s)}"
        )
    return lines
