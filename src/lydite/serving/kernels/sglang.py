"""SGLang's scheduler, modelled after version 0.5: prompts first, in steps of their own.

While a prompt waits and fits, the next step only prefills; otherwise every running request decodes.
A prompt fits where the cache has room for it and for a share of the tokens that the running
requests may still write (`new_token_ratio`, which falls from step to step, and rises when requests
had to be retracted). Blocks stand for the pages of its radix cache.
"""

from __future__ import annotations

from lydite.engine.kernels.jit import special
from lydite.serving.kernels.blocks import hold, lacking, start
from lydite.serving.kernels.queues import has_seen
from lydite.serving.kernels.state import FIRST_RATIO, NONE
from lydite.serving.kernels.vllm import preempt

LEAST_RATIO = 0.14 * FIRST_RATIO
FALL = (FIRST_RATIO - LEAST_RATIO) / 600
_CLIP = 4096
_RETRACTED = 20
"""Tokens of each running request that there is room for after a retraction."""


@special
def schedule(rules, load, course, pool, queues, replica):
    """Choose the tokens of the next step; returns their number."""
    for place in range(queues.runs[replica]):
        queues.tokens[replica, place] = 0
    tokens = _prefill(rules, load, course, pool, queues, replica)
    return tokens if tokens else _decode(rules, load, course, pool, queues, replica)


@special
def _reserved(load, course, queues, replica):
    """Tokens to keep room for."""
    total = 0.0
    for place in range(queues.runs[replica]):
        request = queues.running[replica, place]
        total += min(load.output[request] - course.generated[request], _CLIP)
    return total * queues.ratio[replica]


@special
def _prefill(rules, load, course, pool, queues, replica):
    size = rules[replica].block
    whole, chunk = rules[replica].prompt_budget, rules[replica].budget
    used = 0
    begun = queues.chunk[replica]
    if begun != NONE:
        used = _go_on(rules, load, course, pool, queues, replica, begun, chunk)
        if queues.chunk[replica] != NONE:
            return used
    room = pool.free[replica] * size - _reserved(load, course, queues, replica)
    while queues.runs[replica] < rules[replica].sequences and has_seen(course, queues, replica):
        request = queues.first[replica]
        known = load.prompt[request] + course.generated[request]
        hits, free_hits, computed = lacking(rules, load, course, pool, replica, request)
        lacks = known - computed
        left = min(load.output[request] - course.generated[request], _CLIP)
        if lacks + left + free_hits * size >= room or (used and lacks > whole - used):
            break
        tokens = min(lacks, chunk - used) if rules[replica].chunked else lacks
        if tokens <= 0:
            break
        if tokens < lacks:
            tokens -= tokens % size
            if tokens == 0:
                break
        if (computed + tokens + size - 1) // size - hits + free_hits > pool.free[replica]:
            break
        start(rules, load, course, pool, queues, replica, hits, computed, tokens, 0)
        used += tokens
        room -= tokens + left + free_hits * size
        if tokens < lacks:
            queues.chunk[replica] = request
            break
    return used


@special
def _go_on(rules, load, course, pool, queues, replica, begun, chunk):
    """The next tokens of the prompt that was begun."""
    size = rules[replica].block
    known = load.prompt[begun] + course.generated[begun]
    computed = course.computed[begun]
    tokens = min(known - computed, chunk)
    if tokens < known - computed:
        tokens -= tokens % size
    if (computed + tokens + size - 1) // size - course.held[begun] > pool.free[replica]:
        return 0
    hold(rules, load, course, pool, replica, begun, computed + tokens, known)
    for place in range(queues.runs[replica]):
        if queues.running[replica, place] == begun:
            queues.tokens[replica, place] = tokens
    if computed + tokens == known:
        queues.chunk[replica] = NONE
    return tokens


@special
def _lacking(rules, course, queues, replica):
    """Blocks that the next token of every running request needs."""
    size = rules[replica].block
    blocks = 0
    for place in range(queues.runs[replica]):
        request = queues.running[replica, place]
        if request != queues.chunk[replica]:
            blocks += (course.computed[request] + size) // size - course.held[request]
    return blocks


@special
def _decode(rules, load, course, pool, queues, replica):
    if _lacking(rules, course, queues, replica) > pool.free[replica]:
        _retract(rules, load, course, pool, queues, replica)
    else:
        queues.ratio[replica] = max(queues.ratio[replica] - FALL, LEAST_RATIO)
    used = 0
    for place in range(queues.runs[replica]):
        request = queues.running[replica, place]
        if request == queues.chunk[replica]:
            continue
        known = load.prompt[request] + course.generated[request]
        hold(rules, load, course, pool, replica, request, course.computed[request] + 1, known)
        queues.tokens[replica, place] = 1
        used += 1
    return used


@special
def _retract(rules, load, course, pool, queues, replica):
    """Preempt requests, the fewest tokens generated first, then the longest prompt."""
    size = rules[replica].block
    while queues.runs[replica] > 1:
        room = queues.runs[replica] * _RETRACTED // size
        if _lacking(rules, course, queues, replica) + room <= pool.free[replica]:
            break
        worst = 0
        for place in range(queues.runs[replica]):
            mine, its = queues.running[replica, worst], queues.running[replica, place]
            fewer = course.generated[its] < course.generated[mine]
            equal = course.generated[its] == course.generated[mine]
            if fewer or (equal and load.prompt[its] > load.prompt[mine]):
                worst = place
        if queues.running[replica, worst] == queues.chunk[replica]:
            queues.chunk[replica] = NONE
        preempt(rules, load, course, pool, queues, replica, worst)
        for place in range(worst, queues.runs[replica] - 1):
            queues.running[replica, place] = queues.running[replica, place + 1]
        queues.runs[replica] -= 1
    done, whole = 0.0, 1.0
    for place in range(queues.runs[replica]):
        request = queues.running[replica, place]
        done += course.generated[request] + _RETRACTED
        whole += load.output[request]
    queues.ratio[replica] = min(1.0, done / whole)
