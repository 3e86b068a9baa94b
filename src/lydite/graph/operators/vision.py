"""Image sampling: resizing, grids, regions, boxes."""

from __future__ import annotations

import math

from lydite.graph.operators import split
from lydite.graph.operators.call import DIVIDE, Call, Cost, NotKnownError, nbytes
from lydite.graph.operators.decompositions import fused
from lydite.graph.operators.gradients import move as gradients
from lydite.graph.operators.missing import BRANCHING, WHOLE, runtimes, usual
from lydite.graph.operators.operator import HOST, ZERO, Family, Operator
from lydite.graph.operators.typing.contrib import like, nchwc_upsample

_LERP = 3  # subtract, multiply, add
_IOU = 12 + DIVIDE  # intersection and union of two boxes
_POSITION = 2  # map an output coordinate to an input coordinate


def _taps(mode: str, scaled: int, widen: float) -> tuple[float, float]:
    """Input elements read and FLOPs, both per output element."""
    if mode == "nearest":
        return 1, 0
    if mode == "cubic":
        taps = (4 * widen) ** scaled
        return taps, 2 * taps
    if mode in ("linear", "bilinear"):
        taps = (2 * widen) ** scaled
        return taps, 2 * taps if widen > 1 else _LERP * (taps - 1)
    raise NotKnownError


def _resize(call: Call) -> Cost:
    """Interpolation along each axis that changes; antialiasing widens the window when shrinking."""
    before, after = call.shape(0), call.out_shape()
    if len(before) != len(after):
        raise NotKnownError
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    widen = 1.0
    if call.integer("antialias", 0) and changed:
        ratios = [max(1.0, a / b) for a, b in changed if b]
        widen = math.prod(ratios) ** (1 / max(1, len(ratios)))
    taps, flops = _taps(call.text("mode", "nearest"), len(changed), widen)
    touched = min(call.count(0), taps * call.out_count())
    read = nbytes(call.ins[0]) * touched / max(1, call.count(0))
    return Cost(flops * call.out_count(), read)


def _grid_sample(call: Call) -> Cost:
    """Positions are computed once per location, interpolation once per channel."""
    dims = len(call.shape(0)) - 2
    mode = call.text("mode", "linear")
    taps, flops = _taps(mode, dims, 1)
    places = call.count(1) / max(1, call.shape(1)[-1])
    touched = min(call.count(0), taps * call.out_count())
    read = nbytes(call.ins[0]) * touched / max(1, call.count(0)) + call.bytes_of(1)
    return Cost(flops * call.out_count() + 3 * dims * places, read)


def _affine_grid(call: Call) -> Cost:
    """A row of theta is multiplied with every grid position."""
    return Cost(2 * call.shape(0)[-1] * call.out_count())


def _roi_align(call: Call) -> Cost:
    """Each bin averages (or takes the maximum of) bilinear samples; 4 at the default ratio."""
    ratio = call.integer("sampling_ratio", 0)
    samples = ratio**2 if ratio else 4
    each = samples * (3 * _LERP + 2 * _POSITION + 1) + DIVIDE
    touched = min(call.count(0), 4 * samples * call.out_count())
    read = nbytes(call.ins[0]) * touched / max(1, call.count(0)) + call.bytes_of(1, 2)
    return Cost(each * call.out_count(), read)


def _crop_resize(call: Call) -> Cost:
    return Cost((3 * _LERP + 2 * _POSITION) * call.out_count())


def _suppression(call: Call) -> Cost:
    """Each class sorts its boxes, then compares each with those kept: on average half of them."""
    batch, boxes, _ = call.shape(0)
    classes, kept = call.shape(1)[1], call.out_shape()[0]
    sort = boxes * math.ceil(math.log2(max(2, boxes)))
    return Cost(batch * classes * (boxes + sort) + _IOU * boxes * kept / 2)


_MS, _NHWC = "com.microsoft:", "com.ms.internal.nhwc:"
_standard = Family("vision", usual(split=split.rows_alone))
_runtime = Family("vision", runtimes(split=split.rows_alone))

OPERATORS: tuple[Operator, ...] = (
    _standard.row(
        "Resize",
        _resize,
        gradient=gradients.resize,
        fixed_inputs=(1, 4),
        precision="mixed",
        split=WHOLE,
    ),
    _standard.row(
        "Upsample",
        _resize,
        fixed_inputs=(1, 2),
        split=WHOLE,
        decomposition=fused.upsampled,
    ),
    _standard.row("GridSample", _grid_sample, split=WHOLE),
    _standard.row("AffineGrid", _affine_grid, gradient=BRANCHING),
    _standard.row("RoiAlign", _roi_align, split=WHOLE),
    _standard.row("NonMaxSuppression", _suppression, gradient=ZERO, array=HOST, split=WHOLE),
    _runtime.row(
        "com.microsoft.nchwc:Upsample", _resize, types=nchwc_upsample, fixed_inputs=(1, 2)
    ),
    _runtime.row(_NHWC + "Resize", _resize, fixed_inputs=(1, 4), split=WHOLE),
    _runtime.row(_NHWC + "GridSample", _grid_sample, split=WHOLE),
    _runtime.row(_MS + "GridSample", _grid_sample, split=WHOLE),
    _runtime.row(_MS + "CropAndResize", _crop_resize, split=WHOLE),
    _runtime.row(
        _MS + "DynamicTimeWarping",
        lambda call: Cost(3 * call.count(0)),
        types=like(0),
        split=WHOLE,
    ),
)
