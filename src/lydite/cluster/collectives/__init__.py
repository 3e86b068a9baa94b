"""Collectives: closed forms, what NCCL would take, what was measured, and message by message."""

from lydite.cluster.collectives.calibration import (
    Calibration,
    read_calibration,
    write_calibration,
)
from lydite.cluster.collectives.curve import Curve, curves_in, read_nccl_log
from lydite.cluster.collectives.expand import Expanded, expand, traffic
from lydite.cluster.collectives.fit import calibrate
from lydite.cluster.collectives.forms import KINDS, Wires, algorithms, closed_form
from lydite.cluster.collectives.group import (
    EFFICIENCY,
    LAUNCH_S,
    Choice,
    Group,
    group_of,
    link_between,
    with_measured,
)

__all__ = [
    "EFFICIENCY",
    "KINDS",
    "LAUNCH_S",
    "Calibration",
    "Choice",
    "Curve",
    "Expanded",
    "Group",
    "Wires",
    "algorithms",
    "calibrate",
    "closed_form",
    "curves_in",
    "expand",
    "group_of",
    "link_between",
    "read_calibration",
    "read_nccl_log",
    "traffic",
    "with_measured",
    "write_calibration",
]
