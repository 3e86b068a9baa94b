"""`export_run`: the pages of one run as a folder of files that needs no server."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from lydite.api import dashboard
from lydite.api.dashboard import Reader
from lydite.errors import InputError
from lydite.files import write_atomic
from lydite.web.pages import PAGES
from lydite.web.render import page_of, static_files

MOST_PAGES = 2000
EXPORTED = ("run", "measurements", "measurement")


class _FolderUrls:
    """File names of pages; those that are asked for are written in turn."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._names: dict[tuple[str, tuple[tuple[str, str], ...]], str] = {}
        self.waiting: deque[tuple[str, str, Mapping[str, str]]] = deque()
        self.left_out = 0

    def to(self, page: str, **given: object) -> str:
        """File of a page of this run; "" for other pages."""
        if page == "run_json":
            return "result.json"
        words = {name: str(value) for name, value in given.items() if value not in ("", None)}
        of_run = words.get("run" if page == "measurements" else "id") == self._run
        if page not in EXPORTED or not (of_run or page == "measurement"):
            return ""
        key = (page, tuple(sorted(words.items())))
        if key not in self._names:
            if len(self._names) >= MOST_PAGES:
                self.left_out += 1
                return ""
            name = f"{page}-{len(self._names)}.html" if self._names else "index.html"
            self._names[key] = name
            self.waiting.append((name, page, words))
        return self._names[key]

    def static(self, name: str) -> str:
        """File beside the pages."""
        return f"static/{name}"


def export_run(db: str | None, run: str, out: Path) -> tuple[int, int]:
    """Write the run, its result and its measurements as pages that link to one another.

    Args:
        db: File or postgresql:// URL; None for `$LYDITE_DB`, else the user's own.
        run: Id of the run, or the beginning of it.
        out: New or empty folder; `index.html` is the run.

    Returns:
        Number of pages written, and of links that lead nowhere because 2,000 pages were full.

    Raises:
        InputError: no run has this id, or the folder holds something.
        StoreError: the database cannot be read.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("is not an empty folder", where=str(out), hint="give another --out")
    reader = Reader(db)
    try:
        identity = dashboard.whole_id(reader, run)
        detail = dashboard.run(reader, identity)
        urls = _FolderUrls(identity)
        urls.to("run", id=identity)
        written = 0
        while urls.waiting:
            name, page, given = urls.waiting.popleft()
            write_atomic(out / name, page_of(PAGES[page](reader, urls, **given), urls))
            written += 1
    finally:
        reader.close()
    if detail.result is not None:
        write_atomic(out / "result.json", json.dumps(detail.result, indent=1))
    for item in static_files():
        write_atomic(out / "static" / item.name, item.read_bytes())
    return written, urls.left_out
