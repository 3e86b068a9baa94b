"""Measurements to test with; light to import, for the processes that the tests start."""

from __future__ import annotations

import numpy as np

from lydite.opkey import Operand, OpKey, TensorType
from lydite.store import Conditions, Database, Measurement, Software, Trial

SOFTWARE = Software("onnxruntime", {"onnxruntime": "1.23.2"})


def key_of(size: int, op_type: str = "Relu", domain: str = "") -> OpKey:
    data = TensorType("float32", (1, size))
    return OpKey(op_type, (Operand(data),), (data,), domain=domain)


def measured(size: int = 1, seconds: float = 1e-3, **changes) -> Measurement:
    fields = {
        "key": key_of(size),
        "device": "cpu-a",
        "software": SOFTWARE,
        "conditions": Conditions(),
        "samples_s": np.array([seconds]),
        "measured_at": "2025-11-22T04:30:00.000000Z",
    }
    return Measurement(**(fields | changes))


def tried(size: int = 1, **changes) -> Trial:
    fields = {
        "key": key_of(size),
        "device": "cpu-a",
        "software": Software("tvm", {"apache-tvm": "0.27.0"}),
        "target": "llvm -mcpu=znver4",
        "space": "matmul",
        "factors": {"rows": 8, "order": "columns"},
        "seconds": 1e-4,
        "measured_at": "2025-11-22T04:30:00.000000Z",
    }
    return Trial(**(fields | changes))


def write_many(target: str, writer: int, count: int) -> None:
    """One of several processes: rows of its own, rows that all share, in many transactions."""
    with Database.open(target) as database:
        run = database.start_run("profile", {"writer": writer})
        for number in range(count):
            database.add([measured(number), measured(number, environment={"writer": writer})])
        database.finish_run(run, "done", {})
