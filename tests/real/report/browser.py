"""A page in a real browser: what it shows, complains of and asks for."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

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


def shown(path: Path) -> dict[str, Any]:
    """What the page says of itself once it has drawn; see `TELL`."""
    page = path.read_text().replace("<head>", "<head>" + LISTEN, 1)
    heard = path.with_suffix(".heard.html")
    heard.write_text(page.replace("</body></html>", TELL + "</body></html>"))
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={path.parent / 'profile'}",
        "--virtual-time-budget=20000",
        "--dump-dom",
        heard.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    told = re.search(r'<pre id="told">(.*?)</pre>', done.stdout, re.DOTALL)
    assert told is not None, done.stdout[-2000:]
    return json.loads(html.unescape(told[1]))
