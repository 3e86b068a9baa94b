"""What all tests share: nothing of the user's is read or written, and plug-ins are found."""

import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from lydite.engine import compiled

# A loaded machine is slow, which is no fault of a test: no deadline, and no check of the pace.
_AT_ANY_PACE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fixed", _AT_ANY_PACE, derandomize=True)
settings.register_profile("search", _AT_ANY_PACE, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # a suite started in the background ignores Ctrl-C, and its children would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)

PLUGINS = str(Path(__file__).parent / "plugins")
sys.path.insert(0, PLUGINS)


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "_announced", {compiled._ALL})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LYDITE_DB", str(tmp_path / "lydite.db"))
    monkeypatch.delenv("LYDITE_REPLAY", raising=False)
    paths = [PLUGINS, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(p for p in paths if p))


def pytest_terminal_summary(terminalreporter):
    """Say by name what could not run, with the number of tests, or files, that miss it."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", ())
        if isinstance(report.longrepr, tuple)
    )
    if reasons:
        terminalreporter.section("what could not run here")
        for reason, count in sorted(reasons.items()):
            terminalreporter.line(f"{count:>5}  {reason}")
