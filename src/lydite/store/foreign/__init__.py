"""Measurements that others publish, as rows of the database: one module per layout of files."""

from lydite.store.foreign.versions import version_order

__all__ = ["version_order"]
