"""Bad input to `turning-point`, `corun` and `place`: one line, exit code 2."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (["turning-point"], "a model or --sweep FILE is needed, and not both"),
        (["turning-point", "NET", "--vary", "thread"], "did you mean 'threads'?"),
        (["turning-point", "NET", "--vary", ","], "nothing to vary"),
        (["turning-point", "NET", "--thread-counts", "1,x"], "--thread-counts: '1,x'"),
        (["turning-point", "NET", "--thread-counts", "1"], "a single value cannot turn"),
        (["turning-point", "NET", "--thread-counts", "1,99"], "more than the 2 cores"),
        (["turning-point", "NET", "--gain", "0"], "--gain: a gain of 0"),
        (["turning-point", "--sweep", "none.csv"], "none.csv: cannot be read"),
        (["corun", "NET", "--workers", "1"], "--workers: 1 workers; allowed: 2 or more"),
        (["corun", "NET", "--workers", "4096"], "4096 workers need as many cores"),
        (["place", "lenet5", "--on", "h100"], "allowed: two devices or more"),
        (["place", "lenet5", "--on", "h100,h101"], "unknown device 'h101'"),
        (["place", "lenet5", "--on", "h100,h100"], "a device is named twice"),
        (["place", "lenet5", "alexnet", "--on", "h100,l4"], "add --game"),
        (["place", "lenet5", "--on", "h100,l4", "--game"], "name two models or more"),
        (["place", "lenet5", "--on", "h100,l4", "--bandwidth", "fast"], "not a quantity"),
        (["place", "lenet5", "--on", "h100,l4", "--bandwidth", "0"], "no bandwidth"),
    ],
)
def test_bad_input(refused, net, toy, command, line):
    assert line in refused(*[str(net) if word == "NET" else word for word in command])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("threads,time\n1,1\n", "has the header 'threads,time'"),
        ("", "has the header ''"),
        ("threads,seconds\n1,1\n2,-1\n", "sweep.csv:3: '2,-1'"),
        ("threads,seconds\n1,1\n2\n", "sweep.csv:3: '2'"),
        ("threads,seconds\n1,1\n1,2\n", "holds 1 values"),
    ],
)
def test_bad_sweeps(refused, tmp_path, text, line):
    path = tmp_path / "sweep.csv"
    path.write_text(text)
    assert line in refused("turning-point", "--sweep", path)
