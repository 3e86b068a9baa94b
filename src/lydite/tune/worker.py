"""The process in which trials compile and run, so that a hang or a crash is only a row."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from lydite.backends.tuned.space import config_from
from lydite.backends.tuned.toolchain import compiler, machine
from lydite.errors import BackendError
from lydite.graph import OpKey
from lydite.measure.worker import serve_lines
from lydite.tune.rig import Outcome, Rig

Tell = Callable[[dict[str, Any]], None]


def main() -> None:
    """Try the configurations that standard input names, one a line."""
    rigs: dict[str, Rig] = {}

    def answer(line: str, tell: Tell) -> dict[str, Any]:
        request = json.loads(line)
        text = request["key"]
        if text not in rigs:
            for rig in rigs.values():
                rig.close()
            rigs.clear()
            rigs[text] = Rig(OpKey.parse(text), machine(), request["seed"])
        rig = rigs[text]
        config = config_from(request["space"], request["factors"], rig.task, rig.here)
        try:
            outcome = rig.attempt(config, lambda stage: tell({"at": stage}))
        except BackendError as error:
            outcome = Outcome("compile_error", str(error))
        return asdict(outcome)

    compiler()
    serve_lines(answer)


if __name__ == "__main__":
    main()
