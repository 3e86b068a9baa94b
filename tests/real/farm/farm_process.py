"""A worker of a farm in a process of its own, which measures nothing but takes its time.

python farm_process.py URL HOST DEVICE LEASE_S JOB_S [HOURS_OFF]
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import numpy as np

from lydite.farm import ConnectionLost, DeviceTaken, Job, Queue, Stop, work
from lydite.store import Conditions, Database, Measurement, Software
from lydite.store.records import parse_key

ROWS = 5
VERSIONS = {"fake": "1", "python": "3"}


def rows_of(job: Job, host: str) -> list[Measurement]:
    """Five rows, unlike those of every other try."""
    return [
        Measurement(
            parse_key(job.operator),
            job.device,
            Software("fake", VERSIONS),
            Conditions(),
            np.array([1e-3 * (row + 1)]),
            environment={"host": host, "attempt": job.attempt, "row": row},
            run=job.run,
        )
        for row in range(ROWS)
    ]


def main() -> None:
    url, host, device, lease_s, job_s, *off = sys.argv[1:]
    if off:
        right = time.time
        time.time = lambda: right() + 3600 * float(off[0])
    subprocess.Popen(["sleep", "60"])  # what else runs on a host
    stop = Stop()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())

    def measure(job: Job) -> list[Measurement]:
        print("start", job.key, job.attempt, flush=True)
        time.sleep(float(job_s))
        return rows_of(job, host)

    with Database.open(url) as database:
        while not stop:
            try:
                with Queue(
                    database,
                    host=host,
                    devices=[device],
                    backend="fake",
                    versions=VERSIONS,
                    lease_s=float(lease_s),
                ) as queue:
                    done = work(queue, measure, stop=stop, poll_s=0.05, say=print)
                    print("done", done, flush=True)
                    return
            except ConnectionLost:
                print("lost", flush=True)
            except DeviceTaken:
                time.sleep(0.05)


if __name__ == "__main__":
    main()
