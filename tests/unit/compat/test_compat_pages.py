"""The pages of docs/compat: every block runs, in order, and prints what it says."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from lydite.cli import main

ROOT = Path(__file__).parents[3]
ROOMS = sorted(path.parent.name for path in (ROOT / "src/lydite/compat").glob("*/__init__.py"))
BLOCK = re.compile(r"^```(python|sh|text)\n(.*?)^```$", re.M | re.S)


def test_there_are_rooms():
    assert {"aisim", "scalesim", "smaug"} <= set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_every_block_of_the_page_of_a_room_runs(room, tmp_path, monkeypatch, capsys):
    page = ROOT / "docs" / "compat" / f"{room}.md"
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
