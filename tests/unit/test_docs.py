"""What the documents say is so: sample output, links, commands and options."""

import re
import shlex
import sys
from importlib import import_module
from itertools import takewhile
from pathlib import Path

import pytest
import typer.main

from lydite.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands():
    """Every `lydite ...` line in a code block, with its page."""
    for page in PAGES:
        for block in re.findall(r"^```\n(.*?)^```", page.read_text(), re.M | re.S):
            for line in block.splitlines():
                text = line.removeprefix("$ ").split("#")[0].split(">")[0].strip()
                if text.startswith("lydite "):
                    yield pytest.param(text, id=f"{page.stem}: {text}")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("text", list(commands()))
def test_commands_and_options_exist(text):
    words = shlex.split(text)[1:]
    found = typer.main.get_command(app)
    while getattr(found, "commands", None):
        if found.invoke_without_command and (not words or words[0] not in found.commands):
            break  # a group that is a command too, such as `lydite score --on h100`
        default = getattr(found, "default_command", None)
        if default and words[0] not in found.commands:
            words = [default, *words]  # such as `lydite tune resnet18`
        assert words[0] in found.commands, text
        found = found.commands[words.pop(0)]
    if not found.context_settings.get(
        "allow_interspersed_args", True
    ):  # from the first word on, it is another program's line
        own = list(takewhile(lambda word: word.startswith("-") and word != "--", words))
        words = own or [word for word in words[:1] if word != "--"]
    known = {name for p in found.params for name in (*p.opts, *p.secondary_opts)}
    known |= {"--help", "-h"}
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= known


def test_the_readme_shows_what_inspect_prints(capsys, monkeypatch):
    from lydite.cli import main

    block = re.search(
        r"\$ lydite inspect mobilenetv2\n(.*?)```", (ROOT / "README.md").read_text(), re.S
    )
    assert block is not None
    monkeypatch.setattr(sys, "argv", ["lydite", "inspect", "mobilenetv2"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert capsys.readouterr().out.strip() == block[1].strip()


@pytest.mark.parametrize("page", ["README.md", "docs/guide/python.md"])
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S)
    exec(compile("\n".join(blocks), page, "exec"), {})
    assert "0.00" in capsys.readouterr().out


def test_the_page_of_figures_says_what_was_measured(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    figures = import_module("_figures")
    assert (ROOT / "docs" / "reference" / "figures.md").read_text() == figures.markdown()


def test_the_changelog_knows_this_version():
    from lydite import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_page_of_devices_is_the_catalog():
    from lydite.hardware import known_devices

    page = (ROOT / "docs/reference/devices.md").read_text()
    shown = [line for line in page.splitlines() if line.startswith("| `")]
    assert shown == [device_line(device) for _, device in sorted(known_devices().items())]


def device_line(device):
    """A device's row in docs/reference/devices.md."""
    half = device.peak_flops.get("bfloat16") or device.peak_flops.get("float16")
    last = max(device.caches, key=lambda cache: cache.level).size_bytes
    cells = [
        f"`{device.name}`",
        f"{half / 1e12:g}" if half else "",
        f"{device.peak_flops['float32'] / 1e12:g}",
        f"{device.memory_bytes / 1e9:g}",
        f"{device.memory_bandwidth / 1e9:g}",
        f"{device.units}",
        f"{device.clock_hz / 1e6:g}",
        f"{device.power_w:g}",
        f"{last / 1e6:.3g}",
        f"{device.process_m * 1e9:g}",
    ]
    return f"| {' | '.join(cells)} |"
