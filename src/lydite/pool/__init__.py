"""Independent calls of a function, spread over processes of this machine or over a Ray cluster."""

from lydite.pool.base import Pool
from lydite.pool.local import HERE, LocalPool
from lydite.pool.opened import open_pool

__all__ = ["HERE", "LocalPool", "Pool", "open_pool"]
