"""AISim's folders: by their configuration, else as its manual lays them out, without any.

    data/database/<model>_db.json                                      or one of a GPU type for all
    data/graphs/<model>_bs<batch>_gpunum<n>_partitionGraph_0.pbtxt     or <model>.json
    data/graphs/<model>_bs<batch>_gpunum<n>_partitionGraph/0/graph_0.pbtxt
    data/graphs/distributed/<model>.json
    data/baseline.json, data/resource_pool.yaml

The environments are the baselines' numbers of GPUs on the pool's hosts.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from math import ceil
from pathlib import Path

from lydite.cluster import read_baselines
from lydite.compat.aisim.folder import (
    PYTORCH,
    SEVERAL,
    TENSORFLOW,
    Benchmark,
    Task,
    read_config,
    refuse_lfs,
)
from lydite.errors import InputError
from lydite.hardware import read_spec

_DATA = ("", "data", "simulator_benchmark/data", "ai_simulator/simulator_benchmark/data")
_PARTS = ("", "tensorflow", "torch")
_GRAPH = re.compile(r"(.+)_bs([^_]+)_gpunum(\d{1,6})_partitionGraph(?:_\d+)?")


def read_benchmark(path: Path | str, database: Path | str | None = None) -> Benchmark:
    """Read a configuration.

    Args:
        path: the file, or the folder that holds a `config.yaml`, or a folder without any in the
            layout of AISim's manual .
        database: a database of a GPU type for all models, in place of the models' own.

    Raises:
        InputError: no such file, a field that is missing or wrong, baselines or a pool that
            are not there, a path that leads out of the folder (the field is named).
    """
    path = Path(path)
    given = None if database is None else Path(database)
    if given is not None and not given.is_file():
        raise InputError("no such file", where=f"--database {given}")
    if path.is_dir():
        found = _config_of(path)
        if found is None:
            return read_layout(path, given)
        path = found
    return read_config(path, given)


def _config_of(folder: Path) -> Path | None:
    """The configuration of a folder; None if there is none."""
    for path in (folder / "config.yaml", folder / "config" / "config.yaml"):
        if path.is_file():
            return path
    others = sorted(p for p in folder.glob("config*.y*ml") if p.is_file())
    if len(others) > 1:
        raise InputError(
            f"holds {len(others)} configurations",
            where=str(folder),
            allowed=", ".join(str(path) for path in others),
            hint="give one of them",
        )
    return others[0] if others else None


def read_layout(folder: Path, database: Path | None) -> Benchmark:
    """Read a folder.

    Args:
        folder: that holds `data`, or is it.
        database: of a GPU type, for all models; None for what the folder has.

    Raises:
        InputError: it is no such folder, or several data sets lie in it (they are listed), or it
            has graphs of two platforms.
    """
    data = _data(folder, database is not None)
    graphs = _graphs(data / "graphs")
    if not graphs:
        raise InputError("holds no graph", where=str(data / "graphs"), allowed="*.pbtxt or *.json")
    suffixes = {path.suffix for found in graphs.values() for path in found.values()}
    if len(suffixes) > 1:
        raise InputError("has graphs of two platforms", where=str(data / "graphs"))
    shared = database or _of_gpu_type(data / "database", graphs)
    tasks = {
        model: _task(model, found, data / "database" / f"{model}_db.json", database, shared)
        for model, found in graphs.items()
    }
    baseline, pool = data / "baseline.json", data / "resource_pool.yaml"
    if not pool.is_file():
        pool = data.parent / pool.name
    kept = pool if pool.is_file() else None
    return Benchmark(
        folder,
        _environments(refuse_lfs(baseline), kept) if baseline.is_file() else {},
        shared.stem.removesuffix("_db") if shared else "",
        TENSORFLOW if suffixes == {".pbtxt"} else PYTORCH,
        baseline if baseline.is_file() else None,
        kept,
        None,
        tasks,
    )


def _data(folder: Path, has_database: bool) -> Path:
    """The one data set of the folder."""
    places = [folder / data / part for data in _DATA for part in _PARTS]
    found = [
        place
        for place in places
        if (place / "graphs").is_dir() and (has_database or (place / "database").is_dir())
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"holds {len(found)} data sets and no config.yaml",
            where=str(folder),
            allowed=", ".join(map(str, found)),
            hint="give one of them",
        )
    raise InputError(
        "is no benchmark folder of AISim",
        where=str(folder),
        allowed="config.yaml, or data/graphs with data/database",
        hint="give a config*.yaml, or --database FILE where there is no data/database",
    )


def _graphs(folder: Path) -> dict[str, dict[int, Path]]:
    """Graphs by model and number of GPUs."""
    named: dict[tuple[str, str], dict[int, Path]] = defaultdict(dict)
    for name, path, several in _files(folder):
        match = _GRAPH.fullmatch(name)
        if match:
            named[match[1], match[2]][max(1, int(match[3]))] = path
        else:
            named[name, ""][SEVERAL if several else 1] = path
    models = [model for model, _ in named]
    return {
        f"{model}_bs{batch}" if models.count(model) > 1 else model: found
        for (model, batch), found in sorted(named.items())
    }


def _files(folder: Path) -> Iterator[tuple[str, Path, bool]]:
    """Name, path and whether for several GPUs, of each graph."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in (".pbtxt", ".json"):
            yield path.stem, path, False
        elif path.name == "distributed" and path.is_dir():
            for inner in sorted(path.glob("*.json")):
                yield inner.stem, inner, True
        elif (first := path / "0" / "graph_0.pbtxt").is_file():
            yield path.name, first, True


def _of_gpu_type(folder: Path, models: Collection[str]) -> Path | None:
    """The database that belongs to no model, if there is exactly one."""
    paths = sorted(folder.glob("*_db.json")) if folder.is_dir() else []
    found = [path for path in paths if path.stem.removesuffix("_db") not in models]
    return found[0] if len(found) == 1 else None


def _task(
    model: str, graphs: dict[int, Path], own: Path, given: Path | None, shared: Path | None
) -> Task:
    database = given or (own if own.is_file() else shared)
    missing: dict[int, str] = {}
    if database is None:
        missing[0] = f"no such file: {own}"
    kept: dict[int, Path] = {}
    for count, path in graphs.items():
        try:
            kept[count] = refuse_lfs(path)
        except InputError as error:
            missing[1 if count == 1 else SEVERAL] = f"{path}: {error.what}"
    return Task(model, kept, database, missing)


def _environments(baseline: Path, pool: Path | None) -> dict[str, int]:
    """Numbers of GPUs by names such as "2 Host X 4 GPU"."""
    counts = sorted({gpus for gpus, _ in _entries(baseline)})
    sizes = _gpus_of_hosts(pool)
    found = {}
    for gpus in counts:
        hosts, left = 0, gpus
        while left > 0 and hosts < len(sizes):
            left -= sizes[hosts]
            hosts += 1
        hosts = max(hosts, 1)
        found[f"{hosts} Host X {ceil(gpus / hosts)} GPU"] = gpus
    return found


def _entries(baseline: Path) -> set[tuple[int, str]]:
    found = read_baselines(baseline)
    return {*found.seconds, *found.refused}


def _gpus_of_hosts(pool: Path | None) -> list[int]:
    """GPUs of each host in the order of the file; empty where nothing tells."""
    if pool is None:
        return []
    try:
        raw = read_spec(refuse_lfs(pool), "a resource pool", most_bytes=1 << 26).document
    except InputError:
        return []  # the pool is named where an exchange needs it
    servers = raw.get("Server")
    hosts = servers.values() if isinstance(servers, dict) else ()
    sizes = [len(host.get("GPU") or ()) for host in hosts if isinstance(host, dict)]
    return [size for size in sizes if size]
