"""Replicas, requests and the fleet as arrays for the kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lydite.errors import InputError, unknown_name
from lydite.serving.fleet import Fleet
from lydite.serving.kernels.fleet import STARTING, UP, new_fleet
from lydite.serving.kernels.fleet import Fleet as FleetState
from lydite.serving.kernels.state import MOST_DRAFTS, RULES, Load
from lydite.serving.replicas import ROLES, Replica, Speculation
from lydite.serving.requests import Requests
from lydite.serving.tiers import KvTiers
from lydite.serving.times import StepTimes


def in_ns(seconds: np.ndarray) -> np.ndarray:
    """Seconds as whole nanoseconds: int64."""
    return np.round(np.asarray(seconds, float) * 1e9).astype(np.int64)


def rules_of(replicas: Sequence[Replica], policies: Sequence[str], load: Load) -> np.ndarray:
    """Options of each replica's scheduler: `RULES` [replicas].

    Raises:
        InputError: a scheduler is unknown.
    """
    # A cache that holds all requests at once is never short of blocks, however large it is.
    all_blocks = int(load.table_start[-1]) + 2
    kinds: dict[int, int] = {id(each): n for n, each in enumerate(kinds_of(replicas))}
    rows = []
    for number, replica in enumerate(replicas):
        rules = replica.scheduler
        if rules.policy not in policies:
            raise unknown_name("scheduler", rules.policy, policies)
        row = (
            policies.index(rules.policy),
            rules.max_num_seqs,
            rules.max_num_batched_tokens,
            rules.max_prefill_tokens,
            rules.block_size,
            min(replica.kv_tokens // rules.block_size, all_blocks),
            rules.prefix_caching,
            rules.reserve_full_prompt,
            rules.chunked_prefill,
            rules.max_model_len,
            rules.ahead,
            rules.priorities,
            ROLES.index(replica.role),
            kinds[id(replica.times)],
            *_group(replicas, number),
            len(replica.times.stages),
            *_drafting(replica.speculation, kinds)[:-1],
            *_tiers(replica.tiers, all_blocks),
            _drafting(replica.speculation, kinds)[-1],
        )
        rows.append(row)
    return np.array(rows, RULES)


def kinds_of(replicas: Sequence[Replica]) -> list[StepTimes]:
    """The different step times of replicas and of the models that draft for them."""
    every = [replica.times for replica in replicas]
    every += [r.speculation.times for r in replicas if r.speculation and r.speculation.times]
    return list({id(each): each for each in every}.values())


def _tiers(tiers: KvTiers | None, all_blocks: int) -> tuple[int, int, int, int]:
    """Blocks of host memory and disk, and the time to copy one to and from each, in ns."""
    if tiers is None or tiers.host_blocks == 0:
        return 0, 0, 0, 0
    return (
        min(tiers.host_blocks, all_blocks),
        min(tiers.disk_blocks, all_blocks),
        tiers.copy_ns(tiers.host_bytes_per_s),
        tiers.copy_ns(tiers.disk_bytes_per_s),
    )


def _drafting(speculation: Speculation | None, kinds: dict[int, int]) -> tuple[Any, ...]:
    """Drafts, lookahead, the row of the drafting model's times, the seed, and the chances."""
    chances = np.zeros(MOST_DRAFTS)
    if speculation is None:
        return 0, 0, -1, 0, chances
    row = -1 if speculation.times is None else kinds[id(speculation.times)]
    ahead = speculation.tokens if speculation.lookahead else 0
    chances[: speculation.tokens] = np.cumprod(speculation.acceptance)
    return speculation.tokens, ahead, row, speculation.seed, chances


def fleet_of(fleet: Fleet | None, replicas: Sequence[Replica], requests: int) -> FleetState:
    """The fleet for the kernels.

    Raises:
        InputError: replicas have roles or step together, or there are fewer than the least.
    """
    limits, outages = np.array([-1, 0, 0, 0], np.int64), np.zeros((0, 3), np.int64)
    if fleet is not None:
        if any(replica.role != "both" or replica.group is not None for replica in replicas):
            raise InputError(
                "failures and scaling are not modelled for prefill and decode apart, or for "
                "replicas that step together"
            )
        limits[3] = _nanoseconds(fleet.cold_s)
        if fleet.scale is not None:
            scale = fleet.scale
            if not 1 <= scale.least <= len(replicas):
                raise InputError(
                    f"{scale.least} replicas at least", allowed=f"1 to {len(replicas)}"
                )
            limits[:3] = scale.least, scale.queue, _nanoseconds(scale.idle_s)
        rows = [
            (
                _nanoseconds(each.at_s),
                each.replica,
                -1 if each.duration_s == np.inf else _nanoseconds(each.duration_s),
            )
            for each in fleet.failures
        ]
        outages = np.array(rows, np.int64).reshape(-1, 3)
    return new_fleet(len(replicas), requests, limits, outages, fleet is not None)


def _nanoseconds(seconds: float) -> int:
    return round(min(seconds, 1e9) * 1e9)


def running_s(fleet: FleetState, end_ns: int) -> np.ndarray:
    """Time that each replica ran or started, up to the end of the last step."""
    running = np.isin(fleet.state, (UP, STARTING))
    on_ns = fleet.on_ns + np.where(running, np.maximum(end_ns - fleet.since_ns, 0), 0)
    return np.minimum(on_ns, end_ns) * 1e-9


def followed(requests: Requests, gaps: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the gaps of the first requests that have no more together begin, and room for them."""
    ends = np.cumsum(requests.output.astype(np.int64) - 1)
    count = int(np.searchsorted(ends, gaps, "right")) if gaps else 0
    starts = np.concatenate([[0], ends[:count]]).astype(np.int64)
    return starts, np.full(int(starts[-1]), -1, np.int64)


def _group(replicas: Sequence[Replica], number: int) -> tuple[int, int]:
    """First replica of a replica's group, and its number of replicas."""
    group = replicas[number].group
    if group is None:
        return number, 1
    members = [n for n, replica in enumerate(replicas) if replica.group == group]
    return members[0], len(members)


def load_of(requests: Requests, replicas: Sequence[Replica]) -> Load:
    """The requests for the kernels, with room for the blocks of each."""
    size = min(replica.scheduler.block_size for replica in replicas)
    ahead = max(r.speculation.ahead if r.speculation else 0 for r in replicas)
    longest = (requests.prompt.astype(np.int64) + requests.output + ahead) // size + 2
    return Load(
        in_ns(requests.arrival_s),
        requests.prompt,
        requests.output,
        requests.priority,
        requests.successor,
        requests.key_start,
        requests.keys,
        np.concatenate([[0], np.cumsum(longest)]).astype(np.int64),
    )
