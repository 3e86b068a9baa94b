"""vLLM v1's scheduler (`vllm/v1/core/sched/scheduler.py`, 0.19): running first, then waiting.

Every request gets the tokens that it lacks, up to the budget of the step; where blocks are short,
the request that came last is preempted, loses its blocks and waits again, ahead of all others.
First come, first served, or by priority; without encoders, LoRA and pipeline stages. Drafted
tokens are lacking tokens as others are, and the drafts of the step after have slots too
(`num_lookahead_tokens`).
"""

from __future__ import annotations

from lydite.engine.kernels.jit import inlined, special
from lydite.serving.kernels.blocks import hold, lacking, release, start
from lydite.serving.kernels.queues import is_before, wait_first, wait_in_order
from lydite.serving.kernels.tiers import begin_load, beyond, give_back


@special
def preempt(rules, load, course, pool, queues, replica, place):
    """Take what a running request has, and let it wait ahead of all others, or in its order."""
    request = queues.running[replica, place]
    release(load, course, pool, replica, request)
    course.computed[request] = 0
    course.remote[request] = 0
    course.drafted[request] = 0
    course.preempted[request] += 1
    if rules[replica].ordered:
        wait_in_order(load, course, queues, replica, request)
    else:
        wait_first(queues, course, replica, request)


@special
def _victim(rules, load, course, queues, replica):
    """Place of the running request that is preempted: the last, or the least urgent."""
    worst = queues.runs[replica] - 1
    if rules[replica].ordered:
        for place in range(queues.runs[replica]):
            request, other = queues.running[replica, place], queues.running[replica, worst]
            if is_before(load, course, other, request):
                worst = place
    return worst


@inlined
def schedule(rules, load, course, pool, queues, tiers, replica):
    """Choose the tokens of the next step: `queues.tokens` of each running request.

    Returns:
        Number of tokens.
    """
    budget, size = rules[replica].budget, rules[replica].block
    ahead, drafts, longest = rules[replica].lookahead, rules[replica].drafts, rules[replica].longest
    place, preempted = 0, False
    while place < queues.runs[replica] and budget > 0:
        request = queues.running[replica, place]
        computed = course.computed[request]
        known = load.prompt[request] + course.generated[request]
        wanted = known + course.drafted[request] if drafts else known
        tokens = min(wanted - computed, budget, longest - 1 - computed)
        queues.tokens[replica, place] = 0
        if tokens <= 0:
            place += 1
            continue
        reach = min(computed + tokens + ahead, longest)
        needed = (reach + size - 1) // size - course.held[request]
        itself, passed = False, 0
        while needed > pool.free[replica]:
            victim = _victim(rules, load, course, queues, replica)
            itself = victim == place
            preempted = True
            preempt(rules, load, course, pool, queues, replica, victim)
            if victim < place:  # its tokens of this step are free again
                budget += queues.tokens[replica, victim]
                passed += queues.tokens[replica, victim] == 0
                place -= 1
            queues.runs[replica] -= 1
            for at in range(victim, queues.runs[replica]):
                queues.running[replica, at] = queues.running[replica, at + 1]
                queues.tokens[replica, at] = queues.tokens[replica, at + 1]
            if itself:
                break
        if itself:
            break
        full = min(computed + tokens, known)
        hold(rules, load, course, pool, replica, request, reach, full)
        queues.tokens[replica, place] = tokens
        if drafts:
            course.drafted[request] = 0
        budget -= tokens
        place += 1
        for _ in range(min(passed, queues.runs[replica] - place)):
            queues.tokens[replica, place] = 0  # vLLM does not count back for victims in flight
            place += 1
    for rest in range(place, queues.runs[replica]):
        queues.tokens[replica, rest] = 0
    if not preempted:
        budget = admit(rules, load, course, pool, queues, tiers, replica, budget)
    return rules[replica].budget - budget


@special
def _make_room(rules, load, course, pool, queues, replica):
    """Free what a waiting request has loaded, where nothing runs; whether there was one."""
    if rules[replica].host == 0 or queues.runs[replica] > 0:
        return False
    return give_back(load, course, pool, queues, replica)


@inlined
def admit(rules, load, course, pool, queues, tiers, replica, budget):
    """Let waiting requests run, in order, while there is room; what is left of the budget."""
    size = rules[replica].block
    while queues.waits[replica] > 0 and budget > 0:
        if queues.runs[replica] == rules[replica].sequences:
            break
        request = queues.first[replica]
        known = load.prompt[request] + course.generated[request]
        hits, free_hits, computed = lacking(rules, load, course, pool, replica, request)
        if rules[replica].host > 0 and computed == hits * size and not course.loaded[request]:
            count = beyond(rules, load, course, tiers, replica, request, hits)
            reach = known if rules[replica].reserve else computed + count * size
            lacks = (reach + size - 1) // size - hits + free_hits
            if count > 0 and lacks <= pool.free[replica]:
                begin_load(rules, load, course, pool, queues, tiers, replica, hits, count)
                continue
            if count > 0 and not _make_room(rules, load, course, pool, queues, replica):
                break
            if count > 0:
                continue
        tokens = known - computed
        if not rules[replica].chunked and tokens > budget:
            break
        tokens = min(tokens, budget)
        is_there = course.remote[request] > 0 or course.loaded[request]
        ahead = rules[replica].lookahead if is_there else 0
        reach = computed + tokens + ahead
        if rules[replica].reserve:
            reach = max(known, reach)
        lacks = (reach + size - 1) // size - hits + free_hits - course.held[request]
        if lacks > pool.free[replica]:
            if not _make_room(rules, load, course, pool, queues, replica):
                break
            continue
        start(rules, load, course, pool, queues, replica, hits, computed, tokens, ahead)
        budget -= tokens
    return budget
