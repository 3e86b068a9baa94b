"""The site builds without a warning, and the notebook of the tutorial runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def test_the_tutorial_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((ROOT / "docs" / "tutorial" / "first-hour.ipynb").read_text())
    names: dict[str, object] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "first-hour", "exec"), names)
    told = capsys.readouterr().out
    assert "lydite/predict/1" in told
    assert 0.2 < float(str(names["share"])) < 5


def test_the_site_builds(tmp_path):
    pytest.importorskip("sphinx")
    pytest.importorskip("furo")
    build = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    done = subprocess.run(
        [*build, str(ROOT / "docs"), str(tmp_path / "site"), "-d", str(tmp_path / "trees")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for page in ("index", "tutorial/first-hour", "reference/api", "reference/commands/lydite-db"):
        text = (tmp_path / "site" / f"{page}.html").read_text()
        assert "</html>" in text
    assert (
        "Number of pipeline stages"
        in (tmp_path / "site" / "reference" / "commands" / "lydite-simulate.html").read_text()
    )
