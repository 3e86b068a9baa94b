"""Ranks of a deployment: their step times, memory, stages, drafts and adapters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, replace
from typing import TYPE_CHECKING

import numpy as np

from lydite.api.devices import chain_for, device_and_sources
from lydite.api.serving.caches import cache_bytes, with_kv_dtype
from lydite.api.serving.graphs import graph_of
from lydite.api.serving.pictures import with_images
from lydite.api.serving.speculation import OWN_LAYER
from lydite.api.serving.tiers import tiers_of
from lydite.errors import InputError
from lydite.records import dataclass
from lydite.serving.experts import expert_bytes
from lydite.serving.layout import Part

if TYPE_CHECKING:
    from lydite.api.serving.deployment import Deployer
    from lydite.graph import Graph
    from lydite.serving import (
        KvTiers,
        Scheduler,
        Speculation,
        StepTimes,
    )
    from lydite.serving.deploy import Footprint
    from lydite.serving.experts import Spread
    from lydite.serving.stages import Stages


@dataclass(frozen=True, eq=False)
class Rank:
    """What a rank of a replica of some devices does and holds.

    Attributes:
        times: Times of the replica's steps.
        memory: Memory of the rank; None where the KV cache was stated.
        kv_tokens: Tokens that the replica's KV cache holds.
        speculation: Tokens that are drafted ahead, or None.
        tiers: Where blocks go that leave the devices, or None.
        lora_bytes: Bytes of the LoRA adapters.
        lora_s: What they add to a step by its number of tokens, from 0 on.
    """

    times: StepTimes
    memory: Footprint | None
    kv_tokens: int
    speculation: Speculation | None = None
    tiers: KvTiers | None = None
    lora_bytes: float = 0.0
    lora_s: np.ndarray = field(default_factory=lambda: np.zeros(1))


@dataclass(frozen=True)
class Held:
    """What a rank of a model holds.

    Attributes:
        weights: Bytes of its weights.
        kv_token: Bytes of the KV of a token.
        vocabulary: Size of the vocabulary.
    """

    weights: float
    kv_token: float
    vocabulary: int


def made_rank(kept: Deployer, part: Part) -> Rank:
    """What a rank of a replica of some devices does and holds.

    Raises:
        InputError: the model does not fit, cannot be divided, or has an unknown operator.
    """
    rules = kept.scheduler
    context = max(2, min(kept.mean_context, kept.longest - 8))
    decode = graph_of(kept, "decode", part, 8, context)
    held = _held(kept, decode)
    weights, kv_token, spread = held.weights, held.kv_token, None
    if part.ep > 1:
        whole = graph_of(kept, "decode", Part(), 8, context)
        weights += expert_bytes(whole) / part.ep - expert_bytes(decode)
        spread = _spread(kept, part, whole)
    stages = _stages(kept, part, decode)
    if stages is not None:
        weights, kv_token = stages.weights_of(decode), kv_token * max(stages.shares)
    drafts = _drafts(kept, part, held)
    if drafts is not None:
        weights, kv_token = weights + drafts[1].weights, kv_token + drafts[1].kv_token
    lora_bytes, lora_s = _lora(kept, decode)
    lora_bytes *= max(stages.shares) if stages is not None else 1.0
    weights += lora_bytes + (kept.tower.parameter_bytes if kept.tower else 0.0)
    memory = None
    if kept.options.kv_tokens is None:
        memory = _footprint(kept, decode, replace(held, weights=weights, kv_token=kv_token))
    kv_tokens = kept.options.kv_tokens or (memory.kv_tokens if memory else 0)
    times = _times(kept, part, rules, held.vocabulary, spread)
    times = with_kv_dtype(kept, with_adapters(times, lora_s), decode)
    times = with_images(kept, times, kept.tower)
    if stages is not None:
        times = stages.timed(times, rules.max_num_batched_tokens)
    ahead = kept.drafting
    if ahead is not None and drafts is not None:
        ahead = replace(ahead, times=drafts[0])
    block = rules.block_size * part.tp * part.pp
    tiers = tiers_of(kept.options, kept.device, part, round(kv_token * block), kept.notes.append)
    return Rank(times, memory, kv_tokens, ahead, tiers, lora_bytes, lora_s)


def _lora(kept: Deployer, decode: Graph) -> tuple[float, np.ndarray]:
    """Bytes of the adapters of all layers, and what they add to a step by its tokens.

    Raises:
        InputError: adapters are not modelled with a profile.
    """
    from lydite.estimate import Rows
    from lydite.estimate.runtimes import RUNTIMES, Launched
    from lydite.serving.estimated import operator_seconds
    from lydite.serving.lora import adapted, adapter_bytes, adapter_s

    if kept.adapters is None:
        return 0.0, np.zeros(1)
    if kept.options.profile is not None:
        raise InputError("--profile has no times of LoRA's products", hint="without --profile")
    products = adapted(decode, kept.adapters.targets)
    if not products:
        raise InputError("the model has no products that LoRA adapts", where=kept.label)
    grid = 2 ** np.arange(kept.scheduler.max_num_batched_tokens.bit_length() + 1)
    with device_and_sources(kept.session, kept.device) as (device, sources):
        chain, _ = chain_for(sources, device, Rows(kept.runtime.name, 1, "wall", spans={}))
        launched = Launched(chain, RUNTIMES[kept.runtime.name])
        added = adapter_s(
            products,
            kept.adapters,
            operator_seconds(launched, device),
            device.memory_bandwidth,
            grid,
        )
    by_tokens = np.interp(np.arange(int(grid[-1]) + 1), grid, added)
    by_tokens[0] = 0.0
    return adapter_bytes(products, kept.adapters), by_tokens


def _stages(kept: Deployer, part: Part, decode: Graph) -> Stages | None:
    """How the layers lie on pipeline stages; None without.

    Raises:
        InputError: the runtime's stages are not modelled, or the model has fewer layers.
    """
    from lydite.serving.messages import message_times
    from lydite.serving.stages import stages_of

    if part.pp == 1:
        return None
    if kept.runtime.name != "vllm":
        raise InputError(f"--pp is not modelled for {kept.runtime.name}", allowed="vllm")
    if kept.drafting is not None:
        raise InputError("--draft is not modelled with pipeline stages", hint="--tp")
    if kept.options.profile is not None:
        raise InputError("--profile has no times of messages between stages", hint="--tp")
    across = message_times(kept.device, part.size, kept.notes.append)
    within = message_times(kept.device, part.tp, kept.notes.append)
    return stages_of(decode, part.pp, part.tp, across, within, kept.label)


def _held(kept: Deployer, decode: Graph) -> Held:
    """What a rank holds, by the graph of 8 decoding sequences."""
    kv_token = max(1.0, cache_bytes(kept, decode) / 8 / kept.mean_context)
    return Held(float(decode.parameter_bytes), kv_token, _vocabulary(decode))


def _drafts(kept: Deployer, part: Part, target: Held) -> tuple[StepTimes, Held] | None:
    """Times of the model that drafts, on as many ranks, and what a rank of it holds.

    Raises:
        InputError: it has another vocabulary, or cannot be divided.
    """
    if kept.options.draft in OWN_LAYER:
        return _layer_drafts(kept, part, target)
    if kept.drafter is None:
        return None
    context = max(2, min(kept.mean_context, kept.drafter.longest - 8))
    part = Part(1, part.tp)
    held = _held(kept.drafter, graph_of(kept.drafter, "decode", part, 8, context))
    if held.vocabulary != target.vocabulary:
        raise InputError(
            f"--draft {kept.options.draft} has a vocabulary of {held.vocabulary:,} tokens, "
            f"{kept.label} one of {target.vocabulary:,}",
            hint="a draft model of the same family",
        )
    return _times(kept.drafter, part, kept.scheduler, held.vocabulary, None), held


def _layer_drafts(kept: Deployer, part: Part, target: Held) -> tuple[StepTimes, Held]:
    """Times of a layer of the model that drafts, and what a rank of it holds.

    Raises:
        InputError: experts are spread, or a layer cannot be told apart.
    """
    from lydite.estimate import Rows
    from lydite.estimate.runtimes import RUNTIMES, Launched
    from lydite.serving.estimated import operator_seconds
    from lydite.serving.layer_drafts import layer_bytes, layer_of, layers_of, with_product

    if part.ep > 1:
        raise InputError(
            f"--draft {kept.options.draft} is not modelled with experts that are spread",
            hint="--tp",
        )
    context = max(2, min(kept.mean_context, kept.longest - 8))
    part = Part(1, part.tp)
    graph = graph_of(kept, "decode", part, 8, context)
    held = Held(layer_bytes(graph), target.kv_token / layers_of(graph), target.vocabulary)
    times = _times(kept, part, kept.scheduler, held.vocabulary, None, layer_of)
    with device_and_sources(kept.session, kept.device) as (device, sources):
        chain, _ = chain_for(sources, device, Rows(kept.runtime.name, 1, "wall", spans={}))
        launched = Launched(chain, RUNTIMES[kept.runtime.name])
        return with_product(times, graph, operator_seconds(launched, device)), held


def _spread(kept: Deployer, part: Part, whole: Graph) -> Spread:
    """How the experts lie on the devices.

    Raises:
        InputError: the model has none, or not a multiple of the devices.
    """
    from lydite.graph import keys_of
    from lydite.serving.experts import Spread, expert_ops, experts_of, read_load
    from lydite.serving.messages import message_times

    keys = keys_of(whole)
    counts = {experts_of(keys[op.name]) for op in expert_ops(whole)}
    if not counts:
        raise InputError("the model has no experts to spread", where=kept.label, hint="--tp")
    for count in counts:
        if count % part.ep:
            raise InputError(
                f"{count} experts cannot be spread over {part.ep} devices",
                where=kept.label,
                allowed=f"divisors of {count}",
            )
    load = max(
        read_load(kept.options.expert_load, count, part.ep, kept.session.seed) for count in counts
    )
    messages = message_times(kept.device, part.ep, kept.notes.append)
    kept.notes.append(
        f"experts: {kept.options.expert_load} over {part.ep} devices, so that the busiest has "
        f"{load:.2f} times the mean"
    )
    if part.groups > 1:
        kept.notes.append(
            f"{part.groups} groups of a replica step together, as vLLM's data-parallel ranks "
            "do: modelled, not compared with its decisions"
        )
    return Spread(part.ep, part.groups, load, messages)


def _times(
    kept: Deployer,
    part: Part,
    rules: Scheduler,
    vocabulary: int,
    spread: Spread | None,
    only: Callable[[Graph], set[str]] | None = None,
) -> StepTimes:
    if kept.options.profile is not None and only is None:
        if spread is not None:
            raise InputError("--profile has no times of experts that are spread", hint="--tp")
        return _profiled(kept, part)
    from lydite.estimate import Rows
    from lydite.estimate.runtimes import RUNTIMES, Launched
    from lydite.serving.estimated import CAPTURED, Shape, estimated_times
    from lydite.serving.messages import message_times

    runtime = RUNTIMES[kept.runtime.name]
    tokens = max(rules.max_num_batched_tokens, rules.max_prefill_tokens)
    if rules.policy != "sglang":
        tokens = rules.max_num_batched_tokens
    shape = Shape(
        lambda count, context: graph_of(kept, "decode", part, count, context),
        lambda count, context: graph_of(kept, "prefill", part, count, context),
        kept.longest,
        kept.largest,
        vocabulary,
        tokens,
        rules.max_num_seqs,
        CAPTURED,
        lambda count, context: graph_of(kept, "decode", Part(), count, context),
        1 + (kept.drafting.tokens if kept.drafting else 0),
        only,
    )
    messages = message_times(kept.device, part.tp, kept.notes.append)
    with device_and_sources(kept.session, kept.device) as (device, sources):
        chain, _ = chain_for(sources, device, Rows(kept.runtime.name, 1, "wall", spans={}))
        return estimated_times(shape, Launched(chain, runtime), device, messages, spread)


def _profiled(kept: Deployer, part: Part) -> StepTimes:
    from lydite.serving import read_profile

    assert kept.options.profile is not None
    if part.tp > 1 and f"tp{part.tp}" not in kept.options.profile.parts:
        kept.notes.append(
            f"the profile is taken to be of one of {part.tp} ranks, without their messages"
        )
    graph = graph_of(kept, "decode", Part(), 2, 16)
    layers = sum(op.op_type in ("Attention", "GroupQueryAttention") for op in graph.ops)
    return read_profile(kept.options.profile, max(1, layers))


def _footprint(kept: Deployer, graph: Graph, held: Held) -> Footprint:
    from lydite.serving.deploy import footprint

    widest = max(
        (graph.type_of(name).nbytes or 0)
        for op in graph.ops
        for name in op.outputs
        if name and name not in graph.outputs
    )
    return footprint(
        kept.device,
        kept.runtime,
        kept.scheduler,
        weights=held.weights,
        kv_token=held.kv_token,
        token_bytes=3 * widest / 8,
        vocabulary=held.vocabulary,
        share=kept.options.memory_share,
    )


def with_adapters(times: StepTimes, lora_s: np.ndarray) -> StepTimes:
    """Step times with what adapters add, by tokens."""
    if len(lora_s) == 1:
        return times
    tokens = np.arange(len(times.dense_s))
    return replace(times, dense_s=times.dense_s + np.interp(tokens, np.arange(len(lora_s)), lora_s))


def _vocabulary(graph: Graph) -> int:
    shape = graph.type_of(graph.outputs[0]).shape
    return int(shape[-1]) if shape else 0
