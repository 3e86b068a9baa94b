"""The event core: a million tasks on servers, and ring all-reduces as flows over links.

The tight loop is measured in pairs against a plain loop in C++ (`heap_loop.cpp`) that finds the
same times, where there is a compiler.

python benchmarks/engine.py
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from _figures import Figure, publish
from _heap_loop import compiled as compiled_loop
from _heap_loop import heap_loop

from lydite.engine import LinkNetwork, Servers, Tasks, Timeline, compiled, simulate

TASKS = 1_000_000
SERVERS = 64
REPEATS = 7
GPUS_A_NODE = 8
CHUNK_BYTES = 4_000_000.0


def random_graph(window: int) -> Tasks:
    """Two dependencies a task, each on one of the `window` tasks before it."""
    rng = np.random.default_rng(0)
    number = np.arange(1, TASKS)
    owner = np.repeat(number, 2)
    reach = np.minimum(owner, window)
    return Tasks.of(
        rng.integers(1, 1_000_000, TASKS),
        rng.integers(0, SERVERS, TASKS),
        dep_start=np.concatenate([[0], 2 * np.arange(TASKS)]),
        deps=(owner - 1 - (rng.random(owner.size) * reach).astype(np.int64)).astype(np.int32),
    )


def ring(gpus: int) -> Tasks:
    """A ring all-reduce: 2 (n - 1) steps of n sends, a receive behind each.

    In step s, GPU g sends what it received in step s - 1, over path g to its neighbour.
    """
    steps = 2 * (gpus - 1)
    send = np.arange(steps * gpus).reshape(steps, gpus)
    receive = send + steps * gpus
    before = np.roll(receive[:-1], 1, axis=1)
    tasks = 2 * steps * gpus
    return Tasks.of(
        np.zeros(tasks, np.int64),
        dep_start=np.concatenate(
            [np.zeros(gpus, int), np.arange(tasks - gpus + 1)],
        ),
        deps=np.concatenate([before.ravel(), send.ravel()]),
        path=np.concatenate([np.tile(np.arange(gpus), steps), np.full(steps * gpus, -1)]),
        bytes=np.repeat([CHUNK_BYTES, 0.0], steps * gpus),
    )


def own_links(gpus: int) -> LinkNetwork:
    """Each GPU has its own link to the next."""
    return LinkNetwork.of(
        np.full(gpus, 25e9), np.arange(gpus + 1), np.arange(gpus), latency_ps=500_000
    )


def shared_links(gpus: int) -> LinkNetwork:
    """Nodes of 8 GPUs: inside over the node's one switch, between nodes through one spine.

    Links differ in latency, so that the flows that share the spine and the switches come and go
    one by one, and each coming and going changes the rates of the others.
    """
    nodes = -(-gpus // GPUS_A_NODE)
    spine = 2 * gpus + nodes
    hops = [
        [g, *([2 * gpus + g // 8] if g // 8 == to // 8 else [spine]), gpus + to]
        for g, to in ((g, (g + 1) % gpus) for g in range(gpus))
    ]
    bandwidth = np.concatenate([np.full(2 * gpus, 25e9), np.full(nodes, 100e9), [50e9]])
    latency = 500_000 + np.random.default_rng(0).integers(0, 100_000, bandwidth.size)
    return LinkNetwork.of(
        bandwidth, np.arange(0, 3 * gpus + 1, 3), np.concatenate(hops), latency_ps=latency
    )


def one_bus(gpus: int) -> LinkNetwork:
    """All GPUs send over one bus of their own links: every change reaches every flow."""
    hops = [[g, gpus] for g in range(gpus)]
    latency = np.random.default_rng(0).integers(0, 500_000, gpus + 1)
    return LinkNetwork.of(
        np.append(np.full(gpus, 25e9), 100e9),
        np.arange(0, 2 * gpus + 1, 2),
        np.concatenate(hops),
        latency_ps=latency,
    )


def cpu_seconds(run: Callable[[], object], repeats: int = REPEATS) -> float:
    """The median CPU time of a run, after one that compiles."""
    run()
    took: list[float] = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        took.append(time.process_time() - start)
    return median(took)


def kernel_and_whole(
    name: str, run: Callable[[], object], repeats: int = REPEATS
) -> tuple[float, float]:
    """The median CPU time within a kernel, and that of the same runs as a whole."""
    module: Any = compiled.load(name)
    play = module.play
    took: list[float] = []

    def timed(*arguments: object) -> object:
        start = time.process_time()
        result = play(*arguments)
        took.append(time.process_time() - start)
        return result

    module.play = timed
    whole = cpu_seconds(run, repeats)
    module.play = play
    return median(took[1:]), whole


def bytes_a_task(run: Callable[[], object], tasks: int) -> float:
    """The most memory that a run held at once beyond its inputs."""
    tracemalloc.start()
    run()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / tasks


def against_cpp(tasks: Tasks, what: str, held: dict[str, object]) -> list[Figure]:
    """How much faster the kernel is than the loop in C++: the median of runs in turn."""
    loop = compiled_loop()
    if loop is None:
        print(f"{what}: not compared, no compiler of C++ is at hand")
        return []

    def run() -> Timeline:
        return simulate(tasks, Servers.of(SERVERS))

    ratios: list[float] = []
    start = np.empty(0)
    for _ in range(REPEATS):
        took, start = heap_loop(loop, tasks, SERVERS)
        kernel, _whole = kernel_and_whole("queueing", run, 1)
        ratios.append(took / kernel)
    assert np.array_equal(start, run().start_ps), "the loop in C++ finds other times"
    figure = Figure(f"{what}: against C++", median(ratios), "times", 1.5, "higher", held)
    return [figure]


def queueing() -> list[Figure]:
    servers = Servers.of(SERVERS)
    figures: list[Figure] = []
    for window, name in ((TASKS, "any before"), (1000, "the 1,000 before")):
        tasks = random_graph(window)
        held = {"tasks": TASKS, "servers": SERVERS, "dependencies": "2 a task, on " + name}

        def run(tasks: Tasks = tasks) -> object:
            return simulate(tasks, servers)

        kernel, whole = kernel_and_whole("queueing", run)
        what = f"1 M tasks, 64 servers, dependencies on {name}"
        figures += [
            Figure(f"{what}: kernel", TASKS / kernel, "tasks/s", 3e6, "higher", held),
            Figure(f"{what}: with building", TASKS / whole, "tasks/s", None, "higher", held),
            *against_cpp(tasks, what, held),
        ]
        if window == TASKS:
            memory = bytes_a_task(run, TASKS)
            figures.append(Figure("memory beyond the inputs", memory, "B/task", 100, "lower", held))
    return figures


def rings() -> list[Figure]:
    figures: list[Figure] = []
    kinds: dict[str, tuple[Callable[[int], LinkNetwork], dict[int, float]]] = {
        "own links": (own_links, {32: 20.0, 256: 3000.0, 1024: 3000.0}),
        "shared switches": (shared_links, {32: 20.0, 256: 3000.0}),
        "one bus": (one_bus, {32: 20.0, 256: 500.0}),
    }
    for gpus in (32, 256, 1024):
        tasks = ring(gpus)
        for name, (made, goals) in kinds.items():
            if gpus not in goals:
                continue
            network = made(gpus)

            def run(network: LinkNetwork = network, tasks: Tasks = tasks) -> object:
                return simulate(tasks, Servers.of(0), network)

            held = {"tasks": len(tasks), "links": len(network)}
            took = cpu_seconds(run, 3) * 1e3
            what = f"ring all-reduce, {gpus} GPUs, {name}"
            figures.append(Figure(what, took, "ms", goals[gpus], "lower", held))
            if gpus == 256 and name == "one bus":
                memory = bytes_a_task(run, len(tasks))
                figures.append(
                    Figure("memory beyond the inputs, flows", memory, "B/task", 100, "lower", held)
                )
    return figures


def main() -> int:
    publish("engine", [*queueing(), *rings()])
    return 0


if __name__ == "__main__":
    sys.exit(main())
