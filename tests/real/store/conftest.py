"""The way to the contract that SQLite meets as well."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.register_assert_rewrite("store_contract")
sys.path.append(str(Path(__file__).parents[2] / "unit" / "store"))
