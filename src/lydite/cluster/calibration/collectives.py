"""Fitting a calibration to measured all-reduces.

NCCL's choice does not depend on launch and local-tensor time, so the measured time minus the
modelled one is linear in the bytes: two constants by least squares of the relative error, neither
below 0. The link rate is not fitted: it follows from the cluster and the packet format, which is
why a fit on two devices carries over to four.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from lydite.cluster.collectives.calibration import Calibration
from lydite.cluster.collectives.curve import Curve
from lydite.cluster.collectives.group import Group, group_of
from lydite.errors import InputError
from lydite.hardware.cluster import Cluster

Floats = npt.NDArray[np.float64]


def calibrate(curves: Mapping[int, Curve], cluster: Cluster) -> Calibration:
    """The two constants that fit all-reduces best.

    Args:
        cluster: Cluster that they were measured on.
        cluster: Cluster that they were measured on.

    Raises:
        InputError: there is no curve, a curve is of one device or of more than the cluster has,
            or the cluster's devices do not run NCCL.
    """
    if not curves or min(curves) < 2:
        raise InputError(
            f"curves of {sorted(curves)} devices",
            allowed="one or more curves, each of at least 2 devices",
        )
    bare: list[Floats] = []
    for count, curve in curves.items():
        group = group_of(cluster.first(count), [range(count)], Calibration())
        if group.model != "nccl":
            raise InputError(
                f"devices of {cluster.device.vendor} do not run NCCL", where=cluster.name
            )
        bare.append(_modelled(group, curve))
    size = np.concatenate([curve.sizes_bytes for curve in curves.values()])
    measured = np.concatenate([curve.seconds for curve in curves.values()])
    left = measured - np.concatenate(bare)
    columns = np.stack([np.ones_like(size), size], 1)
    launch_s, local = _nonnegative(columns / measured[:, None], left / measured)
    ratio = (measured - left + columns @ (launch_s, local)) / measured
    return Calibration(launch_s, local, tuple(sorted(curves)), len(size), geomean_error(ratio))


def geomean_error(ratio: npt.ArrayLike) -> float:
    """Geometric mean of the deviation of ratios from 1 in either direction, as a share."""
    return float(np.expm1(np.mean(np.abs(np.log(ratio)))))


def _modelled(group: Group, curve: Curve) -> Floats:
    return np.array([group.seconds("AllReduce", size) for size in curve.sizes_bytes.tolist()])


def _nonnegative(columns: Floats, wanted: Floats) -> tuple[float, float]:
    """Least squares of two unknowns, neither below 0."""
    tried = [np.zeros(2)]
    for kept in ([0, 1], [0], [1]):
        solution = np.zeros(2)
        solution[kept] = np.linalg.lstsq(columns[:, kept], wanted, rcond=None)[0]
        if (solution >= 0).all():
            tried.append(solution)
    best = min(tried, key=lambda solution: float(np.sum((columns @ solution - wanted) ** 2)))
    return float(best[0]), float(best[1])
