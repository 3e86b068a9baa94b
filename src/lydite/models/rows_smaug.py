"""SMAUG's models."""

from __future__ import annotations

from lydite.models.info import ModelInfo

ROWS: tuple[ModelInfo, ...] = ()
