"""Fourier transforms and window functions of signals.

A Fourier transform of N complex points counts 5 N log2 N FLOPs, the convention of FFTW's benchmarks
(Frigo and Johnson, www.fftw.org/speed), and half of that for real points.
"""

from __future__ import annotations

import math

from lydite.graph.operators import split
from lydite.graph.operators.call import FUNCTION, Call, Cost, NotKnownError, WorkRule, at
from lydite.graph.operators.missing import runtimes, usual
from lydite.graph.operators.operator import ZERO, Family, Operator


def fft_flops(points: int, *, real: bool = False) -> float:
    """FLOPs of one transform of `points` points."""
    return (2.5 if real else 5) * points * math.log2(max(2, points))


def _axis(call: Call) -> int:
    """The transformed axis: an input since opset 20, an attribute before."""
    if call.version >= 20:
        return int(call.values(2)[0]) if call.has(2) else -2
    return call.integer("axis", 1)


def _dft(call: Call) -> Cost:
    """Signals are [..., points, ..., 1 for real or 2 for complex numbers]."""
    dims = call.shape(0)
    axis = _axis(call)
    real, inverse = at(dims, -1) == 1, bool(call.integer("inverse", 0))
    points = int(call.values(1)[0]) if call.has(1) else at(dims, axis)
    if not points:
        raise NotKnownError
    signals = math.prod(dims[:-1]) // max(1, at(dims, axis))
    scaled = 2 * points if inverse else 0
    return Cost(signals * (fft_flops(points, real=real) + scaled), call.bytes_of(0))


def _stft(call: Call) -> Cost:
    """One transform per frame, after multiplying by the window."""
    batch, frames, _, _ = call.out_shape()
    if call.has(2):
        points = call.shape(2)[0]
    elif call.has(3):
        points = int(call.values(3)[0])
    else:
        raise NotKnownError
    real = len(call.shape(0)) == 2 or call.shape(0)[-1] == 1
    window = points * (1 if real else 2) if call.has(2) else 0
    return Cost(batch * frames * (fft_flops(points, real=real) + window), call.bytes_of(0, 2))


def _window(cosines: int) -> WorkRule:
    """A window function that is a sum of `cosines` cosines."""

    def rule(call: Call) -> Cost:
        return Cost(cosines * (FUNCTION + 3) * call.out_count(), read=0)

    return rule


def _mel(call: Call) -> Cost:
    """Band edges on the mel scale (a power each), then a slope per element."""
    bins = call.out_shape()[1]
    return Cost((bins + 2) * (FUNCTION + 4) + 3 * call.out_count(), read=0)


def _contrib_fft(call: Call) -> Cost:
    """The last axis, or the one before it if the last holds real and imaginary parts."""
    points = at(call.shape(0), -1)
    return Cost(fft_flops(points, real=True) * call.count(0) / max(1, points))


_standard = Family("signal", usual(split=split.rows_alone))
_runtime = Family("signal", runtimes(split=split.rows_alone))

OPERATORS: tuple[Operator, ...] = (
    _standard.row("DFT", _dft, special=True),
    _standard.row("STFT", _stft, special=True),
    *_standard.rows(
        ("HannWindow", "HammingWindow"), _window(1), gradient=ZERO, split=split.source, special=True
    ),
    _standard.row("BlackmanWindow", _window(2), gradient=ZERO, split=split.source, special=True),
    _standard.row("MelWeightMatrix", _mel, gradient=ZERO, split=split.source, special=True),
    *_runtime.rows(("com.microsoft:Rfft", "com.microsoft:Irfft"), _contrib_fft),
)
