"""Work on a Ray cluster of two nodes: the results of one process, whatever is killed."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import lydite
from lydite.chip.sweep import parse_vary, sweep
from lydite.errors import InputError
from lydite.hardware.chip import read_chip
from lydite.models import build_model
from lydite.pool import HERE, open_pool
from lydite.pool import ray as pool_ray

pytest.importorskip("ray", reason="ray is not installed: pip install 'lydite[ray]'")

VARY = [
    "pes=4,8,12,16,24",
    "spad=16KiB,24KiB,32KiB,48KiB,64KiB",
    "accelerators=1,2,3,4,5",
    "cores=1,2",
    "dma-channels=1,2",
]
"""500 designs."""
SETTINGS = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_initial_delay_ms": "500",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one CPU each; the drivers join the first."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        with open_pool("local") as private:  # Ray reads the settings only once
            assert private.ordered(round, 2.5, [0]) == [2]
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 10**8}
        made = Cluster(initialize_head=True, head_node_args=head)
        made.add_node(num_cpus=1, object_store_memory=10**8)
        made.wait_for_nodes()
        yield made
        made.shutdown()


@pytest.fixture(scope="module")
def rows():
    """The designs, simulated in this process."""
    graph, chip = build_model("lenet5"), read_chip("smv")
    return sweep(graph, chip, parse_vary(VARY, chip), pool=HERE)


def swept(address: str, kept: Path, progress=lambda *_: None) -> list:
    graph, chip = build_model("lenet5"), read_chip("smv")
    with open_pool(address) as pool:
        varied = parse_vary(VARY, chip)
        settings = {"threads": 1, "soc": True, "tiling": "usual"}  # as the command's
        return sweep(
            graph, chip, varied, settings=settings, kept=kept, pool=pool, progress=progress
        )


def assert_each_once(kept: Path, rows: list) -> None:
    """The file holds every design, and none twice."""
    lines = [json.loads(line) for line in kept.read_text().splitlines()]
    for line in lines:
        del line["of"]
    assert sorted(map(json.dumps, lines)) == sorted(map(json.dumps, rows))


def workers(node) -> list[psutil.Process]:
    """Processes of a node that have computed."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    names = "ray::_chunk", "ray::IDLE"
    return [p for p in raylet.children() if p.cmdline() and p.cmdline()[0].startswith(names)]


def test_a_killed_worker_and_a_killed_node_lose_and_double_nothing(cluster, rows, tmp_path):
    killed = []

    def progress(number: int, total: int, _: str) -> None:
        if number >= 100 and not killed:
            for worker in workers(cluster.head_node):
                worker.send_signal(signal.SIGKILL)
                killed.append(worker.pid)
        if number >= 250 and cluster.worker_nodes:
            (node,) = cluster.worker_nodes
            cluster.remove_node(node, allow_graceful=False)
            killed.append(node.node_id)

    try:
        assert swept(cluster.address, tmp_path / "sweep.jsonl", progress) == rows
    finally:
        if not cluster.worker_nodes:
            cluster.add_node(num_cpus=1, object_store_memory=10**8)
            cluster.wait_for_nodes()
    assert len(killed) >= 2
    assert_each_once(tmp_path / "sweep.jsonl", rows)


def test_a_killed_driver_goes_on_where_it_was(cluster, rows, tmp_path):
    kept = tmp_path / "sweep.jsonl"
    vary = itertools.chain.from_iterable(("--vary", each) for each in VARY)
    command = [sys.executable, "-m", "lydite", "chip", "sweep", "lenet5", "--chip", "smv", *vary]
    command += ["--ray", cluster.address, "--out", str(tmp_path), "--quiet"]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while driver.poll() is None and (not kept.exists() or kept.read_text().count("\n") < 50):
        time.sleep(0.01)
    assert driver.poll() is None, "it ended before it could be killed"
    driver.kill()
    driver.wait()
    finished = kept.read_text().count("\n")
    kept.write_bytes(kept.read_bytes() + b'{"of": "cut sh')
    started = []
    again = swept(cluster.address, kept, lambda number, *_: started.append(number))
    assert again == rows
    assert started[0] == finished + 1
    kept.write_text("\n".join(line for line in kept.read_text().splitlines() if line[-1] == "}"))
    assert_each_once(kept, rows)


def test_searches_comparisons_and_other_verbs_answer_as_one_process_does(cluster, tmp_path):
    trace = tmp_path / "trace.csv"
    times = (f"2024-05-10 00:00:{n:02d}.000000,{100 + n},{20 + n % 7}" for n in range(40))
    trace.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *times]) + "\n")
    session = lydite.Session()
    plans = {"on": "dgx-h100 x 2", "batch": 64}
    load = {"on": "h100", "trace": trace}
    compared = {**load, "compare": "tp1x2,tp2"}
    found = {**load, "find": "config", "gpus": 2, "slo": "ttft.p99=600ms"}
    here = [
        session.search("gpt2", **plans),
        session.serve("gpt2", **compared),
        session.serve("gpt2", **found),
    ]
    there = [
        session.search("gpt2", ray=cluster.address, **plans),
        session.serve("gpt2", ray=cluster.address, **compared),
        session.serve("gpt2", ray=cluster.address, **found),
    ]
    assert [each.to_dict() for each in there] == [each.to_dict() for each in here]


def test_other_software_is_refused(cluster, monkeypatch):
    import ray

    ours = pool_ray.software()
    monkeypatch.setattr(pool_ray, "software", lambda: {**ours, "lydite": "0.0.9 (source 0)"})
    with pytest.raises(InputError, match=r"node \S+ has lydite \S+ \(source \w+\), this process 0"):
        with open_pool(cluster.address):
            pass
    monkeypatch.setattr(ray, "__version__", "2.9.9")
    with pytest.raises(InputError, match=r"cluster runs other software.*Ray: 2\.9\.9"):
        with open_pool(cluster.address):
            pass
    assert not ray.is_initialized()


@pytest.mark.parametrize(
    ("token", "told"), [("ab" * 32, "has another token"), ("", "there is no token")]
)
def test_a_token_is_asked_for(cluster, tmp_path, token, told):
    command = [sys.executable, "-m", "lydite", "simulate", "gpt2", "--search", "--on"]
    command += ["dgx-h100", "--ray", cluster.address]
    environment = {**os.environ, "RAY_AUTH_TOKEN": token, "HOME": str(tmp_path)}
    answer = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert answer.returncode == 2
    assert told in answer.stderr
    assert "ray get-auth-token --generate" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_worker_of_other_software_answers_nothing():
    expected = {**pool_ray.software(), "lydite": "0.0.9 (source 0)"}
    refused = pool_ray._chunk(expected, "key", [], [])
    assert isinstance(refused, InputError)
    assert "this process 0.0.9 (source 0)" in str(refused)


def test_a_node_without_token_is_refused(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    with pytest.raises(InputError, match=r"node n1 runs whatever anybody sends it"):
        pool_ray._check_mode("n1", "disabled")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    pool_ray._check_mode("n1", "disabled")


def test_addresses_that_are_none(monkeypatch, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for address, told in {
        f"127.0.0.1:{port}": "nothing answers at 127.0.0.1",
        "ray://head:10001": "is not the address of a Ray cluster; allowed: HOST:PORT, auto, local",
        "head": "is not the address",
        ":6379": "is not the address",
        "127.0.0.1:99999": "nothing answers",
    }.items():
        with pytest.raises(InputError, match=told), open_pool(address):
            pass
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    with pytest.raises(InputError, match="RAY_ADDRESS is not set"), open_pool("auto"):
        pass
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    with pytest.raises(InputError, match="nothing answers"), open_pool("auto"):
        pass
