"""The submission checker: every fault by its path, what is there, what is asked for, what to do.

Each rule is one function that looks at one part of the tree and yields faults; none raises for
what a submission may hold. A rule judges what the official checker judges, and what it passes over:
verdicts, errors and modes in the logs, summaries that contradict them, hashes of other files, and
audits that did not take effect.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from lydite.errors import InputError
from lydite.mlperf import tree
from lydite.mlperf.check_accuracy import check_accuracy
from lydite.mlperf.check_audit import check_audit
from lydite.mlperf.check_logs import check_performance
from lydite.mlperf.fault import Fault
from lydite.mlperf.round import SCENARIOS, Benchmark, Round
from lydite.records import dataclass

_MOST_FAULTS = 10_000
_MOST_JSON_BYTES = 1 << 20


@dataclass(frozen=True)
class Place:
    """One scenario of a submission.

    Attributes:
        root: Folder of the submitter.
        division: Division.
        system: Name of the system.
        benchmark: The checker's name of the benchmark.
        row: Its row in the round.
        scenario: Name of the scenario.
        folder: Folder of the scenario.
        chosen: Round.
    """

    root: Path
    division: str
    system: str
    benchmark: str
    row: Benchmark
    scenario: str
    folder: Path
    chosen: Round

    @property
    def measured(self) -> Path:
        """Folder of the settings and weights, which lies apart until v5.1."""
        return self._beside("measurements")

    @property
    def audited(self) -> Path:
        """Folder of the audits, which lies apart until v5.1."""
        return self._beside("compliance")

    def _beside(self, name: str) -> Path:
        if self.chosen.layout == "results":
            return self.folder
        return self.root / name / self.system / self.benchmark / self.scenario


def check(folder: Path, chosen: Round) -> list[Fault]:
    """All faults of a submission.

    Args:
        folder: Folder that holds closed, open or network.
        chosen: Round.

    Raises:
        InputError: there is no such folder.
    """
    if not folder.is_dir():
        raise InputError("no such folder", where=str(folder))
    faults: list[Fault] = []
    for fault in _tree(folder, chosen):
        faults.append(fault)
        if len(faults) >= _MOST_FAULTS:
            break
    return faults


def _tree(folder: Path, chosen: Round) -> Iterator[Fault]:
    divisions = [d for d in tree.DIVISIONS if (folder / d).is_dir()]
    if not divisions:
        yield Fault(
            folder,
            "no division",
            " or ".join(tree.DIVISIONS),
            "give the folder that holds the divisions",
        )
        return
    yield from _simulated(folder)
    for division in divisions:
        for submitter in _folders(folder / division):
            yield from _submitter(submitter, division, chosen)
    yield from _sizes(folder)


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _simulated(folder: Path) -> Iterator[Fault]:
    """Nothing that was played in virtual time belongs into a submission."""
    for path in sorted(folder.rglob("simulated.jsonl")):
        yield Fault(path, "a simulated result", "measured ones", "take it out")


def _sizes(folder: Path) -> Iterator[Fault]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            yield Fault(path, "a link", "a file", "put the file itself here")
        elif path.is_file() and path.stat().st_size > tree.MOST_FILE_BYTES:
            size = f"{path.stat().st_size / 2**20:.0f} MiB"
            yield Fault(path, size, "at most 50 MiB", "shorten or drop the file")


def _submitter(root: Path, division: str, chosen: Round) -> Iterator[Fault]:
    yield from _layout(root, chosen)
    code = "src" if chosen.layout == "results" else "code"
    if not (root / code).is_dir():
        yield Fault(root / code, "missing", "the source code", "put the code there")
    if not (root / "systems").is_dir():
        yield Fault(root / "systems", "missing", "a JSON file for each system", "add it")
    if not (root / "results").is_dir():
        yield Fault(root / "results", "missing", "a folder for each system", "add it")
        return
    mapping = (yield from _mapping(root, chosen)) if division == "open" else {}
    for system in _folders(root / "results"):
        described = yield from _system(root, system.name, division)
        for benchmark in _folders(system):
            names = (mapping.get(benchmark.name, benchmark.name), benchmark)
            yield from _benchmark(root, division, system.name, described, *names, chosen)
    if division == "closed" and not _calibration(root):
        yield Fault(
            root,
            "no calibration document",
            "calibration.md or calibration_process.adoc in src or beside it",
            "describe how scales were found, or that nothing was quantised",
        )


def _mapping(root: Path, chosen: Round) -> Generator[Fault, None, dict[str, str]]:
    """Faults of the mapping of models in the open division; returns the benchmarks by model."""
    path = root / tree.MAPPING
    if not path.exists():
        return {}
    told = read_json(path)
    if isinstance(told, Fault):
        yield told
        return {}
    found: dict[str, str] = {}
    for model, benchmark in told.items():
        if isinstance(benchmark, str) and benchmark in chosen.benchmarks:
            found[model] = benchmark
        else:
            names = ", ".join(chosen.benchmarks)
            yield Fault(path, f"{model} is mapped to {str(benchmark)[:60]}", names, "choose one")
    return found


def _layout(root: Path, chosen: Round) -> Iterator[Fault]:
    """A tree of the other layout is recognised, and said once."""
    old = [name for name in tree.OLD_FOLDERS if (root / name).is_dir()]
    if chosen.layout == "results" and old:
        yield Fault(
            root / old[0],
            f"the layout of v5.1 and before ({', '.join(old)} apart)",
            "src, systems, results",
            "lydite mlperf check --round v5.1; lydite mlperf submission writes this round's layout",
        )
    if chosen.layout == "apart" and not (root / "measurements").is_dir():
        yield Fault(
            root,
            "no folder of measurements, as since v6.0",
            "code, systems, results, measurements, compliance",
            "lydite mlperf check with the round of this tree",
        )


def _calibration(root: Path) -> bool:
    return any("calibration" in p.name.lower() for p in root.rglob("*calibration*"))


def read_json(path: Path) -> dict[str, Any] | Fault:
    """A table from a JSON file, or what is wrong with it."""
    if not path.is_file():
        return Fault(path, "missing", "a JSON file", "add it")
    if path.stat().st_size > _MOST_JSON_BYTES:
        return Fault(path, f"{path.stat().st_size:,} bytes", "at most 1 MiB", "shorten it")
    try:
        found = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        return Fault(path, f"no JSON ({str(error)[:80]})", "a JSON object", "mend it")
    if not isinstance(found, dict):
        return Fault(path, f"a {type(found).__name__}", "a JSON object", "mend it")
    return found


def _system(root: Path, name: str, division: str) -> Iterator[Fault]:
    """Faults of a system's description; returns its type."""
    path = root / "systems" / f"{name}.json"
    found = read_json(path)
    if isinstance(found, Fault):
        yield found
        return ""
    for field in tree.SYSTEM_FIELDS:
        if field not in found:
            yield Fault(path, f"no field {field}", "all 35 fields", "add it")
        elif field not in tree.MAY_BE_EMPTY and not str(found[field]).strip():
            yield Fault(
                path, f"{field} is empty", "a value", 'fill it in; "N/A" where none applies'
            )
    for field in tree.NUMBERS:
        text = str(found.get(field, "0")).strip()
        if text and not _is_number(text):
            yield Fault(path, f"{field} is '{text[:40]}'", "a number", "give a number")
    yield from _named(path, found, "submitter", root.name)
    yield from _named(path, found, "division", division)
    type_ = str(found.get("system_type", "")).replace(" ", "")
    if type_ and type_ not in tree.SYSTEM_TYPES:
        yield Fault(
            path, f"system_type is '{type_[:40]}'", "datacenter, edge or both", "choose one of them"
        )
    status = str(found.get("status", "")).lower()
    if status and status.split()[0] not in tree.STATUSES:
        yield Fault(path, f"status is '{status[:40]}'", ", ".join(tree.STATUSES), "choose one")
    network = str(found.get("is_network", "false")).lower() == "true"
    if network != (division == "network") and division != "open":
        yield Fault(
            path, f"is_network is {network}", f"{division == 'network'} in {division}", "mend it"
        )
    return type_


def _named(path: Path, found: dict[str, Any], field: str, wanted: str) -> Iterator[Fault]:
    value = str(found.get(field, ""))
    if value and value.lower() != wanted.lower():
        yield Fault(path, f"{field} is '{value[:60]}'", f"'{wanted}', as the folder", "mend one")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _benchmark(
    root: Path,
    division: str,
    system: str,
    type_: str,
    name: str,
    folder: Path,
    chosen: Round,
) -> Iterator[Fault]:
    """Faults of one benchmark, of whose name the folder's may be a model of it."""
    row = chosen.benchmarks.get(name)
    if row is None:
        yield _unknown(root, division, folder, chosen)
        return
    present = {p.name: p for p in _folders(folder)}
    known = (*SCENARIOS, "Interactive") if division == "open" else (*row.scenarios, "Interactive")
    yield from _scenarios(folder, row, type_, known, set(present), division)
    for scenario, path in present.items():
        if scenario in known:
            place = Place(root, division, system, folder.name, row, scenario, path, chosen)
            for rule in SCENARIO_RULES:
                yield from rule(place)


def _unknown(root: Path, division: str, folder: Path, chosen: Round) -> Fault:
    """A folder that is no benchmark of the round."""
    if division == "open":
        return Fault(
            root / tree.MAPPING,
            f"no benchmark for the model {folder.name}",
            f'{{"{folder.name}": one of {", ".join(chosen.benchmarks)}}}',
            f"lydite mlperf submission --map {folder.name}=BENCHMARK",
        )
    try:
        hint = f"name the folder {chosen.named(folder.name)[0]}"
    except InputError as error:
        hint = error.hint or error.what
    return Fault(folder, "no benchmark of this round", chosen.name, hint)


def _scenarios(
    folder: Path,
    row: Benchmark,
    type_: str,
    known: Sequence[str],
    present: set[str],
    division: str,
) -> Iterator[Fault]:
    """Scenarios that are missing, and those that the benchmark does not have."""
    for scenario in sorted(present - {*known}):
        allowed = ", ".join(row.scenarios if division != "open" else known)
        yield Fault(folder / scenario, "no scenario of this benchmark", allowed, "drop it")
    if division == "open":
        return
    for kind, needed in (("datacenter", row.datacenter), ("edge", row.edge)):
        if kind not in type_:
            continue
        if not needed:
            yield Fault(folder, f"not a benchmark of {kind}", ", ".join(row.scenarios), "drop it")
        for scenario in needed:
            if scenario not in present:
                yield Fault(folder / scenario, "missing", f"required of {kind}", "run it")
    if "datacenter" in type_ and row.either and not present & set(row.either):
        yield Fault(folder, "missing", f"one of {', '.join(row.either)}", "run one")


def _files(place: Place) -> Iterator[Fault]:
    """Files of the settings and weights."""
    folder = place.measured
    for name in tree.SCENARIO_FILES:
        if not (folder / name).is_file():
            yield Fault(folder / name, "missing", "a file", "add it")
    path = folder / "measurements.json"
    if place.chosen.layout == "apart":  # SYSTEM_IMPLEMENTATION_SCENARIO.json
        path = next(iter(sorted(folder.glob("*.json"))), path)
    found = read_json(path)
    if isinstance(found, Fault):
        yield found
        return
    for field in tree.MEASUREMENT_FIELDS:
        if not str(found.get(field, "")).strip():
            yield Fault(path, f"no {field}", "a value", "fill it in")


def _performance(place: Place) -> Iterator[Fault]:
    yield from check_performance(
        place.folder / tree.PERFORMANCE, place.row, place.scenario, place.chosen, place.division
    )


def _accuracy(place: Place) -> Iterator[Fault]:
    yield from check_accuracy(place.folder / tree.ACCURACY, place.row, place.division)


def _audits(place: Place) -> Iterator[Fault]:
    if place.division == "open":
        return
    for test in place.row.audits:
        yield from check_audit(place.audited, test, place.row, place.scenario, place.chosen)


SCENARIO_RULES: tuple[Callable[[Place], Iterator[Fault]], ...] = (
    _files,
    _performance,
    _accuracy,
    _audits,
)
"""Rules of one scenario; a further rule is a further function."""
