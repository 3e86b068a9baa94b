"""A farm: machines that measure operators for others, through one shared PostgreSQL database.

`enqueue` adds jobs, `Queue` is a worker's only connection, and `work` takes jobs until it is told
to stop. How a job is measured is the caller's.
"""

from lydite.farm.jobs import Job, Progress, WorkerRow, drain, enqueue, progress, worker_rows
from lydite.farm.queue import ConnectionLost, DeviceTaken, Overtaken, Queue
from lydite.farm.worker import Changed, Stop, work

__all__ = [
    "Changed",
    "ConnectionLost",
    "DeviceTaken",
    "Job",
    "Overtaken",
    "Progress",
    "Queue",
    "Stop",
    "WorkerRow",
    "drain",
    "enqueue",
    "progress",
    "work",
    "worker_rows",
]
