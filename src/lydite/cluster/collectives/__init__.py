"""Times of collectives: closed forms, NCCL's cost model, measurements, message simulation."""

from lydite.cluster.collectives.algorithm import (
    ALGORITHMS,
    KINDS,
    Algorithm,
    Traffic,
    Wires,
    algorithms,
    closed_form,
    find_algorithm,
)
from lydite.cluster.collectives.calibration import (
    Calibration,
    read_calibration,
    write_calibration,
)
from lydite.cluster.collectives.curve import Curve, curves_in, read_nccl_log
from lydite.cluster.collectives.expand import Expanded, expand, traffic
from lydite.cluster.collectives.group import (
    EFFICIENCY,
    LAUNCH_S,
    Choice,
    Group,
    Setting,
    group_of,
    link_between,
    settings_of,
    with_measured,
)

__all__ = [
    "ALGORITHMS",
    "EFFICIENCY",
    "KINDS",
    "LAUNCH_S",
    "Algorithm",
    "Calibration",
    "Choice",
    "Curve",
    "Expanded",
    "Group",
    "Setting",
    "Traffic",
    "Wires",
    "algorithms",
    "closed_form",
    "curves_in",
    "expand",
    "find_algorithm",
    "group_of",
    "link_between",
    "read_calibration",
    "read_nccl_log",
    "settings_of",
    "traffic",
    "with_measured",
    "write_calibration",
]
