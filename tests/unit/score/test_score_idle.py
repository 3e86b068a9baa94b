"""Who else uses the device: named, waited for, refused or written down."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest

from lydite.errors import InputError
from lydite.score import idle


@pytest.fixture
def card(monkeypatch):
    """A driver whose GPU runs this process and another one."""
    running = [
        SimpleNamespace(pid=os.getpid(), usedGpuMemory=1 << 30),
        SimpleNamespace(pid=2**22 + 1, usedGpuMemory=512 << 20),
    ]
    driver = SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetComputeRunningProcesses=lambda _card: running,
    )
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    return driver


def test_others_on_a_gpu_are_named_and_this_process_is_not(card):
    assert idle.others_on_accelerator() == ["a process (process 4194305, 512 MiB of the GPU)"]


def test_a_driver_that_fails_names_nobody(card):
    def fails(_card):
        raise RuntimeError

    card.nvmlDeviceGetComputeRunningProcesses = fails
    assert idle.others_on_accelerator() == []


def test_a_busy_device_is_refused_or_written_down(monkeypatch):
    monkeypatch.setattr(idle, "others_at_work", lambda: ["train (process 7, 90% of a core)"])
    with pytest.raises(InputError, match=r"busy: train \(process 7.*--if-busy warn"):
        idle.check_idle("refuse")
    with pytest.raises(InputError, match="busy"):
        idle.check_idle("wait", wait_s=0.0)
    assert idle.check_idle("warn") == ["train (process 7, 90% of a core)"]


def test_one_waits_until_the_other_is_done(monkeypatch):
    answers = iter([["train"], ["train"], []])
    monkeypatch.setattr(idle, "others_at_work", lambda: next(answers))
    assert idle.check_idle("wait", wait_s=60.0) == []


def test_others_at_work_are_not_this_process_nor_its_children():
    for text in idle.others_at_work(seconds=0.05, share=0.0):
        assert f"process {os.getpid()}," not in text


@pytest.mark.parametrize(
    ("cores", "threads", "busy_s", "own_s", "expected"),
    [
        (2, 2, 20.0, 20.0, 0.0),  # both cores, all ours
        (2, 2, 20.0, 15.0, 0.5),
        (2, 1, 20.0, 10.0, 0.0),  # others kept to the core that we leave
        (8, 6, 50.0, 25.0, 0.5),  # 2.5 cores of others on 2 that are free
        (2, 2, 9.0, 10.0, 0.0),  # clocks of different grain
    ],
)
def test_cores_that_others_took(monkeypatch, cores, threads, busy_s, own_s, expected):
    """Ten seconds in which all cores worked for `busy_s`, of that for this process `own_s`."""
    readings = iter([(5.0, 1.0, 100.0), (5.0 + busy_s, 1.0 + own_s, 110.0)])
    monkeypatch.setattr(idle.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(idle.Contention, "_seconds", staticmethod(lambda: next(readings)))
    assert idle.Contention(threads).cores() == pytest.approx(expected)


def test_the_machines_own_counters_hold_what_this_process_did():
    busy, own, wall = idle.Contention._seconds()
    sum(range(3_000_000))
    later = idle.Contention._seconds()
    assert later[1] > own
    assert later[2] > wall
    assert later[0] >= busy
