"""The usual deployment of a language model on a device, for verbs that serve one in passing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lydite.api.options import ModelOptions
from lydite.api.serving.deployment import Deployer, deployer
from lydite.api.serving.options import ServeOptions
from lydite.errors import InputError
from lydite.serving import Replica, made, simulate_serving
from lydite.serving.layout import Layout, Part

if TYPE_CHECKING:
    from lydite.api.session import Session

_DEGREES = (1, 2, 4, 8, 16)


def usual_deployment(
    session: Session,
    model: str,
    on: str,
    prompt: np.ndarray,
    output: np.ndarray,
    dtype: str | None = None,
) -> tuple[Deployer, Part]:
    """One replica of a model on the number of devices that answers most, for each of them.

    The fewest devices that hold the model are tried, which may leave little room for the KV cache,
    and twice as many, on as many of the requests as two replicas run at once.

    Args:
        session: Session whose database holds measurements of operators.
        model: Language model.
        on: Device.
        prompt, output: Tokens of the requests.
        dtype: Data type; None for the usual one.

    Raises:
        InputError: the model fits on none of 1 to 16 devices.
    """
    requests = made(np.zeros(len(prompt)), prompt, output)
    kept = deployer(session, model, ServeOptions(on=on), ModelOptions(dtype=dtype), requests)
    fitting: list[Part] = []
    reason: InputError | None = None
    for tp in _DEGREES:
        try:
            kept.rank(part := Part(1, tp))
        except InputError as error:
            reason = error
            continue
        fitting.append(part)
        if len(fitting) == 2:
            break
    if not fitting and reason is not None:
        raise reason
    few = requests.taken(2 * kept.scheduler.max_num_seqs)

    def rate(part: Part) -> float:
        return 1 / simulate_serving(few, replicas_of(kept, part)).end_s / part.devices

    return kept, fitting[0] if len(fitting) == 1 else max(fitting, key=rate)


def replicas_of(deployer: Deployer, part: Part) -> Sequence[Replica]:
    """The replicas of one part."""
    return deployer.replicas(Layout((part,)))
