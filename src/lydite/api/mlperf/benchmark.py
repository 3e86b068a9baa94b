"""What is run: a benchmark of a round, or a model of the user's own; and its settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from lydite.api.mlperf.options import RunOptions
from lydite.errors import InputError, unknown_name
from lydite.mlperf.adapter import ADAPTERS, Adapter, find_adapter, prepared
from lydite.mlperf.dataset import DataSet, read
from lydite.mlperf.round import SCENARIOS, Benchmark, Round, find_round
from lydite.mlperf.settings import Settings, of_round, of_sinian, of_user_file, resolve
from lydite.mlperf.user_conf import MOST_BYTES, parse_user_conf, values_for
from lydite.records import dataclass

MODELS = {
    "resnet": "resnet50",
    "bert-99": "bert-large-squad",
    "bert-99.9": "bert-large-squad",
    "llama3.1-8b": "llama3-8b",
    "llama3.1-8b-edge": "llama3-8b",
    "llama2-70b-99.9": "llama2-70b",
}
"""Models of the set that have a benchmark's architecture, by the checker's name."""

OWN_SAMPLES = 1024
"""Samples of a model of the user's own, where nothing is said."""


@dataclass(frozen=True)
class Target:
    """A benchmark of a round, or a model of the user's own.

    Attributes:
        name: The checker's name; for a model of the user's own, its name.
        row: Row of the round; None for a model of the user's own, which is never called MLPerf.
        model: What `lydite.load` takes.
        chosen: Round.
        adapter: Adapter of the user's own benchmark; None for one that has none.
        dims: Sizes of the model's symbolic dimensions, as "NAME=SIZE".
    """

    name: str
    row: Benchmark | None
    model: str
    chosen: Round
    adapter: Adapter | None = None
    dims: tuple[str, ...] = ()

    @property
    def is_file(self) -> bool:
        """Whether the model is a file, and no name of the model set."""
        return bool(Path(self.model).suffix) or Path(self.model).exists()

    @property
    def conf_name(self) -> str:
        """Name in mlperf.conf; "" for a model of the user's own."""
        return "" if self.row is None else self.row.conf_name or self.name


def target_of(name: str, options: RunOptions) -> Target:
    """The benchmark or model of this name.

    Raises:
        InputError: an unknown round, a benchmark that is gone, or one that has no model here.
    """
    if "," in name and not Path(name).exists():
        raise InputError(f"'{name}' names several benchmarks", allowed="one at a time here")
    return replace(_found(name, options), dims=tuple(options.dim))


def _found(name: str, options: RunOptions) -> Target:
    chosen = find_round(options.round)
    if options.adapter or name in ADAPTERS:
        adapter = find_adapter(options.adapter or name)
        if adapter.generate is not None and name.lower() in chosen.all_names:
            key, row = chosen.named(_version(name, options.config_ver, chosen))
            return Target(key, row, adapter.model, chosen, adapter)
        model = adapter.model if name in (adapter.name, options.adapter) else name
        return Target(adapter.name, None, model or name, chosen, adapter)
    is_benchmark = name.lower() in chosen.all_names  # of which some look like files: bert-99.9
    if not is_benchmark and (Path(name).suffix or Path(name).exists()):
        return Target(Path(name).stem, None, name, chosen)
    wanted = _version(name, options.config_ver, chosen)
    try:
        key, row = chosen.named(wanted)
    except InputError as error:
        from lydite.models import describe

        if "gone" in error.what:
            raise
        try:
            model = describe(name).name
        except InputError:
            raise error from None
        return Target(model, None, model, chosen)
    return Target(key, row, MODELS.get(key, ""), chosen)


def _version(name: str, config_ver: str, chosen: Round) -> str:
    """The benchmark of a configuration's version: high_accuracy asks for 99.9 %."""
    if "high_accuracy" not in config_ver.split(","):
        return name
    exact = f"{name}-99.9"
    if exact in chosen.benchmarks:
        return exact
    raise InputError(f"{name} has no version of 99.9 % accuracy", where=chosen.name)


def with_data(target: Target, options: RunOptions) -> RunOptions:
    """The options with the folder of the prepared data set.

    The folder that is given with an adapter is read and preprocessed by it, each time, because
    nobody but it knows whether it would do the same again.

    Raises:
        InputError: the adapter gives no samples, or raises.
    """
    if target.adapter is None or options.data is None:
        return options
    key = hashlib.sha256(str(options.data.resolve()).encode()).hexdigest()[:16]
    folder = user_cache_path("lydite") / "data" / f"{target.name}-{key}"
    prepared(target.adapter, options.data, folder)
    return replace(options, data=folder)


def benchmarks_of(text: str) -> list[str]:
    """Benchmarks of a list separated by commas.

    Raises:
        InputError: none is named.
    """
    names = [word.strip() for word in text.split(",") if word.strip()]
    if not names:
        raise InputError("no benchmark is named", hint="lydite mlperf run resnet50")
    return list(dict.fromkeys(names))


def targets_of(text: str, options: RunOptions) -> list[tuple[Target, RunOptions]]:
    """Benchmarks of a list, each with its options; of several, each has its folder of the data.

    Raises:
        InputError: as `target_of` and `with_data`.
    """
    names = benchmarks_of(text)
    found: list[tuple[Target, RunOptions]] = []
    for name in names:
        target, own = target_of(name, options), options
        if len(names) > 1 and options.data is not None:
            own = replace(options, data=options.data / target.name)
        found.append((target, with_data(target, own)))
    return found


def data_of(options: RunOptions, *, verify: bool = False) -> DataSet | None:
    """The prepared data set; None where samples are drawn.

    Raises:
        InputError: no data set, or one that is damaged.
    """
    return None if options.data is None else read(options.data, verify=verify)


def scenarios_of(text: str) -> list[str]:
    """Scenarios of a list such as "offline,server"; any case and hyphens.

    Raises:
        InputError: an unknown scenario.
    """
    known = {name.lower(): name for name in (*SCENARIOS, "Interactive")}
    found: list[str] = []
    for word in text.split(","):
        plain = word.strip().lower().replace("-", "").replace("_", "")
        if plain not in known:
            raise unknown_name("scenario", word.strip(), list(known))
        found.append(known[plain])
    return list(dict.fromkeys(found))


def settings_of(target: Target, scenario: str, options: RunOptions) -> Settings:
    """All settings of a run, each with its origin.

    Raises:
        InputError: a file that is no user.conf or config.json, or a value out of range.
    """
    layers: list[tuple[str, str, Mapping[str, Any]]] = []
    if target.row is not None:
        layers.append(("round", target.chosen.name, of_round(target.chosen, target.row, scenario)))
    else:
        base = "Server" if scenario == "Interactive" else scenario
        data = data_of(options)
        total = OWN_SAMPLES if data is None else data.samples
        layers.append(
            (
                "model",
                target.name,
                {
                    "samples": min(OWN_SAMPLES, total),
                    "total_samples": total,
                    "percentile": target.chosen.percentile.get(base),
                    "min_queries": target.chosen.min_queries.get(base),
                    "tokens": target.adapter is not None and target.adapter.generate is not None,
                },
            )
        )
    if options.config is not None:
        layers += _sinian_layers(options.config, options.system, options.config_ver)
    if options.user_conf is not None:
        names = [name for name in (target.name, target.conf_name) if name]
        text = _text(options.user_conf)
        lines = parse_user_conf(text, str(options.user_conf), names)
        base = "Server" if scenario == "Interactive" else scenario
        for name in dict.fromkeys(names):
            values = of_user_file(values_for(lines, name, base), base)
            layers.append(("user file", str(options.user_conf), values))
    layers.append(("command line", "", options.given()))
    return resolve(scenario, layers)


def _text(path: Path) -> str:
    if not path.is_file():
        raise InputError("no such file", where=str(path))
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"has {path.stat().st_size:,} bytes", where=str(path), allowed="65,536")
    return path.read_text("utf-8", errors="replace")


def _sinian_layers(
    path: Path, system: str, config_ver: str
) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Layers of a config.json: default, then the system, then the configuration's version."""
    try:
        document = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"is no JSON: {error}", where=str(path)) from None
    if not isinstance(document, dict):
        raise InputError("is no table of systems", where=str(path))
    parts = [("model", document.get("default", {}))]
    if system:
        if system not in document:
            raise unknown_name("system", system, [k for k in document if k != "default"])
        own = dict(document[system])
        versions = own.pop("config_ver", {})
        parts.append(("system", own))
        if config_ver in versions:
            parts.append(("scenario", versions[config_ver]))
        elif config_ver not in ("default", "all", "high_accuracy"):
            raise unknown_name("configuration version", config_ver, ["default", *versions])
    return [(layer, str(path), of_sinian(fields, str(path))[0]) for layer, fields in parts]
