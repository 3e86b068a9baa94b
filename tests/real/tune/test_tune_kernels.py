"""Compiled kernels against ONNX Runtime, workers with limits, and whole nets."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("tvm", reason="TVM is not installed: pip install 'lydite[tvm]'")

from lydite.backends import Settings, find_backend
from lydite.backends.lowered import lowered
from lydite.backends.tuned import (
    Config,
    default_config,
    machine,
    ranked,
    spaces_for,
    task_of,
    versions,
)
from lydite.backends.tuned.backend import TunedBackend, disagreement
from lydite.backends.tuned.choice import Choice, accepted
from lydite.backends.tuned.hybrid import Hybrid
from lydite.errors import BackendError
from lydite.graph import Builder, Graph, keys_of
from lydite.store import Database, Software, Trial
from lydite.tune import Sizes, Trier, task_of_operator, tune_task
from lydite.tune.rig import Outcome, Rig

OPERATORS = {
    "prime product": ("matmul", Sizes((37, 101), 53)),
    "tokens": ("matmul", Sizes((197, 64), 1000 // 8)),
    "one row": ("matmul", Sizes((1, 129), 77)),
    "3x3": ("conv2d", Sizes((1, 32, 13, 13), 48)),
    "3x3 of 7": ("conv2d", Sizes((1, 16, 7, 7), 16)),
    "1x1": ("conv2d", Sizes((1, 32, 11, 11), 48, 1)),
    "stride 2": ("conv2d", Sizes((1, 16, 15, 15), 32, 3, 2)),
    "stem": ("conv2d", Sizes((1, 3, 23, 23), 32, 7, 2)),
    "5x5": ("conv2d", Sizes((1, 16, 9, 9), 16, 5)),
    "depthwise": ("depthwise", Sizes((1, 32, 13, 13))),
    "depthwise 5x5, stride 2": ("depthwise", Sizes((1, 16, 17, 17), 0, 5, 2)),
    "softmax": ("softmax", Sizes((6, 77))),
    "softmax of whole vectors": ("softmax", Sizes((3, 64))),
    "layer norm": ("layernorm", Sizes((5, 83))),
    "gelu": ("gelu", Sizes((3, 41))),
}


def a_few(task, here) -> list[Config]:
    """Of every space: the formula's first, two at random and the one with the largest tiles."""
    chosen: list[Config] = []
    random = np.random.default_rng(1)
    for space in spaces_for(task, here):
        configs = space.configs(task, here)
        seconds = ranked(task, here, configs)
        numbers = {
            int(np.argmin(seconds)),
            len(configs) - 1,
            *random.integers(len(configs), size=2),
        }
        chosen += [configs[number] for number in numbers]
    return chosen


@pytest.mark.parametrize("name", OPERATORS)
def test_kernels_agree_with_onnx_runtime(name):
    here = machine()
    task = task_of_operator(*OPERATORS[name])
    rig = Rig(task.key, here)
    for config in a_few(task, here):
        outcome = rig.attempt(config)
        assert outcome.status == "ok", f"{config}: {outcome.error}"
    rig.close()


def a_net() -> Graph:
    g = Builder("net")
    x = g.relu(g.conv(g.input("image", (1, 3, 30, 30)), 32, 3, stride=2, pad=1))
    y = g.relu(g.conv(x, 32, 3, pad=1))
    y = g.conv(y, 32, 3, pad=1, group=32)
    x = g.relu(g.conv(y, 32, 1) + x)
    return g.build(g.softmax(g.linear(g.flatten(g.global_average_pool(x)), 40)))


@pytest.mark.parametrize("some", [slice(None), slice(None, None, 2), slice(1, None, 2)])
def test_a_net_with_operators_tuned_agrees(some):
    """All of them, and every other one, so that segments begin and end everywhere."""
    graph, here, settings = a_net(), machine(), Settings()
    keys = keys_of(lowered(find_backend("onnxruntime"), graph, settings)).values()
    tasks = [task for key in keys if (task := task_of(key)) is not None][some]
    choices = {t.key.digest: Choice(default_config(t, here), 1.0) for t in tasks}
    tuned = TunedBackend().prepare_with(graph, settings, choices)
    plain = find_backend("onnxruntime").prepare(graph, settings)
    assert isinstance(tuned, Hybrid)
    assert tuned.tuned.total() == len(tasks)
    assert disagreement(tuned, plain, graph, 3) < 1e-4
    feeds = {"image": np.ones((1, 3, 30, 30), np.float32)}
    for prepared in (tuned, plain):
        prepared.bind(feeds)
        prepared.run()
    for name, wanted in plain.outputs().items():
        np.testing.assert_allclose(tuned.outputs()[name], wanted, atol=1e-5)
    with pytest.raises(BackendError, match="not an input"):
        tuned.bind({"x": feeds["image"]})
    tuned.close()
    plain.close()


def test_the_backend_without_accepted_schedules_is_onnx_runtime(tmp_path, monkeypatch):
    monkeypatch.setenv("LYDITE_DB", str(tmp_path / "none.db"))
    backend = find_backend("tuned")
    assert backend.capabilities().available
    prepared = backend.prepare(a_net(), Settings())
    prepared.run()
    assert not isinstance(prepared, Hybrid)
    prepared.close()
    with pytest.raises(BackendError, match="2 threads"):
        backend.prepare(a_net(), Settings(threads=2))


def test_the_newest_paired_run_decides():
    here = machine()
    task = task_of_operator("matmul", Sizes((8, 32), 64))
    config = default_config(task, here)
    fields = (task.key, "cpu-a", Software("tvm", versions()), here.target, config.space)

    def paired(high: float, when: str) -> Trial:
        ratio = {"ratio_low": high - 0.1, "ratio_high": high, "reference_s": 2e-4}
        moment = f"2026-01-0{when}T00:00:00Z"
        words = {"role": "paired", "seconds": 1e-4, "measured_at": moment}
        return Trial(*fields, config.factors, **words, **ratio)

    with Database.in_memory() as database:
        database.load([paired(0.8, "1")])
        assert accepted(database, "cpu-a", here)[task.key.digest].config == config
        assert accepted(database, "cpu-b", here) == {}
        database.load([paired(1.1, "2")])
        assert accepted(database, "cpu-a", here) == {}


def test_trials_are_rows_and_a_second_run_resumes():
    task, here = task_of_operator("matmul", Sizes((16, 64), 64)), machine()
    with Database.in_memory() as database, Trier(here, "cpu-a") as trier:
        first = tune_task(task, trier, database, tuner="random", trials=3)
        assert (first.trials, first.known) == (3, 0)
        assert len(database.trials(role="trial")) == 3
        assert {row.target for row in database.trials()} == {here.target}
        again = tune_task(task, trier, database, tuner="random", trials=5)
        assert (again.trials, again.known) == (2, 3)
        assert len(database.trials(role="paired")) == 2
        assert list(database.query()) == []


def test_a_hang_and_a_crash_are_outcomes(monkeypatch, tmp_path):
    """A worker whose compiler sleeps or dies; the next trial works again."""
    module = tmp_path / "odd_worker.py"
    module.write_text(
        "import json, os, time\n"
        "from lydite.measure.worker import serve_lines\n"
        "def answer(line, tell):\n"
        "    rows = json.loads(line)['factors'].get('rows')\n"
        "    tell({'at': 'compile'})\n"
        "    if rows == 1: time.sleep(60)\n"
        "    if rows == 2: os._exit(3)\n"
        "    return {'status': 'ok', 'seconds': 1e-3}\n"
        "if __name__ == '__main__': serve_lines(answer)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    task, here = task_of_operator("matmul", Sizes((16, 64), 64)), machine()
    factors = default_config(task, here).factors
    from lydite.measure.client import Worker

    with Trier(here, "cpu-a") as trier:
        trier._worker = Worker(timeout_s=1.0, module="odd_worker")
        statuses = []
        for rows in (1, 2, 4):
            config = Config("matmul", tuple({**factors, "rows": rows}.items()))
            outcome = trier.attempt(task, config)
            statuses.append(outcome.status)
            json.dumps(trier.row(task, config, outcome).error)
    assert statuses == ["timeout", "crash", "ok"]


def test_a_wrong_result_is_refused(monkeypatch):
    here = machine()
    task = task_of_operator("softmax", Sizes((4, 64)))
    rig = Rig(task.key, here)
    rig.expected = rig.expected + 1e-3
    outcome = rig.attempt(default_config(task, here))
    assert outcome.status == "wrong"
    assert "standard deviations" in outcome.error
    assert isinstance(outcome, Outcome)
    assert outcome.seconds is None
    rig.close()
