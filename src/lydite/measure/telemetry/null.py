"""No sensor: what a machine without any looks like."""

from __future__ import annotations

from collections.abc import Sequence

from lydite.measure.telemetry.base import NoSensor, Reading, SensorDevice


class Null:
    """Watches nothing."""

    name = "null"
    least_interval_s = 0.0

    def devices(self) -> Sequence[SensorDevice]:
        """None, ever.

        Raises:
            NoSensor: always.
        """
        raise NoSensor("the null sensor reads nothing, as was asked")

    def read(self, device: SensorDevice) -> Reading:
        """Nothing."""
        del device
        return {}

    def close(self) -> None:
        """Nothing to give back."""
