"""`mlperf calibrate`: the table of an int8 engine, and the nodes to keep in fp32."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from lydite.api.mlperf.benchmark import data_of, target_of, with_data
from lydite.api.mlperf.calibrated import MlperfCalibrateResult
from lydite.api.mlperf.calibrating import Work
from lydite.api.mlperf.keywords import RunKeywords
from lydite.api.mlperf.options import CalibrateOptions, RunOptions
from lydite.api.options import chosen
from lydite.errors import InputError

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.mlperf.calibration import Table
    from lydite.mlperf.keeping import Found


class CalibrateKeywords(RunKeywords, total=False):
    """Fields of `CalibrateOptions`, and of `RunOptions`."""

    calibration_list: Path | None
    calibration_samples: int
    method: str
    per_channel: bool
    operators: str
    keep: str
    gate: float
    search: bool
    evaluate: int


def calibrate(
    session: Session,
    model: str,
    *,
    how: CalibrateOptions | None = None,
    out: Path | None = None,
    options: RunOptions | None = None,
    **given: Unpack[CalibrateKeywords],
) -> MlperfCalibrateResult:
    """Calibrate an int8 engine, judge its accuracy, and propose nodes to keep in fp32.

    Args:
        session: Session.
        model: Benchmark of the round, name of the model set, or file.
        how: How to calibrate.
        out: Folder for a copy of the table.
        options: Settings, the data set among them.
        given: Fields of `CalibrateOptions` and `RunOptions`.

    Raises:
        InputError: no data set, a list that names absent samples, or operators that are not there.
        BackendError: ONNX Runtime's quantiser refuses the model.
    """
    own = CalibrateOptions.__dataclass_fields__
    how = chosen(CalibrateOptions, how, {k: v for k, v in given.items() if k in own})
    wanted = chosen(RunOptions, options, {k: v for k, v in given.items() if k not in own})
    target = target_of(model, wanted)
    wanted = with_data(target, wanted)
    data = data_of(wanted, verify=True)
    if data is None:
        raise InputError("calibration needs a data set", where=target.name, hint="--data FOLDER")
    work = Work(session, target, data, how, wanted.threads or 1)
    table = work.table
    nodes = work.quantiser.chosen(table.operators)
    absent = [name for name in table.keep if name not in nodes]
    if absent:
        raise InputError(
            f"{', '.join(absent[:3])} is no node that is quantised",
            where="--keep",
            allowed=", ".join(nodes[:20]),
        )
    found = work.found(nodes)
    table = replace(table, keep=(*table.keep, *found.keep))
    return _written(work, table, found, len(nodes) - len(table.keep), out)


def _written(
    work: Work, table: Table, found: Found, nodes: int, out: Path | None
) -> MlperfCalibrateResult:
    from lydite.mlperf.calibration import usual_path, write_table

    path = write_table(table, usual_path(table.model))
    if out is not None:
        path = write_table(table, out / f"{work.target.name}.calibration.txt")
    return MlperfCalibrateResult(
        work.target,
        table,
        work.metric.name if work.metric is not None else "fidelity (agreement)",
        work.evaluated.samples,
        work.fp32,
        work.how.gate,
        found,
        nodes,
        path,
    )
