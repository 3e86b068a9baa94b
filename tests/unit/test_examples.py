import runpy
from pathlib import Path

import pytest

from lydite.graph.operators import _REGISTERED, operators

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_example_runs_and_prints(path, capsys):
    registered = dict(_REGISTERED)
    try:
        runpy.run_path(str(path), run_name="__main__")
    finally:  # what an example adds is not there for other tests
        _REGISTERED.clear()
        _REGISTERED.update(registered)
        operators.cache_clear()
    assert capsys.readouterr().out.strip()
