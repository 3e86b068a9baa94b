"""The latest readings as metrics for Prometheus, in its base units."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

from lydite.errors import InputError, MissingExtra
from lydite.measure.telemetry.follow import Follower


class Metric(NamedTuple):
    """A metric: its name, whether it is a counter, what it says, factor from the channel's unit."""

    name: str
    is_counter: bool
    help: str
    factor: float = 1.0


METRICS = {
    "energy_j": Metric(
        "lydite_energy_joules", True, "Energy by the device's counter in joules, wraps added."
    ),
    "power_w": Metric("lydite_power_watts", False, "Power in watts, polled or by the counter."),
    "utilisation_percent": Metric(
        "lydite_utilisation_ratio", False, "Use of the device, from 0 to 1.", 0.01
    ),
    "memory_bytes": Metric("lydite_memory_used_bytes", False, "Memory in use in bytes."),
    "clock_hz": Metric("lydite_clock_hertz", False, "Clock of the processors in hertz."),
    "memory_clock_hz": Metric("lydite_memory_clock_hertz", False, "Clock of the memory in hertz."),
    "temperature_c": Metric("lydite_temperature_celsius", False, "Temperature in degrees Celsius."),
}
_LABELS = ("device", "name", "sensor")


class _Collector:
    """Makes the metrics of every device when they are asked for; what is stale is left out."""

    def __init__(self, follower: Follower, core: Any) -> None:
        self.follower, self.core = follower, core

    def collect(self) -> Iterator[Any]:
        latest = self.follower.latest()
        for channel, metric in METRICS.items():
            kind = (
                self.core.CounterMetricFamily
                if metric.is_counter
                else (self.core.GaugeMetricFamily)
            )
            family = kind(metric.name, metric.help, labels=_LABELS)
            for each in latest:
                if channel in each.values:
                    labels = [each.device.id, each.device.name, each.sensor]
                    family.add_metric(labels, each.values[channel] * metric.factor)
            yield family
        family = self.core.GaugeMetricFamily(
            "lydite_throttled",
            "1 while something holds the clocks of the device down, with the reason; else 0.",
            labels=(*_LABELS, "reason"),
        )
        for each in latest:
            if each.throttle:
                labels = [each.device.id, each.device.name, each.sensor, each.throttle]
                family.add_metric(labels, float(each.throttle not in ("none", "idle")))
        yield family


@contextmanager
def serving(follower: Follower, port: int, host: str) -> Iterator[int]:
    """Serve the metrics at http://host:port/metrics within the block; gives the port.

    Args:
        follower: Recording that goes on.
        port: Port to listen on; 0 for any that is free.
        host: Address to listen on.

    Raises:
        MissingExtra: the package `prometheus_client` is not installed.
        InputError: the address or the port cannot be used.
    """
    try:
        client = import_module("prometheus_client")
        core = import_module("prometheus_client.core")
    except ModuleNotFoundError:
        raise MissingExtra("prometheus_client", "monitor") from None
    registry = client.CollectorRegistry()
    registry.register(_Collector(follower, core))
    try:
        server, thread = client.start_http_server(port, addr=host, registry=registry)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"cannot listen on {host}:{port}: {error}", hint="choose another --prometheus PORT"
        ) from None
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
