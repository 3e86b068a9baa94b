"""An AISim benchmark folder as it is: `config.yaml` and what it points to.

    enviroments: {1 Host X 1 V100: 1, 1 Host X 4 V100: 4}       # AISim's spelling; or environments
    device: V100
    platform: tensorflow                                        # or pytorch
    baseline_path: ./data/baseline.json
    resource_pool_path: ./data/resource_pool.yaml
    nccl_path: ./data/nccl                                      # may be missing
    tasks:
      alexnet: {graph_path: ..., graph_path_multi_gpu: ..., database_path: ...}

Paths are relative to the folder in which the file lies, and never leave it. Other fields, which
AISim uses to measure, are not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short
from typing import Any

from lydite.errors import InputError, unknown_name
from lydite.files import inside
from lydite.hardware import read_spec

TENSORFLOW, PYTORCH = "tensorflow", "pytorch"
_PLATFORMS = {"tensorflow": TENSORFLOW, "tf": TENSORFLOW, "pytorch": PYTORCH, "torch": PYTORCH}


@dataclass(frozen=True, slots=True)
class Task:
    """One model's files.

    Attributes:
        graph: for one GPU; None if the file names none.
        graph_multi: for several.
        database: its operators' times.
    """

    model: str
    graph: Path | None
    graph_multi: Path | None
    database: Path

    def graph_for(self, gpus: int) -> Path:
        """The graph that is played on so many GPUs.

        Raises:
            InputError: the configuration names none.
        """
        name = "graph_path" if gpus == 1 else "graph_path_multi_gpu"
        path = self.graph if gpus == 1 else self.graph_multi
        if path is None:
            raise InputError(f"no {name}, which {gpus} GPUs need", where=f"tasks.{self.model}")
        return path


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What a configuration says, its files found but not read.

    Attributes:
        where: the configuration file.
        environments: GPU count by name, in the order of the file.
        device: a label: the times come from the database, and from a device of that name only
            what filling a bucket takes.
        platform: "tensorflow" or "pytorch".
        baseline, pool, nccl: files (nccl: a folder); None where none is named.
        tasks: by model, in the order of the file.
    """

    where: Path
    environments: Mapping[str, int]
    device: str
    platform: str
    baseline: Path | None
    pool: Path | None
    nccl: Path | None
    tasks: Mapping[str, Task]

    def chosen(self, models: Sequence[str]) -> list[Task]:
        """The tasks of these models; of all without any.

        Raises:
            InputError: an unknown model (with the nearest).
        """
        for model in models:
            if model not in self.tasks:
                raise unknown_name("model", model, self.tasks, f"as the tasks of {self.where}")
        return [self.tasks[model] for model in dict.fromkeys(models or self.tasks)]


def read_benchmark(path: Path | str) -> Benchmark:
    """Read a configuration.

    Args:
        path: the file, or the folder that holds a `config.yaml`.

    Raises:
        InputError: no such file, a field that is missing or wrong, a path that leads nowhere or out
            of the folder, a model without a database (the field is named).
    """
    path = Path(path)
    path = path / "config.yaml" if path.is_dir() else path
    return _Config(path).read()


class _Config:
    def __init__(self, path: Path) -> None:
        self.path = path
        raw = read_spec(path, "a configuration of AISim", most_bytes=1 << 20).document
        self.raw = self._mapping(raw, "the configuration")

    def read(self) -> Benchmark:
        platform = self._text(self.raw, "platform", "platform")
        if platform.lower() not in _PLATFORMS:
            near = unknown_name("platform", platform, (TENSORFLOW, PYTORCH))
            raise InputError(near.what, where=str(self.path), allowed=near.allowed, hint=near.hint)
        tasks = self._mapping(self.raw.get("tasks"), "tasks")
        return Benchmark(
            self.path,
            self._environments(),
            str(self.raw.get("device", "")),
            _PLATFORMS[platform.lower()],
            self._file(self.raw, "baseline_path"),
            self._file(self.raw, "resource_pool_path"),
            self._file(self.raw, "nccl_path"),
            {str(model): self._task(str(model), fields) for model, fields in tasks.items()},
        )

    def _environments(self) -> dict[str, int]:
        field = "enviroments" if "enviroments" in self.raw else "environments"
        found = self._mapping(self.raw.get(field), field)
        for name, gpus in found.items():
            if not isinstance(gpus, int) or isinstance(gpus, bool) or not 1 <= gpus < 1 << 24:
                raise self._wrong(
                    f"{field}.{name}", f"{short(gpus)} is not a number of GPUs", "1 or more"
                )
        return {str(name): gpus for name, gpus in found.items()}

    def _task(self, model: str, fields: Any) -> Task:
        at = f"tasks.{model}"
        fields = self._mapping(fields, at)
        database = self._file(fields, "database_path", at)
        if database is None:
            raise self._wrong(f"{at}.database_path", "missing: the model has no database")
        graph = self._file(fields, "graph_path", at)
        multi = self._file(fields, "graph_path_multi_gpu", at)
        if graph is None and multi is None:
            raise self._wrong(f"{at}.graph_path", "missing: the model has no graph")
        return Task(model, graph, multi, database)

    def _file(self, fields: Mapping[str, Any], name: str, at: str = "") -> Path | None:
        """A path of the configuration; None where it is left out or empty."""
        field = f"{at}.{name}" if at else name
        if fields.get(name) in (None, ""):
            return None
        path = inside(self.path.parent, self._text(fields, name, field), f"{self.path}: {field}")
        if not path.exists():
            raise self._wrong(field, f"no such file: {path}")
        return path

    def _text(self, fields: Mapping[str, Any], name: str, field: str) -> str:
        value = fields.get(name)
        if not isinstance(value, str) or not value.isprintable():
            given = "missing" if value is None else f"{short(value)} is no printable text"
            raise self._wrong(field, given)
        return value

    def _mapping(self, value: Any, field: str) -> dict[Any, Any]:
        if not isinstance(value, dict) or not value:
            raise self._wrong(field, "missing or no mapping", "names with values")
        return value

    def _wrong(self, field: str, what: str, allowed: str = "") -> InputError:
        return InputError(what, where=f"{self.path}: {field}", allowed=allowed)
