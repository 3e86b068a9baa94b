"""A backend that behaves badly on demand; found by its entry point, as an outside package's is."""

import os
import signal

from lydite.backends.replay import ReplayBackend
from lydite.errors import BackendError


class VillainBackend(ReplayBackend):
    name = "villain"

    def prepare_op(self, key, settings, copies, turns=1):
        deed = key.attrs.get("deed")
        if deed == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if deed == "hang":
            signal.pause()
        if deed == "greed":
            self.hoard = [bytearray(os.urandom(1 << 20) * 64) for _ in range(64)]
            signal.pause()
        if deed == "refuse":
            raise BackendError("will not")
        return super().prepare_op(key, settings, copies, turns)

    def _seconds(self, key):
        return 1e-3
