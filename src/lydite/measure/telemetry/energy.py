"""Energy of a window of a trace: by counter, else by polled power; never a mean of the two.

The counter's figure is the difference of two readings, each interpolated between the samples on
both sides of the window's edge. The polled figure is the trapezoid rule over the real times of the
samples. Both are kept; the counter scores, and a gap between the two is told.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from lydite.errors import InputError
from lydite.measure.telemetry.samples import DeviceTrace
from lydite.measure.telemetry.trace import FROZEN_SAMPLES, GAP_INTERVALS, Trace, most_joules
from lydite.records import dataclass

Source = Literal["counter", "polled", "modelled", "none"]

MOST_UNSEEN = 0.1
"""Share of a window that may lie in gaps; with more, the figure is refused."""
TOLD_DIFFERENCE = 0.05
"""Relative difference of counter and polled energy from which it is told."""
_WRONG_UNIT = 0.05
_USE_CHANGES = 20.0


@dataclass(frozen=True)
class EnergyFigure:
    """Energy of a device over a window.

    Attributes:
        joules: Energy in J; None if the source is "none".
        source: Where it comes from. Only "counter" and "polled" were measured.
        uncertainty_j: What sampling leaves open, in J: the shares of the samples at the edges, and
            changes of power between samples. The sensor's own error is not in it.
        above_idle_j: Energy beyond what the idle device would have used, in J; None without an
            idle power.
        polled_j: Energy by polled power in J; None if there is none, or it was refused.
        counter_j: Energy by the counter in J; None if there is none, or it was refused.
        seconds: Length of the window in s.
        notes: What a reader of the figure has to know: refusals, gaps, disagreement.
    """

    joules: float | None
    source: Source
    uncertainty_j: float | None
    above_idle_j: float | None
    polled_j: float | None
    counter_j: float | None
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def watts(self) -> float | None:
        """Mean power in W; None without energy."""
        return None if self.joules is None else self.joules / self.seconds


@dataclass(frozen=True)
class IdlePower:
    """Power of a device that rests.

    Attributes:
        watts: Median in W.
        spread_w: Interquartile range in W.
        source: "polled", or "counter" where there is no polled power.
        samples: Number of readings.
    """

    watts: float
    spread_w: float
    source: Source
    samples: int


@dataclass(frozen=True)
class _Part:
    """A figure by one of the two ways: joules and uncertainty, or None and why."""

    joules: float | None
    uncertainty_j: float = 0.0
    notes: tuple[str, ...] = ()


def window_energy(
    trace: Trace, device: str, start_ns: int, end_ns: int, idle_w: float | None = None
) -> EnergyFigure:
    """Energy of a device between two moments.

    Args:
        trace: Recorded samples.
        device: Id of the device.
        start_ns, end_ns: Window on the monotonic clock, in ns.
        idle_w: Power of the idle device in W, to be taken off in `above_idle_j`; None for none.

    Raises:
        InputError: the device is not in the trace, or the window is empty.
    """
    samples = trace.one(device)
    if not end_ns > start_ns:
        raise InputError(f"the window from {start_ns} to {end_ns} ns is empty", where=device)
    counter, polled = _counter(samples, start_ns, end_ns), _polled(samples, start_ns, end_ns)
    seconds = (end_ns - start_ns) * 1e-9
    notes = [*counter.notes, *polled.notes]
    both = counter.joules, polled.joules
    if both[0] is not None and both[1] is not None:
        told = _disagreement(both[0], both[1])
        notes += [told] if told else []
        if told and "unit" in told:
            counter = polled = _Part(None)
    chosen, source = (counter, "counter") if counter.joules is not None else (polled, "polled")
    if chosen.joules is None:
        if not notes:
            notes.append("no sensor of this device reads energy or power")
        return EnergyFigure(None, "none", None, None, both[1], both[0], seconds, tuple(notes))
    above = None if idle_w is None else chosen.joules - idle_w * seconds
    return EnergyFigure(
        chosen.joules,
        source,
        chosen.uncertainty_j,
        above,
        both[1],
        both[0],
        seconds,
        tuple(notes),
    )


def _disagreement(counter_j: float, polled_j: float) -> str:
    """What to say if the two differ; "" if they agree."""
    larger, smaller = max(counter_j, polled_j), min(counter_j, polled_j)
    if not larger:
        return ""
    both = f"counter {counter_j:.4g} J, polled {polled_j:.4g} J"
    if smaller and abs(larger / smaller / 1000 - 1) < _WRONG_UNIT:
        return f"{both}: a thousand times apart, so one has the wrong unit; neither is used"
    share = abs(polled_j - counter_j) / max(counter_j, 1e-12)
    if share > TOLD_DIFFERENCE:
        return f"{both}: polled power differs by {100 * share:.3g} % from the counter, which scores"
    return ""


def _counter(samples: DeviceTrace, start_ns: int, end_ns: int) -> _Part:
    """Difference of the counter at the two edges."""
    times, joules = samples.known("energy_j")
    if not len(times):
        return _Part(None)
    seen = _reach(samples, times, start_ns, end_ns, "counter")
    if seen.joules is None:
        return seen
    first = max(0, int(times.searchsorted(start_ns, side="right")) - 1)
    last = min(len(times) - 1, int(times.searchsorted(end_ns, side="left")))
    steps, spans = np.diff(joules[first : last + 1]), np.diff(times[first : last + 1]) * 1e-9
    if np.any(steps < 0):
        return _Part(None, notes=("counter refused: it steps back within the window",))
    if np.any(steps > most_joules(samples.device, spans)):
        return _Part(None, notes=("counter refused: it jumps beyond belief within the window",))
    if last - first >= FROZEN_SAMPLES and not steps.any():
        return _Part(None, notes=(f"counter refused: frozen at {joules[first]:g} J",))
    edges = [min(max(edge, int(times[0])), int(times[-1])) for edge in (start_ns, end_ns)]
    at = np.interp([edge - int(times[0]) for edge in edges], times - times[0], joules)
    covered_s = (edges[1] - edges[0]) * 1e-9
    energy = float(at[1] - at[0])
    total = energy * (end_ns - start_ns) * 1e-9 / covered_s
    uncertainty = sum(_edge_j(times, joules, edge) for edge in edges) + (total - energy)
    return _Part(max(0.0, total), uncertainty, seen.notes)


def _edge_j(times: np.ndarray, joules: np.ndarray, edge_ns: int) -> float:
    """What interpolation at an edge leaves open: nothing at a sample, most between two.

    A counter that is updated less often than it is read stays between two steps, so the last step
    before the edge counts as well.
    """
    after = min(max(1, int(times.searchsorted(edge_ns, side="left"))), len(times) - 1)
    width = max(1, int(times[after] - times[after - 1]))
    share = (edge_ns - int(times[after - 1])) / width
    inside = 2 * share * (1 - share) * float(joules[after] - joules[after - 1])
    near = np.diff(joules[max(0, after - FROZEN_SAMPLES) : after + FROZEN_SAMPLES])
    rare = float(np.median(near[near > 0])) if np.any(near == 0) and np.any(near > 0) else 0.0
    return max(inside, rare)


def _polled(samples: DeviceTrace, start_ns: int, end_ns: int) -> _Part:
    """Trapezoid rule over the samples inside, and interpolated power at the edges."""
    times, watts = samples.known("power_w")
    if not len(times):
        return _Part(None)
    seen = _reach(samples, times, start_ns, end_ns, "polled power")
    if seen.joules is None:
        return seen
    inside = (times > start_ns) & (times < end_ns)
    frozen = _frozen(samples, watts[inside], start_ns, end_ns)
    if frozen.startswith("polled power refused"):
        return _Part(None, notes=(frozen,))
    at = np.concatenate([[start_ns], times[inside], [end_ns]])
    power = np.interp(at - start_ns, times - start_ns, watts)
    spans = np.diff(at) * 1e-9
    energy = float(np.sum(spans * (power[1:] + power[:-1]) / 2))
    # Power that goes from one sample to the next without turning lies within this on either side.
    open_j = spans * np.abs(np.diff(power)) / 2
    gaps = spans > GAP_INTERVALS * samples.interval_s
    unseen = float(np.sum(open_j[gaps]) + seen.uncertainty_j * np.max(power))
    uncertainty = float(np.sqrt(np.sum(open_j[~gaps] ** 2))) + unseen
    return _Part(energy, uncertainty, (*seen.notes, *([frozen] if frozen else [])))


def _reach(samples: DeviceTrace, times: np.ndarray, start_ns: int, end_ns: int, what: str) -> _Part:
    """Whether the samples cover a window; its uncertainty is the time beyond them in seconds.

    A gap inside does not harm a counter, unless an edge lies in it.
    """
    beyond_ns = max(0, int(times[0]) - start_ns) + max(0, end_ns - int(times[-1]))
    first = max(0, int(times.searchsorted(start_ns, side="right")) - 1)
    last = min(len(times) - 1, int(times.searchsorted(end_ns, side="left")))
    if last <= first or times[last] <= start_ns or times[first] >= end_ns:
        return _Part(None, notes=(f"{what} refused: fewer than two samples around the window",))
    starts, ends = times[first:last], times[first + 1 : last + 1]
    is_gap = (ends - starts) * 1e-9 > GAP_INTERVALS * samples.interval_s
    notes = []
    if is_gap.any():
        longest = float(np.max(ends - starts)) * 1e-9
        count = f"{int(is_gap.sum())} gap{'s' if is_gap.sum() > 1 else ''}"
        notes.append(f"{what}: {count} in the window, the longest {longest:.3g} s")
    if what == "counter":
        is_gap &= (starts < start_ns) | (ends > end_ns)
    shares = np.minimum(ends, end_ns) - np.maximum(starts, start_ns)
    unseen = (float(np.sum(shares[is_gap])) + beyond_ns) / (end_ns - start_ns)
    if unseen > MOST_UNSEEN:
        reason = f"{what} refused: {100 * unseen:.3g} % of the window lies in gaps"
        return _Part(None, notes=(f"{reason}, and at most {100 * MOST_UNSEEN:g} % may",))
    if beyond_ns > samples.interval_s * 1e9:
        notes.append(f"{what}: {beyond_ns * 1e-9:.3g} s of the window lie beyond the samples")
    return _Part(0.0, beyond_ns * 1e-9, tuple(notes))


def _frozen(samples: DeviceTrace, watts: np.ndarray, start_ns: int, end_ns: int) -> str:
    """What to say of power that never changes: a refusal if the use of the device does."""
    if len(watts) < FROZEN_SAMPLES or np.ptp(watts):
        return ""
    times, use = samples.known("utilisation_percent")
    use = use[(times >= start_ns) & (times <= end_ns)]
    told = f"all {len(watts)} readings are {watts[0]:g} W"
    if len(use) and np.ptp(use) > _USE_CHANGES:
        return f"polled power refused: frozen, {told} while the use changes"
    return f"polled power may be frozen: {told}"


def idle_power(trace: Trace, device: str, start_ns: int, end_ns: int) -> IdlePower | None:
    """Median power of a device that rests between two moments; None if it has no sensor of power.

    Raises:
        InputError: the device is not in the trace.
    """
    times, watts, source = trace.one(device).power()
    watts = watts[(times >= start_ns) & (times <= end_ns)]
    if not len(watts):
        return None
    low, median, high = np.percentile(watts, [25, 50, 75]).tolist()
    kind: Source = "polled" if source == "polled" else "counter"
    return IdlePower(median, high - low, kind, len(watts))


def modelled_power(idle_w: float, tdp_w: float, utilisation: np.ndarray) -> np.ndarray:
    """Power in W that a device would draw if it grew with its use from idle to its TDP.

    An assumption, not a measurement: real power depends on what runs, not only on how busy it is.

    Args:
        idle_w: Power of the idle device in W.
        tdp_w: Thermal design power in W.
        utilisation: Use of the device, from 0 to 1.

    Raises:
        InputError: the powers are out of order.
    """
    if not 0 <= idle_w <= tdp_w:
        raise InputError(f"an idle power of {idle_w:g} W and a TDP of {tdp_w:g} W")
    return idle_w + np.clip(utilisation, 0.0, 1.0) * (tdp_w - idle_w)


def modelled_energy(
    trace: Trace, device: str, start_ns: int, end_ns: int, *, idle_w: float, tdp_w: float
) -> EnergyFigure:
    """Energy of a window by `modelled_power` over the recorded use; its source is "modelled".

    Args:
        trace: Recorded samples.
        device: Id of the device.
        start_ns, end_ns: Window on the monotonic clock, in ns.
        idle_w: Assumed power of the idle device in W.
        tdp_w: Assumed thermal design power in W.

    Raises:
        InputError: the device is not in the trace, or the powers are out of order.
    """
    samples = trace.one(device)
    times, use = samples.known("utilisation_percent")
    seconds = (end_ns - start_ns) * 1e-9
    if not len(times):
        why = ("its use was not recorded, so its power cannot be modelled",)
        return EnergyFigure(None, "none", None, None, None, None, seconds, why)
    watts = modelled_power(idle_w, tdp_w, use / 100)
    stand_in = DeviceTrace(
        samples.device, samples.sensor, samples.interval_s, times, {"power_w": watts}
    )
    part = _polled(stand_in, start_ns, end_ns)
    assumed = f"modelled: {idle_w:g} W idle, and {tdp_w:g} W (TDP) at full use; not measured"
    if part.joules is None:
        return EnergyFigure(None, "none", None, None, None, None, seconds, part.notes)
    return EnergyFigure(
        part.joules,
        "modelled",
        None,
        part.joules - idle_w * seconds,
        None,
        None,
        seconds,
        (assumed, *part.notes),
    )
