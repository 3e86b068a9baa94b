"""The kernels are compiled before any test, so that none is timed by the compiler."""

import pytest

from lydite.engine import Interference, Servers, Tasks, simulate


@pytest.fixture(autouse=True, scope="session")
def _compiled():
    one = Tasks.of([1], 0)
    simulate(one, Servers.of(1), notify=lambda line: None)
    simulate(one, Servers.of(1), None, Interference.of([[1.0]], 1), notify=lambda line: None)
