"""Child processes that do not outlive their parent."""

from __future__ import annotations

import os
import threading
import time

_LOOK_S = 1.0


def die_with_parent() -> None:
    """End this process soon after its parent is gone, as after `kill -9`.

    A pool cannot tell its workers that its process was killed; they look for themselves.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
