"""The page of a step in a real browser: it draws, complains of nothing and asks nobody."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import pytest

from lydite.cluster import filled, simulate_step
from lydite.estimate.roofline import Roofline
from lydite.hardware.cluster import read_cluster
from lydite.models import build_model
from lydite.report.step import write_step_page
from lydite.report.step_plots import bars_of
from lydite.units import format_percent, format_seconds

_KNOWN = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, _KNOWN)), "")
LISTEN = """<script>
window.complaints = [];
addEventListener("error", e => complaints.push(String(e.message || e.target.src)), true);
addEventListener("unhandledrejection", e => complaints.push(String(e.reason)));
for (const kind of ["error", "warn"]) console[kind] = (...said) => complaints.push(said.join(" "));
</script>"""
TELL = """<script>addEventListener("load", () => setTimeout(() => {
  const told = document.createElement("pre");
  told.id = "told";
  told.textContent = JSON.stringify({
    complaints, text: document.body.innerText,
    asked: performance.getEntriesByType("resource").map(e => e.name),
    bars: [...document.querySelectorAll(".js-plotly-plot")].map(
      plot => plot.querySelectorAll(".barlayer .point").length),
    lines: document.querySelectorAll(".scatterlayer .js-line").length,
    legend: [...document.querySelectorAll(".legendtext")].map(e => e.textContent),
  });
  document.body.append(told);
}, 500));</script>"""


@pytest.mark.skipif(not BROWSER, reason="no Chromium on this machine")
def test_the_page_in_a_browser(tmp_path):
    cluster = read_cluster("dgx-a100", 4)
    plan = filled(4, pp=2, tp=2, batch=4)
    graph = build_model("gpt2", phase="forward", sequence=64)
    result = simulate_step(graph, cluster, plan, Roofline())
    path = tmp_path / "step.html"
    write_step_page(result, path)
    page = path.read_text().replace("<head>", "<head>" + LISTEN, 1)
    path.write_text(page.replace("</body></html>", TELL + "</body></html>"))

    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
               f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=20000",
               "--dump-dom", path.as_uri()]  # fmt: skip
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    told = re.search(r'<pre id="told">(.*?)</pre>', shown, re.DOTALL)
    assert told is not None, shown[-2000:]
    found = json.loads(html.unescape(told[1]))

    assert found["complaints"] == []
    assert found["asked"] == []
    bars = bars_of(result)
    assert found["bars"][0] == len(bars.names)
    assert found["lines"] == plan.pp + 1  # memory of each stage, and the capacity
    assert {"forward", "tensor", "pipeline", "bubble", "stage 1"} <= set(found["legend"])
    for fact in (
        format_seconds(result.seconds), format_percent(result.mfu), "modelled", "Critical path",
        "What is assumed", "stage 1 compute",
    ):  # fmt: skip
        assert fact in found["text"], fact
