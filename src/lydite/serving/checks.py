"""What replicas cannot serve, or is not modelled, is refused before the loop begins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lydite.errors import InputError
from lydite.serving.fleet import Fleet
from lydite.serving.kernels.state import MOST_DRAFTS
from lydite.serving.replicas import Replica, Scheduler, Speculation
from lydite.serving.requests import Requests


def check(requests: Requests, replicas: Sequence[Replica], fleet: Fleet | None = None) -> None:
    """Refuse what could never end.

    Raises:
        InputError: no replica can hold a request, or roles lack a partner.
    """
    roles = {replica.role for replica in replicas}
    if not replicas:
        raise InputError("there are no replicas")
    if (len(roles) > 1 and roles != {"prefill", "decode"}) or (
        len(roles) == 1 and "both" not in roles
    ):
        raise InputError(
            f"replicas are {', '.join(sorted(roles))}",
            allowed="all 'both', or some 'prefill' and some 'decode'",
        )
    longest = int((requests.prompt + requests.output).max())
    for replica in replicas:
        rules = replica.scheduler
        ahead = replica.speculation.ahead if replica.speculation else 0
        room = min(replica.kv_tokens - rules.block_size - ahead, rules.max_model_len)
        if longest > room:
            drafts = f" beside {ahead} for drafts" if ahead else ""
            raise InputError(
                f"the longest request has {longest:,} tokens, {replica.name} has room for {room:,}"
                f"{drafts}",
                hint="fewer tokens, more memory, or more ranks of tensor parallelism",
            )
        most = int(requests.prompt.max())
        if not rules.chunked_prefill and most > rules.max_num_batched_tokens:
            raise InputError(
                f"a prompt of {most:,} tokens is more than a step's "
                f"{rules.max_num_batched_tokens:,}, and prompts are not chunked",
                hint="chunked prefill, or a larger max_num_batched_tokens",
            )
        if rules.priorities and rules.policy != "vllm":
            raise InputError(f"priorities are not modelled for {rules.policy}", allowed="vllm")
        if len(replica.times.stages) > 1:
            _check_stages(replica)
        if replica.tiers is not None and replica.tiers.host_blocks:
            _check_tiers(replica, fleet)
        if replica.speculation is not None:
            _check_speculation(replica.speculation, rules)


def _check_tiers(replica: Replica, fleet: Fleet | None) -> None:
    what = "tiers of the KV cache are not modelled"
    if replica.scheduler.policy != "vllm":
        raise InputError(f"{what} for {replica.scheduler.policy}", allowed="vllm")
    if not replica.scheduler.prefix_caching:
        raise InputError(f"{what} without prefix caching")
    if fleet is not None:
        raise InputError(f"{what} with replicas that fail, start or stop")


def _check_stages(replica: Replica) -> None:
    rules = replica.scheduler
    if rules.policy != "vllm":
        raise InputError(f"pipeline stages are not modelled for {rules.policy}", allowed="vllm")
    if replica.speculation is not None:
        raise InputError("speculation in pipeline stages is not modelled")
    if replica.group is not None:
        raise InputError("pipeline stages of replicas that step together are not modelled")


def _check_speculation(speculation: Speculation, rules: Scheduler) -> None:
    if rules.policy != "vllm":
        raise InputError(f"speculation is not modelled for {rules.policy}", allowed="vllm")
    chances = np.array(speculation.acceptance, float)
    if not 1 <= speculation.tokens <= MOST_DRAFTS:
        raise InputError(f"{speculation.tokens} draft tokens", allowed=f"1 to {MOST_DRAFTS}")
    if len(chances) != speculation.tokens:
        raise InputError(f"{len(chances)} chances of acceptance for {speculation.tokens} drafts")
    if not ((chances >= 0) & (chances <= 1)).all():
        raise InputError("a chance of acceptance is not between 0 and 1")
    if not 0 <= speculation.seed < 1 << 63:
        raise InputError(f"a seed of {speculation.seed}", allowed="0 to 9,223,372,036,854,775,807")
