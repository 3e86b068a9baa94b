"""Every model whose weights fit in 4 GiB: exported, checked, and one batch on ONNX Runtime.

At default sizes and batch 1, each in a process of its own, which may need 16 GB. `python
benchmarks/execution.py resnet50 ...` runs only those and writes no result.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from _figures import Figure, publish

from lydite.graph import Graph, write_onnx
from lydite.models import build_model, model_names

LIMIT_BYTES = 4 << 30


def run(name: str) -> dict[str, Any]:
    """Export, check, run; what was promised and what came out.

    Raises:
        Exception: what ONNX's checker or ONNX Runtime says against the model.
    """
    import onnx
    import onnxruntime as ort

    graph = build_model(name)
    start = time.process_time()
    with TemporaryDirectory() as folder:
        path = write_onnx(graph, Path(folder) / "model.onnx")
        onnx.checker.check_model(str(path))
        options = ort.SessionOptions()
        options.log_severity_level = 3
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        found: list[Any] = list(session.run(None, _feeds(graph)))
    promised = [list(graph.type_of(output).shape or ()) for output in graph.outputs]
    finite = all(np.isfinite(out).all() for out in found if out.dtype.kind == "f")
    return {
        "model": name,
        "shapes": [list(out.shape) for out in found] == promised,
        "finite": bool(finite),
        "cpu_s": round(time.process_time() - start, 2),
    }


def _feeds(graph: Graph) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    feeds: dict[str, np.ndarray] = {}
    for name in graph.inputs:
        type_ = graph.type_of(name)
        shape = tuple(int(dim) for dim in type_.shape or ())
        whole = type_.dtype.startswith("int")
        feeds[name] = (
            np.ones(shape, type_.dtype)
            if whole
            else (rng.standard_normal(shape).astype(type_.dtype))
        )
    return feeds


def main() -> None:
    chosen = sys.argv[1:]
    names = chosen or [n for n in model_names() if build_model(n).parameter_bytes <= LIMIT_BYTES]
    rows: list[dict[str, Any]] = []
    for name in names:
        ran = subprocess.run(
            [sys.executable, __file__, "--one", name], capture_output=True, text=True, check=False
        )
        row = (
            json.loads(ran.stdout)
            if not ran.returncode
            else (
                {
                    "model": name,
                    "shapes": False,
                    "finite": False,
                    "error": ran.stderr.strip()[-300:],
                }
            )
        )
        rows.append(row)
        print(json.dumps(row), flush=True)
    good = [row for row in rows if row["shapes"] and row["finite"]]
    if not chosen:
        bad = [row["model"] for row in rows if row not in good]
        at = {"models": len(rows), "failed": bad, "cpu_s": sum(r.get("cpu_s", 0) for r in rows)}
        what, share = "models up to 4 GiB that export, check and run", len(good) / len(rows)
        publish("execution", [Figure(what, share, "share", 1.0, "higher", at)])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(run(sys.argv[2])))
    else:
        main()
