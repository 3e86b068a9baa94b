"""The reference data, where they are."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]


@pytest.fixture
def topologies() -> Path:
    """SMAUG's own topologies."""
    data = Path(os.environ.get("LYDITE_REFERENCE_DATA", ROOT.parent / "shared" / "data"))
    folder = data / "smaug" / "topologies"
    if not folder.is_dir():
        pytest.skip(f"no reference data in {folder}: set LYDITE_REFERENCE_DATA")
    return folder
