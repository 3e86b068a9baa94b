"""Chip files, one per chip."""
