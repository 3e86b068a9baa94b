"""Rules that split attention and layers with a state over tensor-parallel ranks, by heads.

See `lydite.graph.operators.split`.
"""

from __future__ import annotations

from lydite.graph.operators.split import CutInput, Split, SplitCall, Want, Wanted


def attention(call: SplitCall) -> Split | None:
    """Each rank has its own query and key heads, and their part of the cache.

    Of a single key head, which is whole, every rank has the cache.
    """
    axis = call.cuts[0]
    if axis is None:
        return None
    if call.attr("kv_num_heads") == 1 and call.cuts[1] is None and call.cuts[2] is None:
        queries = call.divided(int(call.attr("q_num_heads") or 1), "q_num_heads")
        shared = [Want.ENTER if i in (1, 2) else Want.KEEP for i in range(len(call.op.inputs))]
        return Split(tuple(shared), (axis, None, None), {"q_num_heads": queries})
    heads = {
        name: call.divided(int(count), name)
        for name in ("q_num_heads", "kv_num_heads")
        if (count := call.attr(name)) is not None
    }
    inputs: list[Wanted] = [Want.KEEP] * len(call.op.inputs)
    for index in (4, 5):
        if call.has(index):
            inputs[index] = CutInput(1)
    for index in (1, 2):  # an encoder's, kept for all decoding steps
        if call.cuts[index] is None:
            inputs[index] = CutInput(axis)
    return Split(tuple(inputs), (axis, 1, 1), heads)


def linear_attention(call: SplitCall) -> Split | None:
    """Each rank has its own heads, their states, decays and corrections.

    A query or key that all heads share is whole, and each rank takes the part of its heads.
    """
    axis = next((cut for cut in call.cuts[:3] if cut is not None), None)
    if axis is None:
        return None
    counts = {
        name: call.divided(int(call.attr(name)), name) for name in ("q_num_heads", "kv_num_heads")
    }
    forms: tuple[Wanted, ...] = (*[axis] * 3, CutInput(1), axis, axis)
    wanted = [form if call.has(i) else Want.KEEP for i, form in enumerate(forms)]
    return Split(tuple(wanted[: len(call.op.inputs)]), (axis, 1), counts)


def channels(call: SplitCall) -> Split | None:
    """A convolution of each channel by itself: each rank has its own, and their earlier samples."""
    if call.cuts[0] != 1:
        return None
    forms: tuple[Wanted, ...] = (1, 0, 0, CutInput(1))
    wanted = [form if call.has(i) else Want.KEEP for i, form in enumerate(forms)]
    return Split(tuple(wanted[: len(call.op.inputs)]), (1, 1))


def heads(call: SplitCall) -> Split | None:
    """Attention of [batch, heads, length, head size], all inputs split by heads or samples."""
    axes = set(call.cuts[:3])
    axis = next(iter(axes)) if len(axes) == 1 else None
    if len(axes) > 1 or axis not in (None, 0, 1) or any(cut is not None for cut in call.cuts[3:]):
        return None
    return call.kept(*[axis] * len(call.outs))


def rotary(call: SplitCall) -> Split | None:
    """Each rank rotates its own heads; of one head for all, such as MLA's, all of it."""
    axis, heads = call.cuts[0], call.attr("num_heads")
    if axis is None or not heads:
        return call.kept(axis)
    return call.kept(axis, num_heads=call.divided(int(heads), "num_heads"))
