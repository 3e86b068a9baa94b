"""Batches in flight through pipeline stages, as vLLM v1's engine core keeps them.

While fewer batches are in flight than there are stages, the scheduler makes another
(`step_with_batch_queue` in `vllm/v1/engine/core.py`). The tokens of a batch count as computed when
it is scheduled, so that a prompt's next chunk may follow at once, but a sequence's next token only
when the one before it has come out. The stages take the batches in order, each as soon as it has
it and is free.
"""

from __future__ import annotations

from lydite.engine.kernels.jit import special


@special
def depart(times, rules, course, queues, flights, replica, now, body, head, tokens, written):
    """Send the batch that is scheduled through the stages.

    Args:
        body: Time of all layers and the host in ns.
        head: Time of the head and sampler, which the last stage runs.
        tokens: Tokens of the batch.
        written: When the blocks that it takes have been copied to a tier, in ns; the last stage
            is busy until then.

    Returns:
        When the batch ends, and how much later for copies, in ns.
    """
    kind, stages = rules[replica].kind, rules[replica].stages
    sending = int(times.send_ns[kind, min(tokens, times.send_ns.shape[1] - 1)])
    at = now
    for stage in range(stages):
        spent = body * times.share[kind, stage]
        if stage == stages - 1:
            spent += head
        at = max(at + (sending if stage else 0), flights.free_ns[replica, stage])
        at += max(int(spent), 1)
        flights.free_ns[replica, stage] = at
    late = max(written - at, 0)
    at += late
    flights.free_ns[replica, stages - 1] = at
    place = (flights.first[replica] + flights.flying[replica]) % stages
    size = 0
    for number in range(queues.runs[replica]):
        count = queues.tokens[replica, number]
        if count == 0:
            continue
        request = queues.running[replica, number]
        course.computed[request] += count
        flights.request[replica, place, size] = request
        flights.reach[replica, place, size] = course.computed[request]
        size += 1
    flights.size[replica, place] = size
    flights.until_ns[replica, place] = at
    flights.flying[replica] += 1
    return at, late


@special
def land(course, flights, stages, replica):
    """Take the oldest batch out of the ring and note what its requests have computed.

    Returns:
        Place of the batch, and the number of its requests that were preempted meanwhile and wait
        or load blocks, whose token still comes out: the first of the batch.
    """
    place, strays = flights.first[replica], 0
    for number in range(flights.size[replica, place]):
        request = flights.request[replica, place, number]
        flights.landed[request] = flights.reach[replica, place, number]
        if course.computed[request] == 0 or course.loaded[request]:
            flights.request[replica, place, strays] = request
            strays += 1
    flights.first[replica] = (place + 1) % stages
    flights.flying[replica] -= 1
    return place, strays
