"""Goodput: the useful share of a job's time under failures, checkpoints and restarts.

Failures of the job are exponentially distributed with a mean time between failures of M. The job
computes for tau, writes a checkpoint in C, and repeats; a failure sets it back to the last
checkpoint and costs a restart of R, which may fail as well. An interval of tau then takes

    T = M e^(R/M) (e^((tau + C)/M) - 1)         Daly, FGCS 22(3), 2006

of which tau is progress, C the checkpoint, M (e^(R/M) - 1) (e^((tau + C)/M) - 1) restarts, and the
rest rework. The interval that minimises the loss:

    sqrt(2 C M)                                             Young, CACM 17(9), 1974
    sqrt(2 C M) (1 + sqrt(C/2M)/3 + (C/2M)/9) - C           Daly; M where C >= 2 M
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from lydite.errors import InputError
from lydite.records import dataclass
from lydite.units import format_duration, format_percent

_HOPELESS = 600.0
"""Largest exponent x of e^x; beyond it, a job makes no progress between failures."""


@dataclass(frozen=True, slots=True)
class Goodput:
    """Useful and lost time of a job; modelled.

    Attributes:
        step_s: Time of a step without failures, in seconds.
        samples: Number of samples in a step.
        devices: Number of devices; the failure of any one stops the job.
        mtbf_device_s: Mean time between failures of one device, in seconds.
        checkpoint_s: Time of a checkpoint in seconds, during which computation stops.
        restart_s: Time from a failure to the next step, in seconds.
        interval_s: Computing time between two checkpoints, in seconds.
        given: Whether the interval was given; otherwise it is Daly's optimum, at least one step.
    """

    step_s: float
    samples: int
    devices: int
    mtbf_device_s: float
    checkpoint_s: float
    restart_s: float
    interval_s: float
    given: bool

    @property
    def mtbf_s(self) -> float:
        """Mean time between failures of the whole job, in seconds."""
        return self.mtbf_device_s / self.devices

    @property
    def expected_s(self) -> float:
        """Expected time in seconds of an interval and the checkpoint at its end."""
        return self.interval_s + sum(self.lost_s.values())

    @property
    def lost_s(self) -> dict[str, float]:
        """Expected seconds lost per interval, by cause."""
        mean, stretch = self.mtbf_s, self.interval_s + self.checkpoint_s
        failures = math.expm1(stretch / mean)
        return {
            "checkpoints": self.checkpoint_s,
            "rework": mean * failures - stretch,
            "restarts": mean * failures * math.expm1(self.restart_s / mean),
        }

    @property
    def lost_shares(self) -> dict[str, float]:
        """Shares of the job's time lost, by cause; with `useful_share` they add up to 1."""
        return {cause: seconds / self.expected_s for cause, seconds in self.lost_s.items()}

    @property
    def useful_share(self) -> float:
        """Share of the job's time that is progress."""
        return self.interval_s / self.expected_s

    @property
    def samples_per_s(self) -> float:
        """Expected long-run throughput in samples per second."""
        return self.samples / self.step_s * self.useful_share


def goodput(
    step_s: float,
    samples: int,
    devices: int,
    *,
    mtbf_device_s: float,
    checkpoint_s: float,
    restart_s: float,
    interval_s: float | None = None,
) -> Goodput:
    """Expected goodput of a job.

    Args:
        step_s: Time of a step without failures, in seconds.
        samples: Number of samples in a step.
        devices: Number of devices of the job.
        mtbf_device_s: Mean time between failures in seconds of one device and its share of hosts
            and network.
        checkpoint_s: Time of a checkpoint in seconds; see `checkpoint_seconds`.
        restart_s: Time in seconds from a failure to the next step: detection, replacement, start,
            reading the checkpoint.
        interval_s: Computing time in seconds between two checkpoints; None for Daly's optimum.

    Raises:
        InputError: a quantity is out of its range, the interval is shorter than a step, or
            failures are so frequent that the job makes no progress.
    """
    above_zero = {
        "step": step_s,
        "samples": samples,
        "devices": devices,
        "mean time between failures": mtbf_device_s,
    }
    for name, value in above_zero.items():
        _refuse(name, value, value > 0, "> 0")
    for name, value in {"checkpoint": checkpoint_s, "restart": restart_s}.items():
        _refuse(name, value, value >= 0, ">= 0")
    mean = mtbf_device_s / devices
    if interval_s is not None:
        _refuse("checkpoint interval", interval_s, interval_s > 0, "> 0")
        if interval_s < step_s:
            raise InputError(
                f"a checkpoint every {format_duration(interval_s)}, but a step takes "
                f"{format_duration(step_s)}",
                allowed="one step or more",
            )
    interval = interval_s or max(step_s, daly_interval_s(checkpoint_s, mean))
    if (interval + checkpoint_s + restart_s) / mean > _HOPELESS:
        raise InputError(
            f"with a failure every {format_duration(mean)}, no interval of "
            f"{format_duration(interval + checkpoint_s)} is ever completed",
            hint="use fewer devices, faster checkpoints or shorter intervals",
        )
    return Goodput(
        step_s,
        samples,
        devices,
        mtbf_device_s,
        checkpoint_s,
        restart_s,
        interval,
        interval_s is not None,
    )


def _refuse(name: str, value: float, good: bool, allowed: str) -> None:
    if not (good and math.isfinite(value)):
        raise InputError(f"{name} {value:g}", where="goodput", allowed=f"{allowed}, finite")


def young_interval_s(checkpoint_s: float, mtbf_s: float) -> float:
    """First-order optimum in seconds of the time between checkpoints (Young, 1974)."""
    return math.sqrt(2 * checkpoint_s * mtbf_s)


def daly_interval_s(checkpoint_s: float, mtbf_s: float) -> float:
    """Higher-order optimum in seconds of the time between checkpoints (Daly, 2006)."""
    if checkpoint_s >= 2 * mtbf_s:
        return mtbf_s
    part = checkpoint_s / (2 * mtbf_s)
    more = 1 + math.sqrt(part) / 3 + part / 9
    return young_interval_s(checkpoint_s, mtbf_s) * more - checkpoint_s


def checkpoint_bytes(memory: Sequence[Mapping[str, float]]) -> float:
    """Size in bytes of the largest checkpoint of a rank: its weights and optimiser states.

    Args:
        memory: Bytes by kind on a rank of each stage, as in `StepResult.memory`.
    """
    return max(stage["weights"] + stage["optimizer"] for stage in memory)


def checkpoint_seconds(memory: Sequence[Mapping[str, float]], write_bytes_per_s: float) -> float:
    """Time in seconds of a checkpoint that all ranks write at once, each at the given rate.

    Args:
        memory: Bytes by kind on a rank of each stage, as in `StepResult.memory`.
        write_bytes_per_s: Write rate of each rank, in bytes/s.

    Raises:
        InputError: the rate is not above 0.
    """
    _refuse("checkpoint write rate", write_bytes_per_s, write_bytes_per_s > 0, "> 0")
    return checkpoint_bytes(memory) / write_bytes_per_s


def document(result: Goodput) -> dict[str, Any]:
    """All figures as JSON values, with units in the keys and shares of 1."""
    return {
        **{field.name: getattr(result, field.name) for field in fields(result)},
        "mtbf_s": result.mtbf_s,
        "young_interval_s": young_interval_s(result.checkpoint_s, result.mtbf_s),
        "daly_interval_s": daly_interval_s(result.checkpoint_s, result.mtbf_s),
        "useful_share": result.useful_share,
        "lost_shares": result.lost_shares,
        "samples_per_s": result.samples_per_s,
        "kind": "modelled",
    }


def goodput_lines(result: Goodput) -> list[str]:
    """The figures as lines of text."""
    lost = ", ".join(f"{cause} {format_percent(s)}" for cause, s in result.lost_shares.items())
    optimum = format_duration(daly_interval_s(result.checkpoint_s, result.mtbf_s))
    chosen = f"given; Daly's optimum is {optimum}" if result.given else "Daly's optimum"
    if not result.given and result.interval_s == result.step_s:
        chosen = "after each step"
    return [
        f"goodput (modelled): {format_percent(result.useful_share)} of the time is progress, "
        f"{result.samples_per_s:.4g} samples/s",
        f"  a failure every {format_duration(result.mtbf_s)}: {result.devices} devices, each once "
        f"in {format_duration(result.mtbf_device_s)}",
        f"  a checkpoint of {format_duration(result.checkpoint_s)} every "
        f"{format_duration(result.interval_s)} ({chosen}), a restart takes "
        f"{format_duration(result.restart_s)}",
        f"  lost: {lost}",
    ]
