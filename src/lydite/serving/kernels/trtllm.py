"""TensorRT-LLM's in-flight batching with GUARANTEED_NO_EVICT, modelled after version 1.0.

A request is admitted where the blocks of all its tokens, those to come included, fit beside what
the running requests may still take; so none is ever preempted. A step takes every running request
first, then prompts, whole unless chunked, up to the budget of tokens.
"""

from __future__ import annotations

from lydite.engine.kernels.jit import special
from lydite.serving.kernels.blocks import hold, lacking, start
from lydite.serving.kernels.queues import has_seen


@special
def schedule(rules, load, course, pool, queues, replica):
    """Choose the tokens of the next step; returns their number."""
    budget, size = rules[replica].budget, rules[replica].block
    promised = 0
    for place in range(queues.runs[replica]):
        request = queues.running[replica, place]
        known = load.prompt[request] + course.generated[request]
        tokens = min(known - course.computed[request], budget)
        queues.tokens[replica, place] = tokens
        if tokens > 0:
            reach = course.computed[request] + tokens
            hold(rules, load, course, pool, replica, request, reach, known)
            budget -= tokens
        whole = load.prompt[request] + load.output[request]
        promised += (whole + size - 1) // size - course.held[request]
    while budget > 0 and has_seen(course, queues, replica):
        if queues.runs[replica] == rules[replica].sequences:
            break
        request = queues.first[replica]
        known = load.prompt[request] + course.generated[request]
        hits, free_hits, computed = lacking(rules, load, course, pool, replica, request)
        whole = (load.prompt[request] + load.output[request] + size - 1) // size - hits
        if whole + free_hits + promised > pool.free[replica]:
            break
        tokens = known - computed
        if tokens > budget:
            if not rules[replica].chunked:
                break
            tokens = budget
        start(rules, load, course, pool, queues, replica, hits, computed, tokens, 0)
        promised += whole - (course.held[request] - hits)
        budget -= tokens
    return rules[replica].budget - budget
