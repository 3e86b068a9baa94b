"""The table of models, gathered from the rows of each field."""

from __future__ import annotations

from lydite.models import rows_smaug, rows_text, rows_vision

MODELS = {row.name: row for field in (rows_vision, rows_text, rows_smaug) for row in field.ROWS}
