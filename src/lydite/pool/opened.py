"""The pool that a user asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lydite.pool.base import Pool
from lydite.pool.local import LocalPool


@contextmanager
def open_pool(ray: str | None = None, *, jobs: int | None = None) -> Iterator[Pool]:
    """A pool for a block: a Ray cluster, or processes of this machine.

    Args:
        ray: HOST:PORT of a Ray cluster; "auto" for that of RAY_ADDRESS, else of the Ray node on
            this machine; "local" for a private cluster on this machine; None for processes.
        jobs: Most processes of this machine; None for the number of cores, 1 for this process.

    Raises:
        InputError: the cluster cannot be reached, has no token, or runs other software.
        MissingExtra: Ray is not installed.
    """
    if ray is None:
        yield LocalPool(jobs)
        return
    from lydite.pool.ray import connected

    with connected(ray) as pool:
        yield pool
