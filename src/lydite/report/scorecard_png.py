"""The picture of a scorecard, to share: device, score and a bar for each model."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lydite.errors import MissingExtra
from lydite.files import write_atomic

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

_WIDTH, _ROW, _TOP, _LEFT, _MARGIN = 1200, 40, 250, 300, 40
_INK, _PALE, _BLUE, _GREY = "#222222", "#666666", "#3366cc", "#bbbbbb"
_MOST_ROWS = 30


def write_picture(document: Mapping[str, Any], path: Path) -> Path:
    """Draw the picture as PNG, 1200 pixels wide.

    Raises:
        MissingExtra: Pillow is not installed.
        LyditeError: it cannot be written.
    """
    try:
        from PIL import Image, ImageDraw
    except ImportError:
        raise MissingExtra("pillow", "report") from None
    models = list(document["scores"].get("equal", {}).get("models", {}).items())[:_MOST_ROWS]
    image = Image.new("RGB", (_WIDTH, _TOP + _ROW * (len(models) + 1) + 90), "white")
    draw = ImageDraw.Draw(image)
    _heading(draw, document)
    longest = max([1000.0, *(row["latency"] for _, row in models)])
    for number, (name, row) in enumerate(models):
        _bar(draw, number, name, row["latency"], longest, _BLUE)
    _bar(draw, len(models), "baseline", 1000.0, longest, _GREY)
    baseline = document["baseline"]["title"] if document["baseline"] else "none"
    foot = f"1000 points: {baseline}; set '{document['set']['name']}'; not an MLPerf result"
    _text(draw, _MARGIN, image.height - 55, foot, 20, _PALE)
    data = io.BytesIO()
    image.save(data, "PNG", optimize=True)
    return write_atomic(path, data.getvalue())


def _heading(draw: ImageDraw, document: Mapping[str, Any]) -> None:
    environment = document["environment"]
    board = document["scores"].get("equal", {}).get("device", {})
    latency, energy = board.get("latency", {}), board.get("energy", {})
    _text(draw, _MARGIN, 30, str(environment["device"])[:60], 40, _INK)
    said = "no score" if latency.get("score") is None else f"{latency['score']:,.0f}"
    _text(draw, _MARGIN, 85, said, 80, _BLUE)
    lines = []
    if latency.get("low") is not None:
        lines.append(f"{latency['low']:,.0f} to {latency['high']:,.0f} in a repeat")
    if document["kind"] != "measured":
        lines.append("ESTIMATED, not measured")
    if latency.get("is_partial"):
        lines.append(f"PARTIAL: {len(latency['missing'])} models are missing")
    spent = energy.get("score")
    lines.append("energy: no sensor" if spent is None else f"energy score {spent:,.0f}")
    for number, line in enumerate(lines):
        _text(draw, 480, 92 + 28 * number, line, 22, _PALE)
    details = f"{environment.get('backend', '')}, {environment['utc'][:10]}"
    _text(
        draw, _MARGIN, 190, f"latency score, {details}, Lydite {environment['lydite']}", 22, _PALE
    )


def _bar(
    draw: ImageDraw, number: int, name: str, value: float, longest: float, colour: str
) -> None:
    y = _TOP + _ROW * number
    _text(draw, _MARGIN, y + 4, name[:24], 22, _INK)
    width = (_WIDTH - _LEFT - 170) * value / longest
    draw.rectangle((_LEFT, y + 4, _LEFT + width, y + _ROW - 8), fill=colour)
    _text(draw, _LEFT + width + 10, y + 4, f"{value:,.0f}", 22, _INK)


def _text(draw: ImageDraw, x: float, y: float, text: str, size: int, colour: str) -> None:
    from PIL import ImageFont

    draw.text((x, y), text, fill=colour, font=ImageFont.load_default(size))
