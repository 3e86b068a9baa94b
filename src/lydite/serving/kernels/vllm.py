"""vLLM v1's scheduler (`vllm/v1/core/sched/scheduler.py`, 0.19): running first, then waiting.

Every request gets the tokens that it lacks, up to the budget of the step; where blocks are short,
the request that came last is preempted, loses its blocks and waits again, ahead of all others.
First come, first served; without speculation, encoders, LoRA and pipeline stages.
"""

from __future__ import annotations

from lydite.engine.kernels.jit import special
from lydite.serving.kernels.blocks import hold, lacking, release, start, wait_first


@special
def preempt(load, course, pool, queues, replica, place):
    """Take what a running request has, and let it wait ahead of all others."""
    request = queues.running[replica, place]
    release(load, course, pool, replica, request)
    course.computed[request] = 0
    course.remote[request] = 0
    course.preempted[request] += 1
    wait_first(queues, course, replica, request)


@special
def schedule(rules, load, course, pool, queues, replica):
    """Choose the tokens of the next step: `queues.tokens` of each running request.

    Returns:
        Number of tokens.
    """
    budget, size = rules.budget[replica], rules.block[replica]
    place, preempted = 0, False
    while place < queues.runs[replica] and budget > 0:
        request = queues.running[replica, place]
        computed = course.computed[request]
        known = load.prompt[request] + course.generated[request]
        tokens = min(known - computed, budget, rules.longest[replica] - 1 - computed)
        queues.tokens[replica, place] = 0
        if tokens <= 0:
            place += 1
            continue
        needed = (computed + tokens + size - 1) // size - course.held[request]
        itself = False
        while needed > pool.free[replica]:
            queues.runs[replica] -= 1
            last = queues.runs[replica]
            itself = last == place
            preempted = True
            preempt(load, course, pool, queues, replica, last)
            if itself:
                break
        if itself:
            break
        hold(rules, load, course, pool, replica, request, computed + tokens, known)
        queues.tokens[replica, place] = tokens
        budget -= tokens
        place += 1
    for rest in range(place, queues.runs[replica]):
        queues.tokens[replica, rest] = 0
    if not preempted:
        budget = admit(rules, load, course, pool, queues, replica, budget)
    return rules.budget[replica] - budget


@special
def admit(rules, load, course, pool, queues, replica, budget):
    """Let waiting requests run, in order, while there is room; what is left of the budget."""
    size = rules.block[replica]
    while queues.waits[replica] > 0 and budget > 0:
        if queues.runs[replica] == rules.sequences[replica]:
            break
        request = queues.first[replica]
        known = load.prompt[request] + course.generated[request]
        hits, free_hits, computed = lacking(rules, load, course, pool, replica, request)
        tokens = known - computed
        if not rules.chunked[replica] and tokens > budget:
            break
        tokens = min(tokens, budget)
        reach = known if rules.reserve[replica] else computed + tokens
        if (reach + size - 1) // size - hits + free_hits > pool.free[replica]:
            break
        start(rules, load, course, pool, queues, replica, hits, computed, tokens)
        budget -= tokens
    return budget
