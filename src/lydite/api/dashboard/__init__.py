"""What the dashboard asks of a database: runs, measurements, coverage, comparisons, rooflines.

`Reader` opens a database so that nothing can change it, with a limit on every query; the other
functions take one. They return plain records, which any page can show.
"""

from lydite.api.dashboard.compare import Comparison, OperatorPair, TypeShare, compare
from lydite.api.dashboard.coverage import CoverageCount, coverage_matrix
from lydite.api.dashboard.documents import number_pairs
from lydite.api.dashboard.measurements import (
    MeasurementDetail,
    MeasurementLine,
    Selection,
    measured_until,
    measurement,
    measurements,
    new_measurements,
)
from lydite.api.dashboard.paging import Page, device_names
from lydite.api.dashboard.reader import MOST_CONNECTIONS, NoSuchRecord, QueryTimeout, Reader
from lydite.api.dashboard.roofline import (
    MOST_POINTS,
    RooflineDevice,
    RooflinePoint,
    roofline_device,
    roofline_points,
    warm_up,
)
from lydite.api.dashboard.runs import (
    MOST_RESULT_BYTES,
    RunDetail,
    RunLine,
    kind_of,
    run,
    running,
    runs,
    whole_id,
)

__all__ = [
    "MOST_CONNECTIONS",
    "MOST_POINTS",
    "MOST_RESULT_BYTES",
    "Comparison",
    "CoverageCount",
    "MeasurementDetail",
    "MeasurementLine",
    "NoSuchRecord",
    "OperatorPair",
    "Page",
    "QueryTimeout",
    "Reader",
    "RooflineDevice",
    "RooflinePoint",
    "RunDetail",
    "RunLine",
    "Selection",
    "TypeShare",
    "compare",
    "coverage_matrix",
    "device_names",
    "kind_of",
    "measured_until",
    "measurement",
    "measurements",
    "new_measurements",
    "number_pairs",
    "roofline_device",
    "roofline_points",
    "run",
    "running",
    "runs",
    "warm_up",
    "whole_id",
]
