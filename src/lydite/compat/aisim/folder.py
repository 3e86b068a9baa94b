"""An AISim benchmark folder as it is: `config.yaml` and what it points to.

    enviroments: {1 Host X 1 V100: 1, 1 Host X 4 V100: 4}       # AISim's spelling; or environments
    device: V100
    platform: tensorflow                                        # or pytorch
    baseline_path: ./data/baseline.json
    resource_pool_path: ./data/resource_pool.yaml
    nccl_path: ./data/nccl                                      # may be missing
    tasks:
      alexnet: {graph_path: ..., graph_path_multi_gpu: ..., database_path: ...}

Paths are relative to the folder in which AISim was started, which the file does not name: the
file's own folder, one of the three above it, or the working directory, whichever holds most of the
files. They never leave it. A task's file that is not there is looked for beside the baselines. A
task whose files are missing is kept with the reason. Other fields, which AISim uses to measure, are
not read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from reprlib import repr as short
from typing import Any

from lydite.errors import InputError, unknown_name
from lydite.files import inside
from lydite.hardware import read_spec
from lydite.records import dataclass

TENSORFLOW, PYTORCH = "tensorflow", "pytorch"
_PLATFORMS = {"tensorflow": TENSORFLOW, "tf": TENSORFLOW, "pytorch": PYTORCH, "torch": PYTORCH}
SEVERAL = 2
"""The count under which a configuration's graph for several GPUs is kept."""
_LFS = b"version https://git-lfs."
_FOLDERS_ABOVE = 3


@dataclass(frozen=True, slots=True)
class Task:
    """One model's files.

    Attributes:
        graphs: by number of GPUs.
        database: its operators' times; None if there is none.
        missing: why a graph (by number of GPUs) or the database (0) is missing.
    """

    model: str
    graphs: Mapping[int, Path]
    database: Path | None
    missing: Mapping[int, str] = field(default_factory=dict)

    def has_graph(self, gpus: int) -> bool:
        """Whether a graph for one or for several GPUs is named, though it may be missing."""
        several = gpus > 1
        return any((count > 1) == several for count in (*self.graphs, *self.missing) if count)

    def graph_for(self, gpus: int) -> Path:
        """The graph that is played on so many GPUs: its own, else the next smaller of several.

        Raises:
            InputError: there is none.
        """
        if gpus == 1 and 1 in self.graphs:
            return self.graphs[1]
        several = sorted(count for count in self.graphs if count > 1)
        if gpus > 1 and several:
            return self.graphs[max((c for c in several if c <= gpus), default=several[0])]
        why = self.missing.get(1 if gpus == 1 else SEVERAL)
        lacks = "one GPU (graph_path)" if gpus == 1 else "several GPUs (graph_path_multi_gpu)"
        raise InputError(why or f"has no graph for {lacks}", where=f"tasks.{self.model}")

    def the_database(self) -> Path:
        """The database.

        Raises:
            InputError: there is none.
        """
        if self.database is None:
            raise InputError(self.missing[0], where=f"tasks.{self.model}")
        return self.database


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What a configuration says, its files found but not read.

    Attributes:
        where: the configuration file, or the folder where there is none.
        environments: GPU count by name, in the order of the file.
        device: a label: the times come from the database, and from a device of that name only
            what filling a bucket takes.
        platform: "tensorflow" or "pytorch".
        baseline, pool, nccl: files (nccl: a folder); None where none is named.
        tasks: by model, in the order of the file.
        notes: where files were found that lie elsewhere than the configuration says.
    """

    where: Path
    environments: Mapping[str, int]
    device: str
    platform: str
    baseline: Path | None
    pool: Path | None
    nccl: Path | None
    tasks: Mapping[str, Task]
    notes: Sequence[str] = ()

    def chosen(self, models: Sequence[str]) -> list[Task]:
        """The tasks of these models; of all without any.

        Raises:
            InputError: an unknown model (with the nearest).
        """
        for model in models:
            if model not in self.tasks:
                raise unknown_name("model", model, self.tasks, f"as the tasks of {self.where}")
        return [self.tasks[model] for model in dict.fromkeys(models or self.tasks)]


def read_config(path: Path, database: Path | None = None) -> Benchmark:
    """Read a configuration; see `lydite.compat.aisim.read_benchmark`."""
    return _Config(path, database).read()


def refuse_lfs(path: Path) -> Path:
    """The path.

    Raises:
        InputError: the file is only Git LFS's pointer to one.
    """
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(_LFS)) == _LFS:
                raise InputError(
                    "is a Git LFS pointer, not the file", where=str(path), hint="run: git lfs pull"
                )
    return path


class _Config:
    def __init__(self, path: Path, database: Path | None) -> None:
        self.path, self.database = path, database
        raw = read_spec(path, "a configuration of AISim", most_bytes=1 << 20).document
        self.raw = self._mapping(raw, "the configuration")
        self.base = _base(path, list(_paths(self.raw)))
        self.notes: list[str] = []

    def read(self) -> Benchmark:
        platform = self._text(self.raw, "platform", "platform")
        if platform.lower() not in _PLATFORMS:
            near = unknown_name("platform", platform, (TENSORFLOW, PYTORCH))
            raise InputError(near.what, where=str(self.path), allowed=near.allowed, hint=near.hint)
        tasks = self._mapping(self.raw.get("tasks"), "tasks")
        baseline = self._file(self.raw, "baseline_path")
        read = {str(m): self._task(str(m), fields, baseline) for m, fields in tasks.items()}
        return Benchmark(
            self.path,
            self._environments(),
            str(self.raw.get("device", "")),
            _PLATFORMS[platform.lower()],
            baseline and refuse_lfs(baseline),
            self._file(self.raw, "resource_pool_path"),
            self._file(self.raw, "nccl_path"),
            read,
            self.notes,
        )

    def _environments(self) -> dict[str, int]:
        name = "enviroments" if "enviroments" in self.raw else "environments"
        found = self._mapping(self.raw.get(name), name)
        for environment, gpus in found.items():
            if not isinstance(gpus, int) or isinstance(gpus, bool) or not 1 <= gpus < 1 << 24:
                raise self._wrong(
                    f"{name}.{environment}", f"{short(gpus)} is not a number of GPUs", "1 or more"
                )
        return {str(environment): gpus for environment, gpus in found.items()}

    def _task(self, model: str, fields: Any, baseline: Path | None) -> Task:
        """A task, its files that are there and why others are not."""
        at = f"tasks.{model}"
        fields = self._mapping(fields, at)
        files: dict[int, Path] = {}
        missing: dict[int, str] = {}
        names = {0: "database_path", 1: "graph_path", SEVERAL: "graph_path_multi_gpu"}
        for count, name in names.items():
            try:
                if count == 0 and self.database is not None:
                    files[count] = refuse_lfs(self.database)
                    continue
                path = self._file(fields, name, at, baseline)
                if path is not None:
                    files[count] = refuse_lfs(path)
                elif count == 0:
                    missing[count] = f"{name}: missing: the model has no database"
                elif not any(fields.get(names[graph]) for graph in (1, SEVERAL)):
                    missing[count] = f"{names[1]}: missing: the model has no graph"
            except InputError as error:
                missing[count] = f"{name}: {error.what}"
        database = files.pop(0, None)
        return Task(model, files, database, missing)

    def _file(
        self, fields: Mapping[str, Any], name: str, at: str = "", baseline: Path | None = None
    ) -> Path | None:
        """A path of the configuration; None where it is left out or empty."""
        place = f"{at}.{name}" if at else name
        if fields.get(name) in (None, ""):
            return None
        text = self._text(fields, name, place)
        path = inside(self.base, text, f"{self.path}: {place}")
        if path.exists():
            return path
        for near in _beside(baseline, Path(text)):
            self.notes.append(f"{place}: not there; read {near.relative_to(self.base.resolve())}")
            return near
        raise self._wrong(place, f"no such file: {path}")

    def _text(self, fields: Mapping[str, Any], name: str, place: str) -> str:
        value = fields.get(name)
        if not isinstance(value, str) or not value.isprintable():
            given = "missing" if value is None else f"{short(value)} is no printable text"
            raise self._wrong(place, given)
        return value

    def _mapping(self, value: Any, place: str) -> dict[Any, Any]:
        if not isinstance(value, dict) or not value:
            raise self._wrong(place, "missing or no mapping", "names with values")
        return value

    def _wrong(self, place: str, what: str, allowed: str = "") -> InputError:
        return InputError(what, where=f"{self.path}: {place}", allowed=allowed)


def _paths(raw: Mapping[Any, Any]) -> Iterable[str]:
    """Every path that a configuration names."""
    tasks = raw.get("tasks")
    groups = [raw, *(tasks.values() if isinstance(tasks, dict) else ())]
    for fields in groups:
        if isinstance(fields, dict):
            yield from (
                value
                for name, value in fields.items()
                if isinstance(value, str) and "\0" not in value and "_path" in str(name)
            )


def _base(config: Path, paths: Sequence[str]) -> Path:
    """The folder from which most paths lead to files; the file's own in doubt."""
    here = config.resolve().parent
    folders = dict.fromkeys([here, *here.parents[:_FOLDERS_ABOVE], Path.cwd()])
    return max(folders, key=lambda folder: sum((folder / path).is_file() for path in paths))


def _beside(baseline: Path | None, path: Path) -> Iterable[Path]:
    """The same file below the folder of the baselines, with fewer of its leading folders."""
    if baseline is not None:
        for at in range(1, len(path.parts)):
            near = (baseline.parent / Path(*path.parts[at:])).resolve()
            if near.is_file() and near.is_relative_to(baseline.parent):
                yield near
