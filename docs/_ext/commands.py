"""A page for each command, from the options that the command line itself declares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer.main
from sphinx.application import Sphinx

from lydite.cli.app import app as command_line

FOLDER = "reference/commands"


def pages(command: Any, name: str) -> dict[str, str]:
    """Markdown by command, those of subcommands after the one that holds them."""
    found = {name: page(command, name)}
    for part, inner in sorted(getattr(command, "commands", {}).items()):
        found |= pages(inner, f"{name} {part}")
    return found


def page(command: Any, name: str) -> str:
    """One command: what it does, its arguments, its options."""
    lines = [f"# `{name}`", "", (command.help or "").strip(), ""]
    for kind, title in (("argument", "Arguments"), ("option", "Options")):
        rows = [row(p) for p in command.params if p.param_type_name == kind]
        if rows:
            lines += [f"## {title}", "", "| name | meaning |", "|---|---|", *rows, ""]
    inner = sorted(getattr(command, "commands", {}))
    lines += [f"- [`{name} {part}`]({slug(f'{name} {part}')}.md)" for part in inner]
    return "\n".join(lines) + "\n"


def row(parameter: Any) -> str:
    """A parameter as a row of a table."""
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    if parameter.param_type_name == "argument":
        names = f"`{parameter.metavar or parameter.name}`"
    text = (getattr(parameter, "help", None) or "").replace("|", "\\|").replace("\n", " ")
    return f"| {names} | {text} |"


def slug(name: str) -> str:
    """Name of a page."""
    return name.replace(" ", "-")


def write(folder: Path) -> None:
    """All pages and their index."""
    folder.mkdir(parents=True, exist_ok=True)
    found = pages(typer.main.get_command(command_line), "lydite")
    names = [slug(name) for name in found]
    for name, text in found.items():
        update(folder / f"{slug(name)}.md", text)
    toc = "\n".join(["# Commands", "", "```{toctree}", ":maxdepth: 1", "", *names, "```", ""])
    update(folder / "index.md", toc)
    for path in folder.glob("*.md"):
        if path.stem not in {*names, "index"}:
            path.unlink()


def update(path: Path, text: str) -> None:
    """Write a file whose text has changed, so that a second build does nothing."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Generate the pages before the sources are read."""
    app.connect("builder-inited", lambda sphinx: write(Path(sphinx.srcdir) / FOLDER))
    return {"parallel_read_safe": True}
