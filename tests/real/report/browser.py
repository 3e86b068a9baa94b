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
TELL = """<script>addEventListener("load", () => {
  const phone = document.createElement("iframe");
  phone.style.cssText = "width: 390px; border: 0";
  const copy = document.documentElement.cloneNode(true);
  copy.querySelectorAll("script").forEach(script => script.remove());
  phone.srcdoc = copy.outerHTML;
  document.body.append(phone);
  phone.addEventListener("load", () => {
  const told = document.createElement("pre");
  told.id = "told";
  told.textContent = JSON.stringify({
    complaints, text: document.body.innerText,
    asked: performance.getEntriesByType("resource").map(e => e.name),
    bars: [...document.querySelectorAll(".plot")].map(
      plot => plot.querySelectorAll(".bars rect").length),
    lines: document.querySelectorAll("polyline").length,
    legend: [...document.querySelectorAll(".key li")].map(e => e.textContent),
    narrow_px: phone.contentDocument.documentElement.scrollWidth,
  });
  document.body.append(told);
});});</script>"""
PHONE_PX = 390


def shown(path: Path) -> dict[str, Any]:
    """What the page says of itself once it has drawn; see `TELL`."""
    page = path.read_text().replace("<head>", "<head>" + LISTEN, 1)
    heard = path.with_suffix(".heard.html")
    heard.write_text(page.replace("</body>", TELL + "</body>"))
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
