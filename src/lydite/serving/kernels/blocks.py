"""Blocks of the KV cache as vLLM v1 keeps them (`vllm/v1/core/block_pool.py`, version 0.19).

A freed block keeps its content until it is the first of the list of free blocks and is taken.
Blocks of a request are freed from its end, so that the beginning of a prompt lives longest.
"""

from __future__ import annotations

from lydite.engine.kernels.jit import special
from lydite.serving.kernels.queues import next_waiting
from lydite.serving.kernels.state import FREE_HEAD, FREE_TAIL, NONE, PADDING

_OWN = 1 << 62
_MIX = -7046029254386353131  # 2 ** 64 / golden ratio, as a signed number


@special
def key_of(load, request, number):
    """Key of the content of a full block of a request; its own where nobody else has it."""
    start = load.key_start[request]
    if number < load.key_start[request + 1] - start:
        return load.keys[start + number]
    return _OWN | ((request + 1) << 24) | number


@special
def _slot(pool, replica, key):
    """Slot of a key, or the empty one where it would be."""
    mask = pool.slot_key.shape[1] - 1
    slot = ((key * _MIX) >> 24) & mask
    while pool.slot_key[replica, slot] != 0 and pool.slot_key[replica, slot] != key:
        slot = (slot + 1) & mask
    return slot


@special
def found(pool, replica, key):
    """The oldest block with this content, or NONE."""
    slot = _slot(pool, replica, key)
    return pool.slot_block[replica, slot] if pool.slot_key[replica, slot] == key else NONE


@special
def keep(pool, replica, block, key):
    """Let a block be found by its content."""
    pool.key[replica, block] = key
    pool.same[replica, block] = NONE
    slot = _slot(pool, replica, key)
    if pool.slot_key[replica, slot] != key:
        pool.slot_key[replica, slot] = key
        pool.slot_block[replica, slot] = block
        return
    last = pool.slot_block[replica, slot]
    while pool.same[replica, last] != NONE:
        last = pool.same[replica, last]
    pool.same[replica, last] = block


@special
def forget(pool, replica, block):
    """Take a block's content out of the table."""
    key = pool.key[replica, block]
    if key == 0:
        return
    pool.key[replica, block] = 0
    slot = _slot(pool, replica, key)
    at = pool.slot_block[replica, slot]
    if at != block:
        while pool.same[replica, at] != block:
            at = pool.same[replica, at]
        pool.same[replica, at] = pool.same[replica, block]
        return
    if pool.same[replica, block] != NONE:
        pool.slot_block[replica, slot] = pool.same[replica, block]
        return
    _empty(pool, replica, slot)


@special
def _empty(pool, replica, slot):
    """Empty a slot; those behind it move up, so that probing still finds them."""
    mask = pool.slot_key.shape[1] - 1
    gap, at = slot, slot
    while True:
        at = (at + 1) & mask
        key = pool.slot_key[replica, at]
        if key == 0:
            break
        home = ((key * _MIX) >> 24) & mask
        if ((at - home) & mask) >= ((at - gap) & mask):
            pool.slot_key[replica, gap] = key
            pool.slot_block[replica, gap] = pool.slot_block[replica, at]
            gap = at
    pool.slot_key[replica, gap] = 0
    pool.slot_block[replica, gap] = NONE


@special
def _ends(pool):
    most = pool.holders.shape[1] - PADDING
    return most + FREE_HEAD, most + FREE_TAIL


@special
def unlink(pool, replica, block):
    """Take a block out of the list of free ones."""
    before, after = pool.before[replica, block], pool.after[replica, block]
    pool.after[replica, before] = after
    pool.before[replica, after] = before
    pool.free[replica] -= 1


@special
def append(pool, replica, block):
    """Put a block at the end of the list of free ones."""
    _, tail = _ends(pool)
    before = pool.before[replica, tail]
    pool.after[replica, before] = block
    pool.before[replica, block] = before
    pool.after[replica, block] = tail
    pool.before[replica, tail] = block
    pool.free[replica] += 1


@special
def first_free(pool, replica):
    """The block that is taken next."""
    head, _ = _ends(pool)
    return pool.after[replica, head]


@special
def hits_of(rules, load, course, pool, replica, request):
    """Number of first blocks of a request that are cached, and how many of these are free.

    The last token is always computed, for its logits.
    """
    if not rules[replica].caching:
        return 0, 0
    most = (load.prompt[request] + course.generated[request] - 1) // rules[replica].block
    hits, free = 0, 0
    while hits < most:
        block = found(pool, replica, key_of(load, request, hits))
        if block == NONE:
            break
        free += pool.holders[replica, block] == 0
        hits += 1
    return hits, free


@special
def hold_hits(load, course, pool, replica, request, hits):
    """Let a request hold its first cached blocks."""
    start = load.table_start[request]
    for number in range(hits):
        block = found(pool, replica, key_of(load, request, number))
        if pool.holders[replica, block] == 0:
            unlink(pool, replica, block)
        pool.holders[replica, block] += 1
        course.table[start + number] = block
    course.held[request] = hits
    course.cached[request] = hits


@special
def _note(pool, replica, key):
    """Note that the content of a block is given up, for tiers to write."""
    if pool.leaves[replica] < pool.left.shape[1]:
        pool.left[replica, pool.leaves[replica]] = key
        pool.leaves[replica] += 1


@special
def hold(rules, load, course, pool, replica, request, tokens, known):
    """Let a request hold blocks for `tokens` tokens, and keep the content of full ones.

    Args:
        tokens: Tokens of the request with those of this step.
        known: Tokens whose content is known.

    The caller has made sure that there are enough free blocks.
    """
    size = rules[replica].block
    start = load.table_start[request]
    held = course.held[request]
    needed = (tokens + size - 1) // size
    head, _ = _ends(pool)
    while held < needed:
        block = pool.after[replica, head]
        unlink(pool, replica, block)
        if rules[replica].host > 0 and pool.key[replica, block] != 0:
            _note(pool, replica, pool.key[replica, block])
        forget(pool, replica, block)
        pool.holders[replica, block] = 1
        course.table[start + held] = block
        held += 1
    course.held[request] = held
    if rules[replica].caching:
        full = min(tokens, known) // size
        for number in range(course.cached[request], full):
            keep(pool, replica, course.table[start + number], key_of(load, request, number))
        course.cached[request] = max(full, course.cached[request])


@special
def release(load, course, pool, replica, request):
    """Free the blocks of a request, the last first."""
    start = load.table_start[request]
    for number in range(course.held[request] - 1, -1, -1):
        block = course.table[start + number]
        pool.holders[replica, block] -= 1
        if pool.holders[replica, block] == 0:
            append(pool, replica, block)
    course.held[request] = 0
    course.cached[request] = 0


@special
def forget_all(pool, replica, blocks):
    """Take the content of all blocks out of the table."""
    for block in range(1, blocks):
        forget(pool, replica, block)


@special
def lacking(rules, load, course, pool, replica, request):
    """What a waiting request has: cached blocks, those of them that are free, computed tokens."""
    computed = course.remote[request]
    if course.loaded[request]:
        computed = course.computed[request]
    if computed > 0:
        return 0, 0, computed
    hits, free = hits_of(rules, load, course, pool, replica, request)
    return hits, free, hits * rules[replica].block


@special
def start(rules, load, course, pool, queues, replica, hits, computed, tokens, ahead):
    """Let the first of the queue run: it holds its cached blocks and those of its first tokens.

    It holds slots for some tokens ahead, too.
    """
    request = next_waiting(queues, course, replica)
    known = load.prompt[request] + course.generated[request]
    if course.loaded[request]:
        course.loaded[request] = 0
    else:
        hold_hits(load, course, pool, replica, request, hits)
    known = min(known, computed + tokens)
    hold(rules, load, course, pool, replica, request, computed + tokens + ahead, known)
    course.computed[request] = computed
    if course.hits[request] < 0:
        course.hits[request] = hits * rules[replica].block
    place = queues.runs[replica]
    queues.running[replica, place] = request
    queues.tokens[replica, place] = tokens
    queues.runs[replica] = place + 1
