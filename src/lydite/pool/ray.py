"""A Ray cluster: CPU nodes that compute, joined by token.

Ray starts a call again when its worker or node is lost; results reach only this process, so that
none counts twice. Each node has to run the same software, checked before anything is computed and
again by every chunk, for nodes that join later.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import secrets
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from lydite.errors import InputError, LyditeError, MissingExtra
from lydite.pool.base import MOST_TRIES, Lane, Pool, Work
from lydite.pool.software import software

_REACH_S = 5.0
_PROBE_S = 60.0
_LOOK_S = 1.0
_HOW_TO_START = "RAY_AUTH_MODE=token ray start --head --include-dashboard=false"
_HOW_TO_MAKE_A_TOKEN = (
    "type `ray get-auth-token --generate` once, copy ~/.ray/auth_token to every node, and start "
    f"each anew: {_HOW_TO_START}"
)


@contextmanager
def connected(address: str) -> Iterator[RayPool]:
    """A pool on a cluster; a connection that the program had before is used, and stays.

    Args:
        address: As of `open_pool`.

    Raises:
        InputError: the cluster cannot be reached, has no token or no CPU, or runs other software.
        MissingExtra: Ray is not installed.
    """
    ray = _imported(address)
    before = ray.is_initialized()
    if not before:
        _connect(ray, address)
    try:
        _check_nodes(ray)
        yield RayPool(ray)
    finally:
        if not before:
            with _no_standard_error():
                ray.shutdown()


def _imported(address: str) -> Any:
    """The package, with its settings: it reads them once, as it is imported."""
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address == "local" and os.environ["RAY_AUTH_MODE"] == "token":
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    known = "ray" in sys.modules
    try:
        ray = import_module("ray")
    except ImportError:
        raise MissingExtra("ray", "ray") from None
    if known:
        # as Ray does where it changes the mode itself
        import_module("ray._raylet").Config.initialize("")
    return ray


def _connect(ray: Any, address: str) -> None:
    shared = {
        "ignore_reinit_error": True,
        "log_to_driver": False,
        "logging_level": logging.ERROR,
    }
    if address == "local":
        with _no_standard_error():
            ray.init("local", num_cpus=os.cpu_count(), include_dashboard=False, **shared)
        return
    target = _target(address)
    tries, constants = 3, ray._private.ray_constants
    usual, constants.NUM_REDIS_GET_RETRIES = constants.NUM_REDIS_GET_RETRIES, tries
    try:
        with _no_standard_error():
            ray.init(target, **shared)
    except Exception as error:  # Ray raises whatever its parts raise, and has no common class
        ray.shutdown()  # forgets the node that it could not join
        raise _refused(error, address) from error
    finally:
        constants.NUM_REDIS_GET_RETRIES = usual


def _target(address: str) -> str:
    """HOST:PORT of a cluster, once something answers there: Ray would wait for minutes.

    Raises:
        InputError: it is no address, or nothing answers.
    """
    where, target = f"--ray {address}", address
    if address == "auto":
        target = os.environ.get("RAY_ADDRESS", "auto")
        if target == "auto":
            current = Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray/ray_current_cluster"
            if not current.exists():
                raise InputError(
                    "RAY_ADDRESS is not set, and no Ray node runs on this machine",
                    where=where,
                    hint=f"set RAY_ADDRESS=HOST:6379, or type: {_HOW_TO_START}",
                )
            target = current.read_text().strip()
    host, _, port = target.rpartition(":")
    if "/" in host or not host or not port.isdigit():
        raise InputError(
            f"'{target}' is not the address of a Ray cluster",
            where=where,
            allowed="HOST:PORT, auto, local",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), _REACH_S).close()
    except (OSError, OverflowError) as error:
        raise InputError(
            f"nothing answers at {target} ({error})",
            where=where,
            hint=f"start a cluster there: {_HOW_TO_START} --port {port}",
        ) from None
    return target


def _refused(error: BaseException, address: str) -> InputError:
    """What Ray says, in one message."""
    where = f"--ray {address}"
    causes = [error]
    while (deeper := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(deeper)
    text = " ".join(str(cause) for cause in causes)
    if "Version mismatch" in text:
        told = " ".join(str(error).split())
        return InputError(
            f"the cluster runs other software: {told}",
            where=where,
            hint="install the same Ray and Python on all nodes",
        )
    if "AuthenticationError" in text + type(error).__name__:
        known = "no authentication token was found" not in text
        what = "the cluster has another token" if known else "there is no token of the cluster"
        return InputError(what, where=where, hint=_HOW_TO_MAKE_A_TOKEN)
    if "node" in text and "raylet" in text.lower():
        hint = f"this machine joins it first: RAY_AUTH_MODE=token ray start --address={address}"
        return InputError("no node of the cluster runs on this machine", where=where, hint=hint)
    return InputError(f"cannot connect: {' '.join(str(error).split())}", where=where)


@contextmanager
def _no_standard_error() -> Iterator[None]:
    """Keep Ray's native code from writing its attempts to standard error."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _check_nodes(ray: Any) -> None:
    """Refuse a cluster that differs from this process.

    Raises:
        InputError: a node runs other software or takes work without a token, or none has a CPU.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def probe() -> dict[str, str]:
        """Pickled by value, so that it runs where Lydite is missing or differs."""
        import os
        import platform

        import ray

        found = {"ray": ray.__version__, "python": platform.python_version()}
        try:
            from lydite.pool.software import lydite_software

            found["lydite"] = lydite_software()
        except ImportError:
            found["lydite"] = "missing"
        return {**found, "mode": os.environ.get("RAY_AUTH_MODE", "disabled")}

    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    if not nodes:
        raise InputError("no node of the Ray cluster has a CPU", hint="ray start --address=...")
    task = ray.remote(num_cpus=0, max_retries=1)(probe)
    asked = [
        task.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote()
        for node in nodes
    ]
    ready, late = ray.wait(asked, num_returns=len(asked), timeout=_PROBE_S)
    answers = {ref: _probed(ray, ref) for ref in ready}
    if late and not any(answers.values()):
        raise InputError(f"no node of the Ray cluster answers within {_PROBE_S:.0f} s")
    expected = software()
    differing = []
    for node, ref in zip(nodes, asked, strict=True):
        answer = answers.get(ref)
        if answer is not None:
            _check_mode(node["NodeManagerHostname"], answer.pop("mode"))
            differing += _differences(node["NodeManagerHostname"], answer, expected)
    if differing:
        raise InputError(
            "; ".join(dict.fromkeys(differing)),
            where="--ray",
            hint="install the same on all nodes, and start them anew",
        )


def _probed(ray: Any, ref: Any) -> dict[str, str] | None:
    """What a node runs; None where it was lost meanwhile."""
    try:
        return ray.get(ref)
    except ray.exceptions.RayError:
        return None


def _check_mode(host: str, mode: str) -> None:
    if os.environ["RAY_AUTH_MODE"] == "token" and mode != "token":
        raise InputError(
            f"the Ray node {host} runs whatever anybody sends it: it asks for no token",
            hint=f"{_HOW_TO_MAKE_A_TOKEN}; RAY_AUTH_MODE=disabled here accepts it as it is",
        )


def _differences(host: str, theirs: Mapping[str, str], ours: Mapping[str, str]) -> list[str]:
    return [
        f"the Ray node {host} has {name} {theirs[name]}, this process {ours[name]}"
        for name in ours
        if theirs[name] != ours[name]
    ]


class RayPool(Pool):
    """All CPUs of the nodes of a cluster.

    Args:
        ray: The package, connected.
    """

    def __init__(self, ray: Any) -> None:
        self._ray = ray

    @contextmanager
    def lane(self, work: Work, chunks: int | None) -> Iterator[Lane]:
        """Tasks of one CPU each; see `Pool.lane`."""
        del chunks
        lane = _Tasks(self._ray, work)
        try:
            yield lane
        finally:
            lane.close()


class _Tasks:
    """Tasks in flight."""

    def __init__(self, ray: Any, work: Work) -> None:
        self._ray = ray
        self._key = secrets.token_hex(8)
        self._shared = ray.put(pickle.dumps(work))
        self._task = ray.remote(num_cpus=1, max_retries=MOST_TRIES)(_chunk)
        self._flying: dict[Any, int] = {}
        self._room, self._looked_s = 2, -math.inf

    def room(self) -> int:
        if time.monotonic() > self._looked_s + _LOOK_S:  # nodes come and go
            self._room = 2 * max(1, int(self._ray.cluster_resources().get("CPU", 1)))
            self._looked_s = time.monotonic()
        return self._room

    def send(self, place: int, arguments: Sequence[Any]) -> None:
        # in a list, the shared part travels only to workers that ask for it
        ref = self._task.remote(software(), self._key, [self._shared], arguments)
        self._flying[ref] = place

    def receive(self) -> list[tuple[int, list[Any] | LyditeError]]:
        flying = list(self._flying)
        self._ray.wait(flying, num_returns=1)
        ended, _ = self._ray.wait(flying, num_returns=len(flying), timeout=0)
        return [(self._flying.pop(ref), self._answers(ref)) for ref in ended]

    def _answers(self, ref: Any) -> list[Any] | LyditeError:
        errors = self._ray.exceptions
        try:
            return self._ray.get(ref)
        except errors.RayTaskError:
            raise
        except errors.RayError as error:
            told = " ".join(str(error).split())
            return LyditeError(
                f"workers of the Ray cluster were lost {MOST_TRIES + 1} times: {told}",
                hint="what is finished is kept",
            )

    def close(self) -> None:
        for ref in self._flying:
            self._ray.cancel(ref)


_WORK: dict[str, Work] = {}
"""The work that this worker did last, by key."""


def _chunk(
    expected: Mapping[str, str], key: str, shared: Sequence[Any], arguments: Sequence[Any]
) -> list[Any] | LyditeError:
    """The calls of a chunk, in a worker."""
    if software() != expected:
        differing = _differences(socket.gethostname(), software(), expected)
        return InputError("; ".join(differing), where="--ray", hint="install the same on all nodes")
    if key not in _WORK:
        import ray

        _WORK.clear()
        _WORK[key] = pickle.loads(ray.get(shared[0]))
    return _WORK[key].answers(arguments)
