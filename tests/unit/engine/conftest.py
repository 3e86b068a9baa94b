"""The kernels are compiled before any test: machine code is what the tests of the engine try."""

import pytest

from lydite.engine import Interference, Servers, Tasks, simulate
from lydite.engine.kernels.jit import Kernel


@pytest.fixture(autouse=True, scope="session")
def _compiled():
    one = Tasks.of([1], 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Kernel, "_interpreted", lambda *_: [])
        simulate(one, Servers.of(1), notify=lambda line: None)
        simulate(one, Servers.of(1), None, Interference.of([[1.0]], 1), notify=lambda line: None)
        yield
