"""Every page in a real browser, narrow and wide: nothing overflows, nothing complains or leaks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from dashboard_rows import EVIL, fill, rows

from lydite.report import Slice, write_trace
from lydite.store import Database

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install 'lydite[dev]'"
)
pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install 'lydite[web]'")

CHROMIUM = os.environ.get("LYDITE_CHROMIUM") or shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip(
        "there is no chromium: apt-get install chromium, or set LYDITE_CHROMIUM",
        allow_module_level=True,
    )
WIDTHS = (390, 1280)
AXE_VERSION = "4.14.1"
RULES = ["wcag2a", "wcag2aa", "wcag21aa"]


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    return fill(str(tmp_path_factory.mktemp("web") / "filled.db"))


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("traces")
    slices = [
        Slice(f"row {n % 30}", f"slice {n}", 1e-6 * (n // 30), 0.8e-6, {"kind": f"kind {n % 11}"})
        for n in range(6000)
    ]
    write_trace(folder / "step.npz", slices, process="p")
    return folder


@pytest.fixture(scope="module")
def address(filled, traces):
    words = [sys.executable, "-m", "lydite", "ui", "--db", filled.path, "--port", "0"]
    words += ["--timelines", str(traces)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as ui:
        ending = threading.Timer(300, ui.kill)
        ending.start()
        try:
            yield ui.stdout.readline().strip()
        finally:
            ending.cancel()
            ui.kill()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        options = ["--no-sandbox", "--disable-gpu"]
        yield driver.chromium.launch(executable_path=CHROMIUM, args=options)


@pytest.fixture(scope="module")
def axe():
    """The script of axe-core, kept outside the repository; None where it cannot be had."""
    usual = Path(tempfile.gettempdir()) / "lydite-test-cache"
    home = Path(os.environ.get("LYDITE_TEST_CACHE", usual))
    script = home / f"axe-core-{AXE_VERSION}" / "package" / "axe.min.js"
    if not script.exists() and shutil.which("npm"):
        folder = script.parents[1]
        folder.mkdir(parents=True, exist_ok=True)
        words = ["npm", "pack", "--silent", f"axe-core@{AXE_VERSION}"]
        try:
            subprocess.run(words, cwd=folder, check=True, timeout=60, capture_output=True)
            packed = next(folder.glob("*.tgz"))
            subprocess.run(["tar", "xzf", packed.name], cwd=folder, check=True)
        except (subprocess.SubprocessError, StopIteration):
            return None
    return script.read_text() if script.exists() else None


class Visit:
    """A browser window that lets no request go elsewhere and keeps every complaint."""

    def __init__(self, browser, address, width, scheme="light"):
        self.base = address.partition("/?")[0]
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        self.elsewhere, self.complaints = [], []
        self.context.route("**/*", self._pass)
        self.page = self.context.new_page()
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type != "log" else 0)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(address)

    def _pass(self, route):
        if route.request.url.startswith(f"{self.base}/"):
            route.continue_()
        else:
            self.elsewhere.append(route.request.url)
            route.abort()

    def open(self, path):
        self.page.goto(f"{self.base}{path}")
        if self.page.locator("figure.chart").count():
            self.page.wait_for_selector("figure.chart[data-drawn]", timeout=60_000)


def paths(filled):
    from urllib.parse import urlencode

    def path(page, **given):
        return f"/{page}?{urlencode(given)}" if given else f"/{page}"

    chart = {"chart": "1", "x": "cost_usd", "y": "step_s", "front": "min-min", "log": "xy"}
    return [
        path("runs"),
        path("live"),
        path("coverage"),
        path("compare"),
        path("compare", a=filled.first, b=filled.second),
        path("roofline", device="nvidia-l4", chart="1"),
        path("run", id=filled.first),
        path("run", id=filled.document),
        path("run", id=filled.document, at="/designs", **chart),
        path("run", id=filled.declared),
        path("run", id=filled.declared, show="1", at="/sweeps/0", chart="1"),
        path("beside", command="another_verb"),
        path("run", id=filled.going_on),
        path("run", id=filled.evil),
        path("measurements", run=filled.first),
        path("measurement", id=filled.measured, chart="1"),
        path("measurement", id=filled.failed),
        path("timelines"),
        path("timeline", name="step.npz", chart="1"),
    ]


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_is_sound(browser, address, filled, axe, width):
    visit = Visit(browser, address, width, "light" if width == WIDTHS[0] else "dark")
    faults = {}
    for path in paths(filled):
        visit.open(path)
        root = "document.documentElement"
        wide = visit.page.evaluate(f"{root}.scrollWidth - {root}.clientWidth")
        if wide > 0:
            faults[f"{path} overflows"] = wide
        if axe:
            run = f"{axe};axe.run(document,{{runOnly:{RULES}}}).then(r=>r.violations)"
            found = visit.page.evaluate(run)
            if found:
                what = [(v["id"], v["nodes"][0]["html"][:160], v["help"]) for v in found]
                faults[f"{path} axe"] = what
    visit.context.close()
    assert faults == {}
    assert visit.complaints == []
    assert visit.elsewhere == []
    if axe is None:
        pytest.skip("all but contrast and roles was checked: axe-core cannot be had through npm")


def test_pages_that_are_missing(browser, address):
    visit = Visit(browser, address, 390)
    for path in ("/run?id=gone", "/nope", "/runs?status=x"):
        visit.page.goto(f"{visit.base}{path}")
        root = "document.documentElement"
        assert visit.page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")
    assert visit.elsewhere == []


def test_rows_appear_while_a_run_goes_on(browser, address, filled):
    visit = Visit(browser, address, 1280)
    visit.open(f"/run?id={filled.going_on}")
    body = visit.page.locator("tbody[aria-live]")
    before = body.locator("tr").count()
    with Database.open(filled.path) as database:
        database.add(rows(filled.going_on, "cpu", 2.0, 9, 5)[4:])
    body.locator("tr").nth(before + 4).wait_for(timeout=60_000)
    assert body.locator("tr").count() == before + 5
    with Database.open(filled.path) as database:
        database.finish_run(filled.going_on, "done", {"a": 1})
    visit.page.wait_for_selector("text=The run is done", timeout=60_000)
    assert visit.complaints == []


def test_a_point_tells_its_configuration(browser, address, filled):
    visit = Visit(browser, address, 1280)
    visit.open(f"/run?id={filled.document}&at=/designs&chart=1&x=cost_usd&y=step_s")
    box = visit.page.locator(".u-over").bounding_box()
    # cost falls and time grows from design to design, so that the middle one is in the middle
    middle = np.array([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])
    visit.page.mouse.move(*middle)
    visit.page.locator("output", has_text="design").wait_for(timeout=60_000)


def test_a_timeline_is_drawn_and_zooms(browser, address):
    visit = Visit(browser, address, 1280)
    visit.open("/timeline?name=step.npz&chart=1")
    figure = visit.page.locator("figure.timeline[data-drawn]")
    figure.wait_for(timeout=60_000)
    drawn = int(figure.get_attribute("data-drawn"))
    canvas = visit.page.locator("canvas")
    canvas.hover(position={"x": 20, "y": 30})
    visit.page.locator("output", has_text="slice").wait_for(timeout=60_000)
    canvas.focus()
    visit.page.keyboard.press("+")
    visit.page.locator(f"figure[data-drawn='{drawn + 1}']").wait_for(timeout=60_000)
    begin, end = re.search(r"begin=(\d+)&end=(\d+)", visit.page.url).groups()
    assert int(end) - int(begin) < 140e6  # of 200 us, in picoseconds
    assert visit.complaints == []


def test_the_keyboard_gets_everywhere(browser, address):
    visit = Visit(browser, address, 1280)
    visit.open("/runs")
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    visit.page.keyboard.press("Enter")
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.closest('main') !== null")


def test_an_exported_folder_opens_without_a_server(browser, filled, tmp_path):
    words = [sys.executable, "-m", "lydite", "ui", "export", "--db", filled.path, "--quiet"]
    words += ["--run", filled.document, "--out", str(tmp_path / "out")]
    subprocess.run(words, check=True, timeout=60)
    page = browser.new_page()
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((tmp_path / "out" / "index.html").as_uri())
    page.click("text=Chart of /designs")
    page.wait_for_selector("figure.chart[data-drawn]", timeout=60_000)
    assert complaints == []
    assert EVIL not in page.content()
