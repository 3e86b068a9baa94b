"""Options of a step on a cluster: cluster and failures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from lydite.api.options import Help, Options
from lydite.api.plan_options import quantity
from lydite.errors import InputError
from lydite.records import dataclass

if TYPE_CHECKING:
    from lydite.cluster.constants import Constants
    from lydite.hardware.cluster import Cluster


@dataclass(frozen=True)
class ClusterOptions(Options):
    """Cluster of a step, its constants and prices.

    Attributes:
        on: Cluster: a name, "NAME x HOSTS", or a .yaml file.
        devices: Number of devices in use; None for all.
        device: Device instead of the cluster's own.
        slow, slow_link: Factors on a rank's speed and on a link's bandwidth, as "NUMBER=FACTOR".
        constants: File that `calibrate` wrote; None for the assumed constants.
        algorithm, protocol: Algorithm and protocol of collectives, as "KIND=NAME" such as
            "allreduce=tree".
        host_memory_bandwidth: Memory bandwidth of a host, for what is offloaded to it.
        price: Price of a device hour in USD.
        grid: Emissions of the power grid in kg CO2 per kWh.
    """

    on: Annotated[str, Help('Cluster: a name, "NAME x HOSTS", or a .yaml file.')] = "dgx-a100"
    devices: Annotated[int | None, Help("Number of devices in use; default: all.", min=1)] = None
    device: Annotated[
        str | None, Help("Device instead of the cluster's own; required for AISim's pools.")
    ] = None
    slow: Annotated[
        tuple[str, ...],
        Help("Relative speed of a rank, as RANK=FACTOR such as 3=0.8 (repeatable)."),
    ] = ()
    slow_link: Annotated[
        tuple[str, ...], Help("Relative bandwidth of a link, as LINK=FACTOR (repeatable).")
    ] = ()
    constants: Annotated[
        Path | None, Help("Constants that `lydite calibrate` wrote; default: assumed ones.")
    ] = None
    algorithm: Annotated[
        tuple[str, ...],
        Help("Collective algorithm, as KIND=NAME such as allreduce=tree (repeatable)."),
    ] = ()
    protocol: Annotated[
        tuple[str, ...],
        Help("Collective protocol, as KIND=LL, LL128 or Simple (repeatable)."),
    ] = ()
    host_memory_bandwidth: Annotated[
        str | None,
        Help("Memory bandwidth of a host, for --offload; default: 300 GB/s, assumed."),
    ] = None
    price: Annotated[float | None, Help("Price of a device hour in USD.", min=0, unit="USD/h")] = (
        None
    )
    grid: Annotated[
        float | None, Help("Emissions of the power grid in kg CO2 per kWh.", min=0, unit="kg/kWh")
    ] = None

    def cluster(self) -> Cluster:
        """The cluster with slow ranks and links, collectives and prices as requested.

        Raises:
            InputError: the cluster, a rank or a link does not exist.
        """
        from lydite.hardware.cluster import degraded, read_cluster

        cluster = read_cluster(self.on, self.devices, device=self.device)
        if self.slow or self.slow_link:
            cluster = degraded(
                cluster, _factors("--slow", self.slow), _factors("--slow-link", self.slow_link)
            )
        cluster = self._with_collectives(cluster)
        given = {"price_per_device_hour_usd": self.price, "grid_kg_per_kwh": self.grid}
        chosen = {name: value for name, value in given.items() if value is not None}
        for option, value in {"--price": self.price, "--grid": self.grid}.items():
            if value is not None and not math.isfinite(value):
                raise InputError(f"{option} {value}", allowed="a finite number")
        return replace(cluster, economics=replace(cluster.economics, **chosen))

    def _with_collectives(self, cluster: Cluster) -> Cluster:
        """The cluster with the algorithms and protocols that the options choose."""
        from lydite.cluster.collectives import settings_of

        chosen = {name.lower(): list(pair) for name, pair in cluster.collectives.items()}
        for place, option in enumerate(("algorithm", "protocol")):
            for text in getattr(self, option):
                collective, equals, name = text.partition("=")
                if not (collective and equals and name):
                    raise InputError(
                        f"'{text}' does not name a collective and its {option}",
                        where=f"--{option}",
                        allowed="KIND=NAME, such as allreduce=" + ("tree", "Simple")[place],
                    )
                chosen.setdefault(collective.lower(), [None, None])[place] = name
        if not chosen:
            return cluster
        cluster = replace(cluster, collectives={k: (v[0], v[1]) for k, v in chosen.items()})
        settings_of(cluster)
        return cluster

    def known_constants(self) -> Constants:
        """The constants from the file, or the assumed ones.

        Raises:
            InputError: the file does not hold constants, or a rate is not above 0.
        """
        from lydite.cluster.constants import ASSUMED, read_constants

        constants = ASSUMED if self.constants is None else read_constants(Path(self.constants))
        if self.host_memory_bandwidth is None:
            return constants
        rate = quantity(self.host_memory_bandwidth, "B/s", "--host-memory-bandwidth")
        if not 0 < rate < math.inf:
            raise InputError(
                f"--host-memory-bandwidth {self.host_memory_bandwidth}", allowed="above 0"
            )
        return replace(constants, host_memory_bytes_per_s=rate)


def _factors(option: str, given: Sequence[str]) -> dict[int, float]:
    found: dict[int, float] = {}
    for text in given:
        number, _, factor = text.partition("=")
        try:
            found[int(number)] = float(factor)
        except ValueError:
            raise InputError(
                f"'{text}' does not give a factor",
                where=option,
                allowed="NUMBER=FACTOR, such as 3=0.8",
            ) from None
    return found


@dataclass(frozen=True)
class FailureOptions(Options):
    """How often devices fail, and the cost of failures.

    Attributes:
        mtbf: Mean time between failures of a device; if given, goodput is computed.
        checkpoint_interval: Time between checkpoints; None for the optimum.
        checkpoint_write: Rate at which each device writes to storage.
        restart: Time from a failure to the next step.
    """

    mtbf: Annotated[
        str | None,
        Help('Mean time between failures of a device, such as "5 years"; adds goodput.'),
    ] = None
    checkpoint_interval: Annotated[
        str | None, Help("Time between checkpoints; default: Daly's optimum.")
    ] = None
    checkpoint_write: Annotated[
        str, Help("Rate at which each device writes a checkpoint to storage.")
    ] = "1 GB/s"
    restart: Annotated[str, Help("Time from a failure to the next step.")] = "10 min"

    def seconds(self) -> dict[str, float | None]:
        """Values by field in seconds (`checkpoint_write` in bytes/s); None for unset fields.

        Raises:
            UnitError: a quantity has the wrong unit.
        """
        found: dict[str, float | None] = {}
        for field in fields(self):
            text, unit = getattr(self, field.name), "B/s" if "write" in field.name else "s"
            where = f"--{field.name.replace('_', '-')}"
            found[field.name] = None if text is None else quantity(text, unit, where)
        if self.mtbf is None and self.checkpoint_interval is not None:
            raise InputError(
                "--checkpoint-interval has no effect without failures", hint="add --mtbf TIME"
            )
        return found
