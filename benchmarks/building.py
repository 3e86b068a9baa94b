"""What building a graph costs: llama3-8b with a prompt of 4,096 tokens, in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys

from _figures import Figure, publish

_ROUNDS = 5
_CODE = """
import json, resource, time
start = time.process_time()
from lydite.models import build_model
ready = time.process_time()
graph = build_model("llama3-8b", sequence=4096, phase="prefill", dtype="bfloat16")
done = time.process_time()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps([done - start, done - ready, peak, len(graph.ops)]))
"""


def main() -> None:
    runs: list[list[float]] = []
    for _ in range(_ROUNDS):
        out = subprocess.run(
            [sys.executable, "-c", _CODE], check=True, capture_output=True, text=True
        ).stdout
        runs.append(json.loads(out))
    whole, own, peak, ops = (sorted(column)[_ROUNDS // 2] for column in zip(*runs, strict=True))
    model = "llama3-8b, prefill of 4,096 tokens"
    at = {"rounds": _ROUNDS, "operators": ops, "build_alone_s": own}
    publish(
        "building",
        [
            Figure(f"build {model}, imports included, CPU", whole, "s", 1.0, "lower", at),
            Figure(f"memory of that process: {model}", peak / 1e6, "MB", 200, "lower", at),
        ],
    )


if __name__ == "__main__":
    main()
