"""Trees of MLPerf Endpoints, which `endpoints-submission-cli` checks where it is installed.

Layout: mlcommons/endpoints_policies, section 8.1; ORG/ID/results/SYSTEM/MODEL/r<CONCURRENCY>.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lydite.errors import InputError
from lydite.mlperf.fault import Fault

PACKAGE = "endpoints-submission-cli"
_MODULE = "endpoints_submission_cli"
_TIMEOUT_S = 600
_POINT = re.compile(r"r\d+")


def is_endpoints(folder: Path) -> bool:
    """Whether a folder holds points of Endpoints, up to two folders down."""
    found = (
        path
        for above in ("", "*/", "*/*/")
        for path in folder.glob(f"{above}results/*/*/r*/point.yaml")
    )
    return any(_POINT.fullmatch(path.parent.name) for path in found)


def check_endpoints(folder: Path) -> list[Fault]:
    """Faults that `endpoints-submission-cli check-submission` names, with their rules.

    Raises:
        InputError: it is not installed, or gives no report.
    """
    if find_spec(_MODULE) is None:
        raise InputError(
            "is a tree of MLPerf Endpoints, which its own checker judges",
            where=str(folder),
            hint=f"pip install {PACKAGE}",
        )
    command = [sys.executable, "-m", _MODULE, "check-submission", str(folder), "--json"]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"{PACKAGE} gave no answer within {_TIMEOUT_S} s") from None
    try:
        rows = json.loads(done.stdout)["results"]
        return [_fault(row, folder) for row in rows if not row["passed"]]
    except (ValueError, KeyError, TypeError) as error:
        last = (done.stderr.strip().splitlines() or [str(error)])[-1]
        raise InputError(f"{PACKAGE} gave no report: {last[:200]}", where=str(folder)) from None


def _fault(row: dict[str, Any], folder: Path) -> Fault:
    return Fault(
        Path(row["path"] or folder),
        f"{row['message']} ({row['rule']}, {row['severity']})",
        f"{row['title']}, {row['spec_ref']}",
        row["fix"] or "see the rules of Endpoints",
    )
