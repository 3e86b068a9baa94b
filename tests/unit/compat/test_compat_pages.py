"""The pages of docs/compat: every block runs, in order, and prints what it says."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from lydite.cli import main

PAGES = sorted((Path(__file__).parents[3] / "docs" / "compat").glob("*.md"))
BLOCK = re.compile(r"^```(python|sh|text)\n(.*?)^```$", re.M | re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_of_a_page_runs(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    printed, ran = "", 0
    for language, text in BLOCK.findall(page.read_text()):
        if language == "python":
            exec(compile(text, page.name, "exec"), names)
        elif language == "sh":
            printed = ""
            for line in text.replace("\\\n", " ").strip().splitlines():
                monkeypatch.setattr(sys, "argv", shlex.split(line))
                with pytest.raises(SystemExit) as ended:
                    main()
                told = capsys.readouterr()
                assert ended.value.code == 0, (line, told.err)
                printed += told.out
                ran += 1
        else:
            left = iter(printed.splitlines())
            for line in text.splitlines():
                found = any(line.split() == each.split()[: len(line.split())] for each in left)
                assert found, f"{page.name} promises, in this order: {line}"
    assert ran >= 3


def test_each_predecessor_that_has_a_folder_has_a_page():
    folder = Path(__file__).parents[3] / "src" / "lydite" / "compat"
    rooms = {path.parent.name for path in folder.glob("*/__init__.py")}
    assert {page.stem for page in PAGES} == rooms
