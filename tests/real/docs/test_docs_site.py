"""The site builds without a warning, and the notebook of the tutorial runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MEASURED = r"ly.load(\"mobilenetv2\", batch=1"


def test_the_tutorial_runs(tmp_path, monkeypatch, capsys):
    """It measures its model on smaller images here."""
    monkeypatch.chdir(tmp_path)
    notebook = (ROOT / "docs" / "tutorial" / "first-hour.ipynb").read_text()
    assert MEASURED in notebook
    notebook = json.loads(notebook.replace(MEASURED, f"{MEASURED}, image_size=64"))
    names: dict[str, object] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "first-hour", "exec"), names)
    told = capsys.readouterr().out
    assert "lydite/predict/1" in told
    assert 0.2 < float(str(names["share"])) < 5


def test_the_site_builds(tmp_path):
    """All pages in the plainest theme, then a few in the site's own, which takes twice as long."""
    pytest.importorskip("sphinx")
    pytest.importorskip("furo")
    site, docs = tmp_path / "site", ROOT / "docs"
    pages = ("index", "tutorial/first-hour", "reference/api", "reference/commands/lydite-db")
    build = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    build += ["-d", str(tmp_path / "trees")]
    for theme, chosen in (("basic", ()), ("furo", pages)):
        # pages of commands are written by the first build
        sources = [str(path) for page in chosen for path in docs.glob(f"{page}.*")]
        command = [*build, "-D", f"html_theme={theme}", docs, site, *sources]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    for page in pages:
        text = (site / f"{page}.html").read_text()
        assert "</html>" in text
        assert "furo.css" in text
    assert (
        "Number of pipeline stages"
        in (site / "reference" / "commands" / "lydite-simulate.html").read_text()
    )
