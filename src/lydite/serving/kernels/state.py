"""Arrays that the kernels share: requests, replicas, and their blocks of the KV cache."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

NONE = -1
"""No request, no block, no limit."""
ALWAYS = np.int64(1 << 62)
"""After all that happens, in ns."""
FREE_HEAD, FREE_TAIL = 0, 1
"""Behind the blocks of a replica: both ends of the list of its free blocks."""
PADDING = 2
LOADED, LOADING = 1, 2
"""Whether a request waits with blocks from a tier, or for them; 0 for neither."""
FIRST_RATIO = 0.7
"""Share of the tokens to come that SGLang keeps room for at first."""


MOST_DRAFTS = 16
"""Most tokens that are drafted for a request of a step."""


def _record(*groups: tuple[str, Any]) -> np.dtype:
    """A record of the named fields, by type."""
    return np.dtype([(name, kind) for names, kind in groups for name in names.split()], align=True)


RULES = _record(
    (
        "policy sequences budget prompt_budget block blocks caching reserve chunked longest ahead",
        np.int64,
    ),
    ("ordered", np.int64),
    ("role kind leader members stages", np.int64),
    ("drafts lookahead drafter seed", np.int64),
    ("host disk host_ns disk_ns", np.int64),
    ("accepted", (np.float64, MOST_DRAFTS)),
)
"""Options of the scheduler of a replica.

policy: Place of the scheduler in `POLICIES`.
sequences: Most requests that run at once.
budget: Most tokens of a step.
prompt_budget: Most prompt tokens of a step that only prefills.
block: Tokens of a block.
blocks: Number of blocks, with the one that is never used.
caching: Whether full blocks are kept and found by their content.
reserve: Whether a prompt is only admitted where all of it fits.
chunked: Whether a prompt may be split over steps.
longest: Most tokens of a request.
ahead: Whether a step is scheduled when the one before it begins.
ordered: Whether requests wait and are preempted by their priority.
role: 0 runs all of a request, 1 its prefill, 2 what follows.
kind: Row of the tables of times.
leader: First replica of its group, whose steps begin and end together.
members: Number of replicas of its group.
stages: Number of pipeline stages, and of batches in flight at most.
drafts: Tokens that are drafted for each decoding request of a step; 0 without speculation.
lookahead: Tokens behind those of a step that the drafts are given slots for.
drafter: Row of the tables of times of the model that drafts, or NONE.
seed: Seed of the draws of accepted tokens.
host: Blocks of the prefix cache that host memory holds; 0 without tiers.
disk: The same of a disk behind it.
host_ns: Time to copy a block between the device and host memory, in ns.
disk_ns: The same between host memory and the disk.
accepted: Chance that so many drafted tokens and one more are accepted.
"""


class Load(NamedTuple):
    """The requests, by number.

    Attributes:
        arrival_ns: When each arrives; after its predecessor is done, where it has one: int64.
        prompt: Prompt tokens: int32.
        output: Output tokens: int32.
        priority: The less, the sooner, where the scheduler orders requests: int32.
        successor: Request that follows when this one is done (the next turn), or NONE: int32.
        key_start: Where the keys of each request begin, with the end: int64 [requests + 1].
        keys: Keys of the content of its first full blocks: int64.
        table_start: Where the blocks of each request begin in the table: int64 [requests + 1].
    """

    arrival_ns: np.ndarray
    prompt: np.ndarray
    output: np.ndarray
    priority: np.ndarray
    successor: np.ndarray
    key_start: np.ndarray
    keys: np.ndarray
    table_start: np.ndarray


class Course(NamedTuple):
    """How far each request is, by number.

    Attributes:
        computed: Tokens in the KV cache: int32.
        generated: Tokens that came out: int32.
        drafted: Tokens that are drafted and wait to be verified: int32.
        held: Blocks that it holds: int32.
        cached: Of these, blocks that can be found by their content: int32.
        table: Its blocks, see `Load.table_start`: int32.
        waiting: The next request in the queue: int32.
        hits: Prompt tokens found in the cache at first: int32.
        preempted: How often it was preempted: int32.
        replica: Where it runs, or ran last: int32.
        remote: Prompt tokens whose KV comes from another replica: int32.
        loaded: `LOADED`, `LOADING` or 0: int32.
        arrived_ns, started_ns, first_ns, last_ns: When it arrived, ran first, and when its first
            and last token came: int64.
    """

    computed: np.ndarray
    generated: np.ndarray
    drafted: np.ndarray
    held: np.ndarray
    cached: np.ndarray
    table: np.ndarray
    waiting: np.ndarray
    hits: np.ndarray
    preempted: np.ndarray
    replica: np.ndarray
    remote: np.ndarray
    loaded: np.ndarray
    arrived_ns: np.ndarray
    started_ns: np.ndarray
    first_ns: np.ndarray
    last_ns: np.ndarray


class Pool(NamedTuple):
    """Blocks of each replica: [replicas, blocks + PADDING], int32 but for `key`.

    Free blocks are a list, the next victim first. Blocks of one content are a list from the slot
    of a hash table with linear probing, the oldest first.

    Attributes:
        holders: Number of requests that hold a block.
        before, after: Neighbours in the list of free blocks.
        key: Key of its content, 0 where it cannot be found: int64.
        same: The next block of the same content.
        slot_key, slot_block: The hash table [replicas, slots].
        free: Number of free blocks [replicas].
        left: Keys of the blocks whose content was given up in the step at hand, where there are
            tiers for it: int64 [replicas, twice the blocks, or 1].
        leaves: Number of them [replicas].
    """

    holders: np.ndarray
    before: np.ndarray
    after: np.ndarray
    key: np.ndarray
    same: np.ndarray
    slot_key: np.ndarray
    slot_block: np.ndarray
    free: np.ndarray
    left: np.ndarray
    leaves: np.ndarray


class Queues(NamedTuple):
    """What runs and waits on each replica.

    Attributes:
        running: Requests that run, in order [replicas, sequences]: int32.
        tokens: Tokens that each of them computes in the step at hand: int32.
        runs: Number of them [replicas].
        first, last: Ends of the queue [replicas]: int32.
        waits: Number that wait [replicas].
        until_ns: When the step at hand is over; NONE where the replica is idle: int64.
        began_ns: When the step at hand, or the last one, began: int64 [replicas].
        seen_ns: Arrivals up to then are known to who schedules the next step: int64 [replicas].
        ratio: Share of the tokens to come that SGLang keeps room for: float64 [replicas].
        chunk: Request whose prompt SGLang has begun [replicas]: int32.
    """

    running: np.ndarray
    tokens: np.ndarray
    runs: np.ndarray
    first: np.ndarray
    last: np.ndarray
    waits: np.ndarray
    until_ns: np.ndarray
    began_ns: np.ndarray
    seen_ns: np.ndarray
    ratio: np.ndarray
    chunk: np.ndarray


class Flights(NamedTuple):
    """Batches that are on their way through pipeline stages, in a ring [replicas, stages].

    Attributes:
        request: Requests of each batch [replicas, stages, sequences]: int32.
        reach: Tokens that each has in the KV cache when the batch ends: int32.
        size: Number of requests of a batch: int32.
        until_ns: When a batch ends: int64.
        free_ns: When each stage is free: int64.
        first: Place of the oldest batch in the ring [replicas].
        flying: Number of batches in flight [replicas].
        landed: Tokens that a request has in the KV cache at the end of the batch at hand, or 0
            [requests]: int32.
    """

    request: np.ndarray
    reach: np.ndarray
    size: np.ndarray
    until_ns: np.ndarray
    free_ns: np.ndarray
    first: np.ndarray
    flying: np.ndarray
    landed: np.ndarray


def new_flights(rules: np.ndarray, requests: int) -> Flights:
    """Pipelines without batches; there is no room for any where nothing has stages."""
    replicas, stages = len(rules), int(rules["stages"].max())
    most = int(rules["sequences"].max()) if stages > 1 else 1
    ring, room = (replicas, stages), (replicas, stages, most)
    return Flights(
        np.zeros(room, np.int32),
        np.zeros(room, np.int32),
        np.zeros(ring, np.int32),
        np.zeros(ring, np.int64),
        np.zeros(ring, np.int64),
        np.zeros(replicas, np.int64),
        np.zeros(replicas, np.int64),
        np.zeros(requests if stages > 1 else 1, np.int32),
    )


def new_course(load: Load) -> Course:
    """Requests that have not begun."""
    count = len(load.prompt)

    def zeros() -> np.ndarray:
        return np.zeros(count, np.int32)

    def never() -> np.ndarray:
        return np.full(count, NONE, np.int64)

    return Course(
        computed=zeros(),
        generated=zeros(),
        drafted=zeros(),
        held=zeros(),
        cached=zeros(),
        table=np.zeros(int(load.table_start[-1]), np.int32),
        waiting=np.full(count, NONE, np.int32),
        hits=np.full(count, NONE, np.int32),
        preempted=zeros(),
        replica=zeros(),
        remote=zeros(),
        loaded=zeros(),
        arrived_ns=never(),
        started_ns=never(),
        first_ns=never(),
        last_ns=never(),
    )


def new_pool(rules: np.ndarray) -> Pool:
    """Blocks of the devices."""
    return pool_of(rules["blocks"], 2 * int(np.where(rules["host"], rules["blocks"], 0).max()))


def pool_of(counts: np.ndarray, room: int = 0) -> Pool:
    """Blocks that are all free, in order; block 0 is never used.

    Args:
        counts: Number of blocks of each replica, with the one that is never used: int64.
        room: Blocks whose content is given up in a step at most.
    """
    replicas, most = len(counts), int(counts.max())
    shape = (replicas, most + PADDING)
    before, after = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    for row in range(replicas):
        blocks = int(counts[row])
        order = np.r_[most + FREE_HEAD, 1:blocks, most + FREE_TAIL]
        after[row, order[:-1]], before[row, order[1:]] = order[1:], order[:-1]
    slots = 1 << max(4, int(2 * most - 1).bit_length())
    return Pool(
        np.zeros(shape, np.int32),
        before,
        after,
        np.zeros(shape, np.int64),
        np.full(shape, NONE, np.int32),
        np.zeros((replicas, slots), np.int64),
        np.full((replicas, slots), NONE, np.int32),
        counts - 1,
        np.zeros((replicas, max(room, 1)), np.int64),
        np.zeros(replicas, np.int64),
    )


def new_queues(rules: np.ndarray) -> Queues:
    """Replicas where nothing runs or waits."""
    replicas, most = len(rules), int(rules["sequences"].max())
    return Queues(
        np.full((replicas, most), NONE, np.int32),
        np.zeros((replicas, most), np.int32),
        np.zeros(replicas, np.int64),
        np.full(replicas, NONE, np.int32),
        np.full(replicas, NONE, np.int32),
        np.zeros(replicas, np.int64),
        np.full(replicas, NONE, np.int64),
        np.full(replicas, NONE, np.int64),
        np.full(replicas, ALWAYS),
        np.full(replicas, FIRST_RATIO),
        np.full(replicas, NONE, np.int32),
    )
