"""`mlperf submission`: the tree of a round from the folders of runs."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from lydite.api.mlperf.check import FaultDocument
from lydite.errors import InputError
from lydite.mlperf import tree
from lydite.mlperf.check import check as check_tree
from lydite.mlperf.check import read_json
from lydite.mlperf.fault import Fault
from lydite.mlperf.round import NEWEST, Round, find_round
from lydite.mlperf.submission import Submission, write
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session


class MlperfSubmissionDocument(TypedDict):
    """A submission that was written, and the faults that it still has."""

    folder: str
    round: str
    scenarios: list[str]
    faults: list[FaultDocument]


@dataclass(frozen=True, eq=False, repr=False)
class MlperfSubmissionResult(Result):
    """A submission that was written.

    Attributes:
        folder: Folder of the tree.
        round: Round.
        scenarios: Folders of the scenarios.
        faults: What `mlperf check` says about it.
    """

    verb = "mlperf-submission"

    folder: Path
    round: str
    scenarios: tuple[Path, ...]
    faults: tuple[Fault, ...]

    def document(self) -> MlperfSubmissionDocument:
        """Scenarios and faults."""
        return {
            "folder": str(self.folder),
            "round": self.round,
            "scenarios": [str(path) for path in self.scenarios],
            "faults": [
                {
                    "path": str(fault.path),
                    "found": fault.found,
                    "expected": fault.expected,
                    "next_step": fault.next_step,
                }
                for fault in self.faults
            ],
        }

    def summary(self) -> str:
        """Scenarios, then one line a fault."""
        lines = [f"{self.folder}: {len(self.scenarios)} scenarios, {len(self.faults)} faults"]
        lines += [f"  {path}" for path in self.scenarios]
        return "\n".join([*lines, *(f"  {fault}" for fault in self.faults)])

    def headline(self) -> str:
        """Number of scenarios and faults."""
        return f"{self.folder}: {len(self.scenarios)} scenarios, {len(self.faults)} faults"

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per fault."""
        return self.document()["faults"]


def submission(
    session: Session,
    runs: Path | str,
    out: Path | str,
    *,
    submitter: str = "submitter",
    division: str = "closed",
    system: Path | None = None,
    calibration: Path | None = None,
    map: str = "",
    round: str = NEWEST,
    force: bool = False,
) -> MlperfSubmissionResult:
    """Write a submission from runs, and check it.

    Args:
        session: Session.
        runs: Folder of runs, as `mlperf_run` wrote it with `out`.
        out: Folder to write.
        submitter: Name of the organisation.
        division: closed, open or network.
        system: JSON file that describes the system; None describes this machine as far as it is
            known.
        calibration: Document that says how scales were found.
        map: Benchmarks whose task models of one's own do, such as "my-net=resnet", separated by
            commas; the open division asks for it.
        round: Round of MLPerf Inference.
        force: Whether to write over an older tree.

    Raises:
        InputError: no runs, simulated ones, a system or mapping that cannot be read, or a tree that
            exists.
    """
    del session
    if division not in tree.DIVISIONS:
        raise InputError(f"unknown division '{division}'", allowed=", ".join(tree.DIVISIONS))
    chosen = find_round(round)
    fields = _system(system, submitter, division)
    text = "" if calibration is None else _text(calibration)
    measurements = {
        "input_data_types": "fp32",
        "retraining": "no",
        "starting_weights_filename": "see src/README.md",
        "weight_data_types": "fp32",
        "weight_transformations": "none",
    }
    mapping = _mapping(map, division, chosen)
    made = Submission(submitter, division, fields, measurements, text, mapping=mapping)
    folders = write(made, Path(runs), Path(out), force)
    faults = tuple(check_tree(Path(out), chosen))
    return MlperfSubmissionResult(Path(out), chosen.name, tuple(folders), faults)


def _mapping(text: str, division: str, chosen: Round) -> dict[str, str]:
    """Benchmarks by model, from "my-net=resnet,other=bert-99".

    Raises:
        InputError: a pair of another form, an unknown benchmark, or another division than open.
    """
    found: dict[str, str] = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        model, equals, benchmark = (word.strip() for word in pair.partition("="))
        if not equals or not model or not benchmark:
            raise InputError(f"'{pair}' maps nothing", where="--map", allowed="MODEL=BENCHMARK")
        found[model] = chosen.named(benchmark)[0]
    if found and division != "open":
        raise InputError(
            f"the {division} division has no models of one's own",
            where="--map",
            allowed="--division open",
        )
    return found


def _text(path: Path) -> str:
    if not path.is_file():
        raise InputError("no such file", where=str(path))
    return path.read_text("utf-8", errors="replace")


def _system(path: Path | None, submitter: str, division: str) -> dict[str, Any]:
    if path is not None:
        found = read_json(path)
        if isinstance(found, Fault):
            raise InputError(found.found, where=str(path), allowed=found.expected)
        return found
    import psutil

    from lydite.hardware import find_device

    device = find_device("cpu")
    here: dict[str, Any] = dict.fromkeys(tree.SYSTEM_FIELDS, "N/A")
    return here | {
        "division": division,
        "submitter": submitter,
        "status": "available",
        "system_type": "edge",
        "system_type_detail": "N/A",
        "system_name": device.name,
        "number_of_nodes": "1",
        "host_processors_per_node": "1",
        "host_processor_model_name": device.title,
        "host_processor_core_count": str(psutil.cpu_count(logical=False) or 1),
        "host_memory_capacity": f"{psutil.virtual_memory().total / 2**30:.0f} GB",
        "accelerators_per_node": "0",
        "operating_system": platform.platform(),
        "framework": json.dumps(_framework()),
    }


def _framework() -> dict[str, str]:
    from lydite.backends import find_backend

    return dict(find_backend("onnxruntime").capabilities().versions)
